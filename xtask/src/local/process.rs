//! Processes that outlive the command that started them, each with a record in a file.
//!
//! The record has the process's start time besides its id, so that another process that got
//! the same id later is never taken for it, and never ended.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::proc::{self, Detached, Env, capture};
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::argv::Argv;

/// Runs its arguments in a session of their own, which no closing terminal ends.
const SESSION: &str = "import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])";

/// The files of one process.
pub struct Files {
    /// The record.
    pub record: PathBuf,
    /// What it prints.
    pub log: PathBuf,
}

impl Files {
    /// The files of a process of this name.
    pub fn of(dir: &Path, name: &str) -> Self {
        Self { record: dir.join(format!("{name}.json")), log: dir.join(format!("{name}.log")) }
    }
}

/// A process that was started.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Its id, which is also that of its session and its process group.
    pub pid: i32,
    /// When it was started, in the system's own words.
    pub started: String,
    /// Stands for its settings.
    pub settings: u64,
}

/// The recorded process, if it runs.
///
/// # Errors
/// The record can not be read.
pub fn running(files: &Files) -> Result<Option<Record>> {
    let text = match fs::read_to_string(&files.record) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| files.record.display().to_string());
        }
    };
    // What is not a record was cut off while it was written: it names nothing.
    let Ok(record) = serde_json::from_str::<Record>(&text) else { return Ok(None) };
    Ok((start_of(record.pid).as_ref() == Some(&record.started)).then_some(record))
}

/// Starts a process and records it.
///
/// # Errors
/// It can not be started, or not be recorded.
pub fn start(
    argv: &Argv,
    env: &Env,
    dir: &Path,
    files: &Files,
    settings: u64,
) -> Result<(Record, Detached)> {
    let folder = files.log.parent().context("a log has no folder")?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let log = File::create(&files.log).with_context(|| files.log.display().to_string())?;
    let mut session = Argv::new("python3").args(["-c", SESSION]).arg(&argv.program);
    session = session.args(argv.args.iter().cloned());
    session.env.clone_from(&argv.env);
    let detached = proc::detach(&session, env, dir, log)?;
    let started = start_of(detached.pid).ok_or_else(|| {
        Failure::new(Exit::Prerequisite, format!("`{argv}` ended at once: {}", tail(&files.log)))
            .hint(format!("its output is in {}", files.log.display()))
    })?;
    let record = Record { pid: detached.pid, started, settings };
    let partial = files.record.with_extension("partial");
    fs::write(&partial, serde_json::to_vec(&record)?)?;
    fs::rename(&partial, &files.record)?;
    Ok((record, detached))
}

/// Ends a recorded process and what it started: SIGTERM, and after `patience` SIGKILL. Returns
/// whether there was one.
///
/// # Errors
/// The record can not be read or removed, or the process does not end.
pub async fn stop(files: &Files, patience: Duration) -> Result<bool> {
    let Some(record) = running(files)? else {
        forget(files)?;
        return Ok(false);
    };
    let pid = Pid::from_raw(record.pid).context("a record without a process id")?;
    // It may be gone by now; whether it is, is looked at below.
    let _ = kill_process(pid, Signal::TERM);
    if !gone(&record, patience).await {
        let _ = kill_process_group(pid, Signal::KILL);
        if !gone(&record, Duration::from_secs(5)).await {
            return Err(Failure::new(
                Exit::Unexpected,
                format!("process {} does not end, not even by SIGKILL", record.pid),
            )
            .hint("see what it waits for with `ps`, end it, and run this again")
            .into());
        }
    }
    forget(files)?;
    Ok(true)
}

async fn gone(record: &Record, patience: Duration) -> bool {
    let end = Instant::now() + patience;
    while start_of(record.pid).as_ref() == Some(&record.started) {
        if Instant::now() >= end {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

fn forget(files: &Files) -> Result<()> {
    match fs::remove_file(&files.record) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| files.record.display().to_string())
        }
        _ => Ok(()),
    }
}

/// The last line that a process wrote.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    last.unwrap_or("it printed nothing").to_owned()
}

/// When a process was started; `None` when there is none, or only what is left of one that
/// ended. On Linux in clock ticks since a boot, with the boot's id; elsewhere as `ps` says.
fn start_of(pid: i32) -> Option<String> {
    if let Ok(boot) = fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        return Some(format!("{} {}", boot.trim(), ticks(&stat)?));
    }
    let argv = Argv::new("ps").args(["-o", "stat=,lstart=", "-p", &pid.to_string()]);
    let output = capture(&argv, &Env::default()).ok()?;
    let line = output.stdout.trim();
    (output.ok() && !line.starts_with('Z'))
        .then(|| line.split_once(char::is_whitespace).map(|(_, start)| start.trim().to_owned()))?
}

/// The start time in `/proc/PID/stat`, unless the process has ended.
///
/// Source: proc(5): the fields behind the last `)` begin with the state, the 3rd; the start
/// time is the 22nd.
fn ticks(stat: &str) -> Option<&str> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    (!matches!(state, "Z" | "X")).then(|| fields.nth(18))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_the_22nd_field() {
        let rest = (4..=30).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(ticks(&format!("7 (a) b) S {rest}")), Some("22"));
        assert_eq!(ticks(&format!("7 (a) Z {rest}")), None);
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn another_process_with_the_same_id_is_not_the_one() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::of(dir.path(), "p");
        assert_eq!(running(&files).unwrap(), None);
        let pid = i32::try_from(std::process::id()).unwrap();
        let mut record = Record { pid, started: start_of(pid).unwrap(), settings: 1 };
        fs::write(&files.record, serde_json::to_vec(&record).unwrap()).unwrap();
        assert_eq!(running(&files).unwrap().as_ref(), Some(&record));
        record.started = "earlier".into();
        fs::write(&files.record, serde_json::to_vec(&record).unwrap()).unwrap();
        assert_eq!(running(&files).unwrap(), None);
        fs::write(&files.record, "{\"pid\"").unwrap();
        assert_eq!(running(&files).unwrap(), None);
    }

    #[tokio::test]
    async fn a_started_process_is_found_and_ended_once() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::of(dir.path(), "p");
        let argv = Argv::new("sleep").arg("60");
        let (record, _) = start(&argv, &Env::default(), dir.path(), &files, 5).unwrap();
        assert_eq!(running(&files).unwrap(), Some(record));
        assert!(stop(&files, Duration::from_secs(5)).await.unwrap());
        assert_eq!(running(&files).unwrap(), None);
        assert!(!stop(&files, Duration::from_secs(5)).await.unwrap());
    }
}
