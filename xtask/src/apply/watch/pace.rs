//! How long to wait between two looks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use xtask_core::exit::Again;

/// How long between two looks.
#[derive(Clone, Copy, Debug)]
pub struct Tempo {
    /// At first: an emulator or a small service may be done within a second.
    pub soon: Duration,
    /// Later: ECS changes slowly.
    pub later: Duration,
    /// At most, when AWS throttles.
    pub longest: Duration,
}

impl Default for Tempo {
    fn default() -> Self {
        Self {
            soon: Duration::from_millis(250),
            later: Duration::from_secs(2),
            longest: Duration::from_secs(30),
        }
    }
}

/// The pace of a watch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    tempo: Tempo,
    pause: Duration,
}

impl Pace {
    pub(super) fn new(tempo: Tempo) -> Self {
        Self { tempo, pause: tempo.soon }
    }

    /// The pause after a round of looks, by the worst that came of it; `None` when all went well.
    pub(super) fn after(&mut self, worst: Option<Again>) -> Duration {
        let Tempo { later, longest, .. } = self.tempo;
        match worst {
            // Back in halves, and from the start up to the usual pace.
            None if self.pause > later => {
                let pause = self.pause;
                self.pause = (pause / 2).max(later);
                return pause;
            }
            None => {
                let pause = self.pause;
                self.pause = (pause * 3 / 2).min(later);
                return pause;
            }
            Some(Again::Slower) => self.pause = (self.pause.max(later) * 2).min(longest),
            // Where credentials come from may ask its user something each time.
            Some(Again::WithNewCredentials) => self.pause = (later * 5 / 2).min(longest),
            Some(Again::Soon | Again::Useless) => self.pause = self.pause.max(later),
        }
        self.pause
    }
}

/// Up to a fifth more, so that many deploys at once do not ask in step.
pub fn jittered(pause: Duration) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.map_or(0, |now| now.subsec_nanos());
    pause + pause * (nanos % 1000) / 5000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_slows_down_while_throttled_within_bounds_and_comes_back() {
        let mut pace = Pace::new(Tempo::default());
        let mut after = |worst| pace.after(worst).as_secs_f64();
        let first: Vec<_> = (0..8).map(|_| after(None)).collect();
        assert_eq!(first[0], 0.25);
        assert!(first.is_sorted() && first[7] == 2.0, "{first:?}");
        let throttled: Vec<_> = (0..6).map(|_| after(Some(Again::Slower))).collect();
        assert_eq!(throttled, [4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        let again: Vec<_> = (0..6).map(|_| after(None)).collect();
        assert_eq!(again, [30.0, 15.0, 7.5, 3.75, 2.0, 2.0]);
        assert_eq!(after(Some(Again::Soon)), 2.0, "what passes is no reason to slow down");
        assert_eq!(after(Some(Again::WithNewCredentials)), 5.0);
    }

    #[test]
    fn jitter_is_small_and_only_adds() {
        let pause = Duration::from_secs(2);
        for _ in 0..100 {
            let jittered = jittered(pause);
            assert!(jittered >= pause && jittered < pause * 6 / 5, "{jittered:?}");
        }
    }
}
