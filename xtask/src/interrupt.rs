//! Ctrl-C and SIGTERM: what is said, the state of things that it is said of, and what is
//! undone before the end.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::proc::{Env, capture};
use xtask_core::plan::argv::Argv;

/// What undoes something temporary.
type Undo = Pin<Box<dyn Future<Output = ()> + Send>>;

static STATES: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
static UNDO: Mutex<BTreeMap<String, Undo>> = Mutex::new(BTreeMap::new());
static WAITING: Mutex<Option<String>> = Mutex::new(None);

/// Records what state a subject is in from now on, and how to go on from there, in place of
/// what was recorded of it before.
///
/// To be called before a call that changes something, in words that are true whether or not it
/// was taken, and again once that is known.
pub fn remember(subject: impl Into<String>, state: impl Into<String>) {
    STATES.lock().unwrap_or_else(PoisonError::into_inner).insert(subject.into(), state.into());
}

/// A subject is as it was before: there is nothing to be said of it any more.
pub fn forget(subject: &str) {
    STATES.lock().unwrap_or_else(PoisonError::into_inner).remove(subject);
}

/// Records what is being waited for from now on, such as "waiting for …"; `None` for nothing.
pub fn waiting(what: Option<String>) {
    *WAITING.lock().unwrap_or_else(PoisonError::into_inner) = what;
}

/// What an interruption says.
pub fn message() -> String {
    let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    said(waiting.as_deref(), &STATES.lock().unwrap_or_else(PoisonError::into_inner))
}

fn said(waiting: Option<&str>, states: &BTreeMap<String, String>) -> String {
    let interrupted = match waiting {
        Some(what) => format!("interrupted while {what}"),
        None => "interrupted".to_owned(),
    };
    if states.is_empty() {
        return format!("{interrupted}; nothing was changed");
    }
    let states: Vec<&str> = states.values().map(String::as_str).collect();
    format!("{interrupted}; {}; nothing else was changed", states.join("; "))
}

/// Records what undoes something temporary if an interruption comes from now on, in place of
/// what was recorded for the same subject before.
pub fn undo_with(subject: impl Into<String>, undo: impl Future<Output = ()> + Send + 'static) {
    UNDO.lock().unwrap_or_else(PoisonError::into_inner).insert(subject.into(), Box::pin(undo));
}

/// There is nothing to undo of a subject any more.
pub fn keep(subject: &str) {
    UNDO.lock().unwrap_or_else(PoisonError::into_inner).remove(subject);
}

/// Undoes what was recorded, side by side, as far as that goes within `patience`.
pub async fn undo(patience: Duration) {
    let undos = std::mem::take(&mut *UNDO.lock().unwrap_or_else(PoisonError::into_inner));
    let all: JoinSet<()> = undos.into_values().collect();
    // Who interrupts does not wait for ever; what is left over does no harm.
    let _ = tokio::time::timeout(patience, all.join_all()).await;
}

/// Waits for a signal that asks to end. A terminal that closes asks for it as well, unless we
/// were started to outlive it.
///
/// # Errors
/// The signals can not be listened for.
pub async fn wait() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Listening for it would undo what `nohup` did.
    let mut hang_up = if hang_up_is_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
    let hang_up = async {
        match &mut hang_up {
            Some(hang_up) => hang_up.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hang_up => {}
    }
    Ok(())
}

/// Whether SIGHUP was ignored when we were started. A child inherits that, and a shell that is
/// not interactive can not change it (POSIX, `trap`): one that outlives a SIGHUP says yes.
fn hang_up_is_ignored() -> bool {
    let argv = Argv::new("sh").args(["-c", "kill -HUP $$"]);
    capture(&argv, &Env::default()).is_ok_and(|output| output.ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_last_of_each_subject_is_said() {
        assert_eq!(said(None, &BTreeMap::new()), "interrupted; nothing was changed");
        let waiting = said(Some("waiting for it"), &BTreeMap::new());
        assert_eq!(waiting, "interrupted while waiting for it; nothing was changed");
        remember("subject of this test", "asked for it");
        assert!(message().contains("asked for it"));
        remember("subject of this test", "it is there");
        remember("subject of this test, too", "this as well");
        let message = message();
        assert!(message.contains("it is there; this as well"), "{message}");
        assert!(!message.contains("asked for it") && !message.contains("nothing was changed"));
        assert!(message.ends_with("; nothing else was changed"), "{message}");
        forget("subject of this test, too");
        assert!(!super::message().contains("this as well"));
    }

    #[tokio::test]
    async fn everything_temporary_is_undone_also_beside_what_hangs() {
        let (sender, mut undone) = tokio::sync::mpsc::unbounded_channel();
        let say = |what: &'static str| {
            let sender = sender.clone();
            async move { sender.send(what).unwrap() }
        };
        undo_with("test: hangs", std::future::pending());
        undo_with("test: a", say("a, before it was recorded anew"));
        undo_with("test: a", say("a"));
        undo_with("test: b", say("b"));
        undo_with("test: kept", say("kept"));
        keep("test: kept");
        undo(Duration::from_millis(100)).await;
        drop(sender);
        let mut all = Vec::new();
        while let Some(what) = undone.recv().await {
            all.push(what);
        }
        all.sort_unstable();
        assert_eq!(all, ["a", "b"]);
    }

    #[test]
    fn hanging_up_is_not_ignored_unless_somebody_asked_for_it() {
        assert!(!hang_up_is_ignored());
    }
}
