//! How a build's progress is shown: a live view at the end of the terminal, or plain lines.

use std::io::{self, Write};
use std::time::Instant;

use rustix::termios::tcgetwinsize;

use super::style::Style;
use crate::cli::build::Progress;
use xtask_core::progress::frame::{Size, frame};
use xtask_core::progress::{BuildState, ProgressEvent, render};

/// The most lines that the live view takes.
const LINES: usize = 16;

/// The view of a build.
pub struct BuildView {
    terminal: bool,
    mode: Mode,
    /// Lines on the terminal that belong to the live view.
    drawn: usize,
    /// When BuildKit was last heard of, to let the builder's clock go on from there.
    heard: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Live,
    Plain,
    Quiet,
}

impl BuildView {
    /// Live on a terminal, else plain.
    pub fn new(terminal: bool) -> Self {
        let mode = if terminal { Mode::Live } else { Mode::Plain };
        Self { terminal, mode, drawn: 0, heard: Instant::now() }
    }

    /// What `--progress` asks for.
    pub fn choose(&mut self, progress: Progress) {
        self.mode = match progress {
            Progress::Auto if self.terminal => Mode::Live,
            Progress::Auto | Progress::Plain => Mode::Plain,
            Progress::Quiet => Mode::Quiet,
        };
    }

    /// The lines to print for an event.
    pub fn event(&mut self, event: &ProgressEvent, style: &Style) -> Vec<String> {
        self.heard = Instant::now();
        let shown = match self.mode {
            Mode::Plain => true,
            // What stays on the screen when the live view is gone.
            Mode::Live => matches!(event, ProgressEvent::Warning { .. }),
            Mode::Quiet => false,
        };
        if !shown {
            return Vec::new();
        }
        render::plain(event).iter().map(|line| format!("      {} {line}", style.dim("·"))).collect()
    }

    /// Draws the live view anew.
    ///
    /// # Errors
    /// The terminal can not be written.
    pub fn draw(&mut self, state: &BuildState, out: &mut impl Write) -> io::Result<()> {
        let (Mode::Live, Some(latest)) = (self.mode, state.latest()) else { return Ok(()) };
        let now = latest.plus(self.heard.elapsed());
        let (rows, columns) = tcgetwinsize(std::io::stderr())
            .map_or((24, 80), |size| (usize::from(size.ws_row), usize::from(size.ws_col)));
        let size = Size {
            lines: LINES.min(rows.saturating_sub(2)).max(1),
            columns: columns.saturating_sub(1).max(20),
        };
        let lines = frame(state, now, size);
        self.hide(out)?;
        for line in &lines {
            writeln!(out, "{line}")?;
        }
        self.drawn = lines.len();
        out.flush()
    }

    /// Takes the live view off the terminal, so that something else can be printed.
    ///
    /// # Errors
    /// The terminal can not be written.
    pub fn hide(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.drawn > 0 {
            // Up by so many lines, then clear to the end of the screen.
            write!(out, "\x1b[{}A\x1b[J", self.drawn)?;
            self.drawn = 0;
        }
        Ok(())
    }
}
