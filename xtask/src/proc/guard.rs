//! What tidies up after us when we are killed.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::room::no_room;

/// Does something when this process is gone, however it ends: a shell that waits for the end
/// of a pipe which only this process holds open.
pub struct Guard {
    held: std::io::PipeWriter,
    _shell: duct::Handle,
}

impl Guard {
    /// Removes a directory, also when the guard is dropped.
    ///
    /// # Errors
    /// `sh` can not be started.
    pub fn removes(dir: &Path) -> Result<Self> {
        // A command that is being ended may write into it once more.
        let script = "read -r _; test -e \"$1\" || exit 0; \
                      rm -rf -- \"$1\"; sleep 3; rm -rf -- \"$1\"";
        Self::start(script, dir.as_ref())
    }

    /// Ends a process group, unless it was dismissed before.
    pub(super) fn ends(leader: i32) -> Result<Self> {
        let script = "read -r dismissed && exit; \
                      kill -s TERM -- \"-$1\" && sleep 2 && kill -s KILL -- \"-$1\"";
        Self::start(script, leader.to_string().as_ref())
    }

    /// There is nothing left to end.
    pub(super) fn dismiss(&mut self) {
        // Where nobody reads it, nobody ends anything either.
        let _ = self.held.write_all(b"dismissed\n");
    }

    fn start(script: &str, argument: &OsStr) -> Result<Self> {
        let (waits, held) = std::io::pipe()?;
        let args: [&OsStr; 4] = ["-c".as_ref(), script.as_ref(), "sh".as_ref(), argument];
        let shell = duct::cmd("sh", args)
            .stdin_file(waits)
            .stdout_null()
            .stderr_null()
            .unchecked()
            .before_spawn(|command| {
                // Ctrl-C on the terminal is for us: the guard has to outlive it.
                command.process_group(0);
                Ok(())
            })
            .start()
            .context("`sh` can not be started")?;
        Ok(Self { held, _shell: shell })
    }
}

/// A temporary directory that is removed on every way out, also after `kill -9`.
pub struct Scratch {
    // In this order: when the guard looks, the directory is gone.
    dir: TempDir,
    _guard: Guard,
}

impl Scratch {
    /// A new one.
    ///
    /// # Errors
    /// There is no place for temporary files, or `sh` can not be started.
    pub fn new() -> Result<Self> {
        let dir =
            tempfile::Builder::new().prefix("xtask-").tempdir().map_err(|error| no_room(&error))?;
        let guard = Guard::removes(dir.path())?;
        Ok(Self { dir, _guard: guard })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn what_is_written_by_a_command_that_outlives_us_is_removed_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("private");
        let gone = || {
            let end = Instant::now() + Duration::from_secs(20);
            while path.exists() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
            }
            !path.exists()
        };
        std::fs::create_dir(&path).unwrap();
        drop(Guard::removes(&path).unwrap());
        assert!(gone());
        std::fs::create_dir(&path).unwrap();
        assert!(gone());
    }
}
