//! Runs a build, and follows what BuildKit says.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::log_file::LogFile;
use super::second_look::SecondLook;
use crate::apply::Context;
use crate::proc::{self, Env, Input};
use xtask_core::config::SecretSource;
use xtask_core::event::Event;
use xtask_core::plan::build::Build;
use xtask_core::plan::secret::Mask;
use xtask_core::progress::{BuildState, Ended, ProgressEvent, log::lines as log_lines, stream};

/// In bytes. What is longer is data and no password.
const LONGEST_SECRET: usize = 64 * 1024;

/// How often the live view is drawn.
const FRAME: Duration = Duration::from_millis(100);
/// After a frame that took long, none is drawn for so many times as long: watching costs no more than
/// one part in fifty of a build's time.
const REST: u32 = 50;
/// At most so many lines are taken before something else has its turn.
const AT_ONCE: usize = 256;

/// Runs the command and feeds its event stream into a state, the front and the log file.
pub(super) async fn follow(
    context: &Context<'_>,
    build: &Build,
    env: Env,
    log: &mut LogFile<'_>,
    look: &mut SecondLook<'_>,
) -> Result<(BuildState, proc::Output)> {
    log.line(&format!("$ {build}"));
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let argv = build.argv.clone();
    let env = build
        .secret_variables
        .iter()
        .fold(env, |env, (name, value)| env.with(name.clone(), value.0.clone()));
    let running = tokio::task::spawn_blocking(move || {
        proc::stream(&argv, &env, None, Input::Nothing, |line| {
            // Nobody listens any more after an interruption.
            let _ = sender.send(line.to_owned());
        })
    });
    let secrets = build_secrets(context, build);
    let mut state = BuildState::hiding(secrets.clone());
    let mut tell = |state: &BuildState, events: Vec<ProgressEvent>| {
        for event in events {
            for line in log_lines(&event, state.started()) {
                log.line(&line);
            }
            context.ui.emit(&Event::Build(event));
        }
    };
    let mut frames = tokio::time::interval(FRAME);
    let mut rested = Instant::now();
    let mut lines = Vec::new();
    loop {
        tokio::select! {
            read = receiver.recv_many(&mut lines, AT_ONCE) => if read == 0 { break },
            _ = frames.tick() => {
                let start = Instant::now();
                if start >= rested {
                    context.ui.frame(&state);
                    rested = start + start.elapsed() * REST;
                }
                continue;
            }
            () = look.go_on() => continue,
        }
        for line in lines.drain(..) {
            let events = state.apply_line(read_line(&line));
            tell(&state, events);
        }
        look.after(state.reads());
    }
    let output = running.await??;
    let output = proc::Output { stderr: secrets.text(output.reason()), ..output };
    let events = state.finish(Ended::from_exit_code(output.code));
    tell(&state, events);
    Ok((state, output))
}

/// What a step may say of the secrets that it is given: with `set -x`, in an error of its own.
fn build_secrets(context: &Context<'_>, build: &Build) -> Mask {
    let files = context.config.build_secrets.iter().filter_map(|secret| match &secret.source {
        SecretSource::File(path) => std::fs::read_to_string(path).ok(),
        SecretSource::Env(..) => None,
    });
    let files: Vec<String> = files.filter(|text| text.len() <= LONGEST_SECRET).collect();
    let variables = build.secret_variables.iter().map(|(_, value)| value.0.as_str());
    Mask::of(variables.chain(files.iter().map(String::as_str)))
}

/// A line that is not an event is text that buildx printed.
fn read_line(line: &str) -> stream::Line {
    stream::parse(line).unwrap_or_else(|_| stream::Line::Text(line.to_owned()))
}
