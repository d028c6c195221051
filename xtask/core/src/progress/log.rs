//! The full log of a build: every event as text, for a file that is kept.

use super::{
    event::{LogStream, ProgressEvent},
    render,
    text::duration,
    time::Timestamp,
};

/// The lines for one event. `origin` is the build's start ([`super::BuildState::started`]); each
/// line begins with the seconds since then, and says which step it belongs to:
///
/// ```text
///    2.314 runtime 4/5 | Collecting numpy
/// ```
pub fn lines(event: &ProgressEvent, origin: Option<Timestamp>) -> Vec<String> {
    let at = moment(event).zip(origin).map(|(at, origin)| at.seconds_since(origin));
    let clock = at.map_or_else(|| " ".repeat(8), |seconds| format!("{seconds:>8.3}"));
    body(event).into_iter().map(|line| format!("{clock} {line}").trim_end().to_owned()).collect()
}

fn body(event: &ProgressEvent) -> Vec<String> {
    match event {
        ProgressEvent::StepStarted { step, .. } => vec![format!("{} ...", step.label())],
        ProgressEvent::Log { step, stream, text, .. } => {
            let mark = match stream {
                LogStream::Stdout => '|',
                LogStream::Stderr => '!',
            };
            let position = step.as_ref().map_or_else(|| "build".to_owned(), |s| s.position());
            vec![format!("{position} {mark} {text}")]
        }
        ProgressEvent::StepFinished { step, seconds, cached, .. } => {
            let how = if *cached { "CACHED".to_owned() } else { duration(*seconds) };
            vec![format!("{} {how}", step.position())]
        }
        // The output stands above already.
        ProgressEvent::StepFailed { step, seconds, error, .. } => {
            let mut lines =
                vec![format!("{} FAILED after {}", step.position(), duration(*seconds))];
            lines.extend(error.lines().map(|line| format!("{} {line}", step.position())));
            lines
        }
        ProgressEvent::PhaseStarted { name, .. } => vec![format!("{name} ...")],
        ProgressEvent::PhaseFinished { name, seconds, .. } => {
            vec![format!("{name} {}", duration(*seconds))]
        }
        ProgressEvent::Warning { warning } => {
            let mut lines = render::plain(event);
            lines.extend(warning.detail.iter().map(|line| format!("  {line}")));
            if !warning.url.is_empty() {
                lines.push(format!("  {}", warning.url));
            }
            lines
        }
        ProgressEvent::Text { text } => vec![text.clone()],
        ProgressEvent::Bytes { .. }
        | ProgressEvent::StepCanceled { .. }
        | ProgressEvent::PhaseFailed { .. }
        | ProgressEvent::CacheImported { .. }
        | ProgressEvent::CacheMissed { .. } => render::plain(event),
    }
}

/// When an event happened, if it says so.
fn moment(event: &ProgressEvent) -> Option<Timestamp> {
    match event {
        ProgressEvent::StepStarted { at, .. }
        | ProgressEvent::StepFinished { at, .. }
        | ProgressEvent::StepFailed { at, .. }
        | ProgressEvent::StepCanceled { at, .. }
        | ProgressEvent::Log { at, .. }
        | ProgressEvent::Bytes { at, .. }
        | ProgressEvent::PhaseStarted { at, .. }
        | ProgressEvent::PhaseFinished { at, .. }
        | ProgressEvent::PhaseFailed { at, .. }
        | ProgressEvent::CacheImported { at, .. }
        | ProgressEvent::CacheMissed { at, .. } => Some(*at),
        ProgressEvent::Warning { .. } | ProgressEvent::Text { .. } => None,
    }
}
