//! Processes that go on when this one ends.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Env, cannot_start};
use xtask_core::plan::argv::Argv;

/// A process that goes on when this one ends.
pub struct Detached {
    /// Its id.
    pub pid: i32,
    handle: duct::Handle,
}

impl Detached {
    /// Whether it has ended.
    ///
    /// # Errors
    /// The system does not say.
    pub fn ended(&self) -> Result<bool> {
        Ok(self.handle.try_wait()?.is_some())
    }
}

/// Starts a process that is neither waited for nor ended with this one. It is not put into a
/// process group, so that it can make a session of its own.
///
/// # Errors
/// The program can not be started.
pub fn detach(argv: &Argv, env: &Env, dir: &Path, log: std::fs::File) -> Result<Detached> {
    let mut expression = duct::cmd(&argv.program, argv.args.iter().map(OsStr::new))
        .stdin_null()
        .stderr_to_stdout()
        .stdout_file(log)
        .dir(dir)
        .unchecked();
    for (name, value) in argv.env.iter().chain(&env.0) {
        expression = expression.env(name, value);
    }
    let handle = expression.start().map_err(|error| cannot_start(argv, &error.to_string()))?;
    let pid = handle.pids().first().and_then(|pid| i32::try_from(*pid).ok());
    Ok(Detached { pid: pid.context("a process was started without an id")?, handle })
}
