//! The file with the whole log of the last build.

use std::fs::File;
use std::io::{BufWriter, Result, Write as _};
use std::path::{Path, PathBuf};

use crate::ui::Ui;
use xtask_core::event::Event;

/// A log file. One that can not be written is a warning and no more: a build does not fail
/// because nobody can read about it later.
pub struct LogFile<'a> {
    ui: &'a Ui,
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl<'a> LogFile<'a> {
    /// Begins a new one, in place of the last build's.
    pub fn create(ui: &'a Ui, path: &Path) -> Self {
        let mut log = Self { ui, path: path.to_owned(), file: None };
        match open(path) {
            Ok(file) => log.file = Some(BufWriter::new(file)),
            Err(error) => log.warn(&error),
        }
        log
    }

    /// Adds a line.
    pub fn line(&mut self, line: &str) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = writeln!(file, "{line}") {
            self.give_up(&error);
        }
    }

    /// Writes what is left. Returns its path, if all of it is there.
    pub fn finish(mut self) -> Option<PathBuf> {
        if let Err(error) = self.file.as_mut()?.flush() {
            self.give_up(&error);
        }
        self.file.is_some().then_some(self.path)
    }

    fn give_up(&mut self, error: &std::io::Error) {
        if let Some(file) = self.file.take() {
            // Dropped as it is, it would try to write once more.
            let _ = file.into_parts();
        }
        self.warn(error);
    }

    fn warn(&self, error: &std::io::Error) {
        self.ui.emit(&Event::Warning {
            text: format!("{} can not be written: {error}", self.path.display()),
            hint: Some("the build goes on; its log is not kept".into()),
        });
    }
}

fn open(path: &Path) -> Result<File> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    File::create(path)
}
