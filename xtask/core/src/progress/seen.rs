//! What was seen already.

use std::{collections::HashSet, mem};

/// Pieces of output that were seen, by their hashes: the latest, at least so many as are
/// remembered. What BuildKit repeats, it repeats soon.
#[derive(Debug, Default)]
pub struct Seen {
    recent: HashSet<u64>,
    older: HashSet<u64>,
}

impl Seen {
    const REMEMBERED: usize = 50_000;

    /// Whether this one was not seen, as far as is remembered.
    pub fn is_new(&mut self, hash: u64) -> bool {
        if self.older.contains(&hash) || !self.recent.insert(hash) {
            return false;
        }
        if self.recent.len() >= Self::REMEMBERED {
            self.older = mem::take(&mut self.recent);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_does_not_fill_the_memory() {
        let mut seen = Seen::default();
        for hash in 0..5 * Seen::REMEMBERED as u64 {
            assert!(seen.is_new(hash) && !seen.is_new(hash));
            assert!(!seen.is_new(hash.saturating_sub(Seen::REMEMBERED as u64 - 1)));
        }
        assert!(seen.recent.len() + seen.older.len() <= 2 * Seen::REMEMBERED);
    }
}
