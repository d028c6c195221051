//! Looks at the files of a build a second time, while the build goes on.
//!
//! The image is to be found by what it was made from. That was read before the build, and BuildKit
//! reads the files for itself; if they are the same after that, too, they were what BuildKit read.

use std::future::pending;
use std::pin::Pin;

use anyhow::Result;

use crate::observe::inputs::again;
use xtask_core::config::Config;
use xtask_core::fingerprint::Inputs;

/// A second look, or none when nobody wants it.
pub(super) struct SecondLook<'a> {
    config: &'a Config,
    before: Option<&'a Inputs>,
    /// How often BuildKit had read files when the look began.
    reads: Option<usize>,
    running: Option<Pin<Box<dyn Future<Output = Result<Inputs>> + 'a>>>,
    found: Option<Inputs>,
}

impl<'a> SecondLook<'a> {
    /// At the files that an image is made from.
    pub(super) fn new(config: &'a Config, before: Option<&'a Inputs>) -> Self {
        Self { config, before, reads: None, running: None, found: None }
    }

    /// Begins, or begins again, when BuildKit has read what it had not read before.
    pub(super) fn after(&mut self, reads: Option<usize>) {
        let Some(before) = self.before.filter(|_| reads.is_some() && reads != self.reads) else {
            return;
        };
        (self.reads, self.found) = (reads, None);
        self.running = Some(Box::pin(again(self.config, before)));
    }

    /// Looks. Returns when that has ended, and never when nothing was begun.
    pub(super) async fn go_on(&mut self) {
        let Some(running) = &mut self.running else { return pending().await };
        self.found = running.await.ok();
        self.running = None;
    }

    /// What was found after BuildKit's last read.
    pub(super) async fn result(mut self, reads: Option<usize>) -> Option<Inputs> {
        if self.running.is_some() {
            self.go_on().await;
        }
        self.found.filter(|_| self.reads == reads)
    }
}
