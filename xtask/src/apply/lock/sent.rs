//! What was sent to SSM for a lock, and may still arrive.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::MutexGuard;

/// How long the last call of the renewal is waited for.
const LAST: Duration = Duration::from_secs(2);

/// The calls for some locks.
#[derive(Default)]
pub(super) struct Sent {
    /// The names of the locks whose creation was asked for, without an answer.
    open: Mutex<BTreeSet<String>>,
    /// How often the locks were renewed.
    renewals: AtomicU64,
    /// Whether nothing is to be renewed any more.
    over: AtomicBool,
    /// Held while something is sent for the renewal.
    turn: tokio::sync::Mutex<()>,
}

impl Sent {
    /// A lock is about to be created.
    pub(super) fn asked(&self, name: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
    }

    /// It is known whether a lock was created.
    pub(super) fn answered(&self, name: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Whether a call may still create a lock.
    pub(super) fn is_open(&self, name: &str) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    /// One more renewal: its number.
    pub(super) fn renewal(&self) -> u64 {
        self.renewals.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether there was a renewal, whose sign is left.
    pub(super) fn is_renewed(&self) -> bool {
        self.renewals.load(Ordering::Relaxed) > 0
    }

    /// The right to send something for the renewal; `None` once that is over.
    pub(super) async fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        let turn = self.turn.lock().await;
        (!self.over.load(Ordering::SeqCst)).then_some(turn)
    }

    /// Ends the renewal, and waits for its last call, though not for ever.
    pub(super) async fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = tokio::time::timeout(LAST, self.turn.lock()).await;
    }

    /// Ends the renewal; says whether nothing of it is under way.
    pub(super) fn stop(&self) -> bool {
        self.over.store(true, Ordering::SeqCst);
        self.turn.try_lock().is_ok()
    }
}
