//! What tidies up after us when we are killed.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Removes a directory when this process is gone, however it ends: a shell that waits for
/// the end of a pipe which only this process holds open.
pub struct Guard {
    _held: std::io::PipeWriter,
    _shell: duct::Handle,
}

impl Guard {
    /// Sets it up for a directory.
    ///
    /// # Errors
    /// `sh` can not be started.
    pub fn removes(dir: &Path) -> Result<Self> {
        let (waits, held) = std::io::pipe()?;
        let script = "read -r _; rm -rf -- \"$1\"";
        let args: [&OsStr; 4] = ["-c".as_ref(), script.as_ref(), "sh".as_ref(), dir.as_ref()];
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
        Ok(Self { _held: held, _shell: shell })
    }
}
