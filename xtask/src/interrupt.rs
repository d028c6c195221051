//! Ctrl-C and SIGTERM: what is said, the state of AWS that it is said of, and what is
//! undone before the end.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

/// What undoes something temporary.
type Undo = Pin<Box<dyn Future<Output = ()> + Send>>;

static STATE: Mutex<Option<String>> = Mutex::new(None);
static UNDO: Mutex<Option<Undo>> = Mutex::new(None);

/// Records what state AWS is in from now on, and how to go on from there.
pub fn remember(state: String) {
    *STATE.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
}

/// What an interruption says.
pub fn message() -> String {
    let state = STATE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    format!("interrupted; {}", state.as_deref().unwrap_or("nothing was changed"))
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

/// Waits for a signal that asks to end.
///
/// # Errors
/// The signals can not be listened for.
pub async fn wait() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}
