//! One `up` or `down` of a project at a time.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::ui::Ui;
use xtask_core::event::Event;

/// Waits until no other `up` or `down` is under way, and holds them off as long as the file lives.
///
/// # Errors
/// The lock's file can not be made.
pub async fn hold(ui: &Ui, dir: &Path) -> Result<File> {
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let path = dir.join("local.lock");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                if !told {
                    let text = "another `cargo xtask local` is under way; waiting for it";
                    ui.emit(&Event::Note { text: text.into() });
                    told = true;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| path.display().to_string());
            }
        }
    }
}
