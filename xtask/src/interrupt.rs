//! Ctrl-C and SIGTERM: what is said, the state of things that it is said of, and what is
//! undone before the end.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use crate::plan::argv::Argv;
use crate::proc::{Env, capture};

/// What undoes something temporary.
type Undo = Pin<Box<dyn Future<Output = ()> + Send>>;

static STATES: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
static UNDO: Mutex<Option<Undo>> = Mutex::new(None);

/// Records what state a subject is in from now on, and how to go on from there, in place of
/// what was recorded of it before.
///
/// To be called before a call that changes something, in words that are true whether or not it
/// was taken, and again once that is known.
pub fn remember(subject: impl Into<String>, state: impl Into<String>) {
    STATES.lock().unwrap_or_else(PoisonError::into_inner).insert(subject.into(), state.into());
}

/// What an interruption says.
pub fn message() -> String {
    said(&STATES.lock().unwrap_or_else(PoisonError::into_inner))
}

fn said(states: &BTreeMap<String, String>) -> String {
    if states.is_empty() {
        return "interrupted; nothing was changed".to_owned();
    }
    let states: Vec<&str> = states.values().map(String::as_str).collect();
    format!("interrupted; {}; nothing else was changed", states.join("; "))
}

/// Records what has to be undone if an interruption comes from now on.
pub fn undo_with(undo: impl Future<Output = ()> + Send + 'static) {
    *UNDO.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(undo));
}

/// There is nothing to undo any more.
pub fn keep() {
    *UNDO.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Undoes what was recorded, as far as that goes within `patience`.
pub async fn undo(patience: Duration) {
    let undo = UNDO.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(undo) = undo {
        // Who interrupts does not wait for ever; what is left over does no harm.
        let _ = tokio::time::timeout(patience, undo).await;
    }
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
        assert_eq!(said(&BTreeMap::new()), "interrupted; nothing was changed");
        remember("subject of this test", "asked for it");
        assert!(message().contains("asked for it"));
        remember("subject of this test", "it is there");
        remember("subject of this test, too", "this as well");
        let message = message();
        assert!(message.contains("it is there; this as well"), "{message}");
        assert!(!message.contains("asked for it") && !message.contains("nothing was changed"));
        assert!(message.ends_with("; nothing else was changed"), "{message}");
    }

    #[test]
    fn hanging_up_is_not_ignored_unless_somebody_asked_for_it() {
        assert!(!hang_up_is_ignored());
    }
}
