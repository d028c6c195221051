//! Ctrl-C and SIGTERM: what is said, and the state of AWS that it is said of.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

static STATE: Mutex<Option<String>> = Mutex::new(None);

/// Records what state AWS is in from now on, and how to go on from there.
pub fn remember(state: String) {
    *STATE.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
}

/// What an interruption says.
pub fn message() -> String {
    let state = STATE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    format!("interrupted; {}", state.as_deref().unwrap_or("nothing was changed"))
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
