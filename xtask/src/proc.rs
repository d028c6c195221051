//! Child processes: the only module that starts any.
//!
//! Short commands whose output is read whole run through xshell; long ones whose
//! output is streamed or whose input is piped run through duct, in a process group
//! of their own, so that an interruption ends them and everything they started.

use std::ffi::OsStr;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use crate::exit::{Exit, Failure};
use crate::lines::Lines;
use crate::plan::argv::Argv;

/// The process groups that run now, and whether no further one may start.
static GROUPS: Mutex<Groups> = Mutex::new(Groups { leaders: Vec::new(), closed: false });

struct Groups {
    leaders: Vec<i32>,
    closed: bool,
}

/// What a finished command left.
#[derive(Debug)]
pub struct Output {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output, decoded lossily.
    pub stdout: String,
    /// Standard error, decoded lossily.
    pub stderr: String,
}

impl Output {
    /// Whether the command ended with 0.
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }

    /// The last line of standard error that says something.
    pub fn reason(&self) -> &str {
        let said = |line: &&str| !line.is_empty();
        self.stderr.lines().rev().map(str::trim).find(said).unwrap_or("no output")
    }
}

/// Runs a short command and reads its output whole. A non-zero exit is not an error.
///
/// # Errors
/// The program is not there or can not be started.
pub fn capture(argv: &Argv, env: &Env) -> Result<Output> {
    let shell = xshell::Shell::new().context("the current directory can not be read")?;
    let mut cmd = shell.cmd(&argv.program).args(&argv.args).quiet().ignore_status();
    for (name, value) in argv.env.iter().chain(&env.0) {
        cmd = cmd.env(name, value);
    }
    let out = cmd.output().map_err(|error| cannot_start(argv, &error.to_string()))?;
    Ok(Output {
        code: out.status.code(),
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    })
}

/// Runs [`capture`] beside the async code that waits for it.
///
/// # Errors
/// As [`capture`].
pub async fn captured(argv: Argv, env: Env) -> Result<Output> {
    tokio::task::spawn_blocking(move || capture(&argv, &env)).await?
}

/// Environment variables for a command that are not shown with it.
#[derive(Clone, Default)]
pub struct Env(pub Vec<(String, String)>);

impl Env {
    /// Adds a variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }
}

/// What a long command reads on its standard input.
pub enum Input {
    /// Nothing: the end of file at once.
    Nothing,
    /// These bytes, which are never shown.
    Bytes(Vec<u8>),
    /// These few bytes, and no end of file until the command ends: a server that sees the end
    /// of a request's connection may take it that nobody waits for the answer.
    Open(&'static [u8]),
}

/// Runs a long command in its own process group and hands on each line of its
/// standard error; standard output is returned whole.
///
/// # Errors
/// The program can not be started, or its output can not be read. A non-zero exit
/// is not an error: it is in the output.
pub fn stream(
    argv: &Argv,
    env: &Env,
    dir: Option<&Path>,
    input: Input,
    mut on_line: impl FnMut(&str),
) -> Result<Output> {
    // Standard output goes to a file, so that neither stream can fill up while the other is
    // read. To duct the outermost redirection comes first: standard error takes the reader's
    // pipe before standard output leaves it.
    let stdout = tempfile::tempfile().context("no temporary file for a command's output")?;
    let mut expression = duct::cmd(&argv.program, argv.args.iter().map(OsStr::new))
        .stdout_file(stdout.try_clone()?)
        .stderr_to_stdout()
        .unchecked()
        .before_spawn(|command| {
            command.process_group(0);
            Ok(())
        });
    let mut held_open = None;
    expression = match input {
        Input::Nothing => expression.stdin_null(),
        Input::Bytes(bytes) => expression.stdin_bytes(bytes),
        Input::Open(bytes) => {
            let (read, mut write) = std::io::pipe()?;
            // Less than a pipe holds, so this does not wait for a reader.
            write.write_all(bytes)?;
            held_open = Some(write);
            expression.stdin_file(read)
        }
    };
    for (name, value) in argv.env.iter().chain(&env.0) {
        expression = expression.env(name, value);
    }
    if let Some(dir) = dir {
        expression = expression.dir(dir);
    }
    let reader = expression.reader().map_err(|error| cannot_start(argv, &error.to_string()))?;
    let group = Group::enter(&reader.pids());
    let mut tail = Tail::default();
    let mut lines = Lines::default();
    let mut hear = |line: &str| {
        on_line(line);
        tail.push(line);
    };
    let mut piece = [0; 16 * 1024];
    loop {
        let read = (&reader)
            .read(&mut piece)
            .with_context(|| format!("the output of `{}` can not be read", argv.program))?;
        if read == 0 {
            break;
        }
        lines.push(&piece[..read]).iter().for_each(|line| hear(line));
    }
    lines.finish().iter().for_each(|line| hear(line));
    let code = reader.try_wait()?.and_then(|output| output.status.code());
    drop((group, held_open));
    Ok(Output { code, stdout: read_back(stdout)?, stderr: tail.0 })
}

/// Runs a command in its own process group for at most `limit`. `None` when that was not
/// enough: it is ended then, with what it started.
///
/// # Errors
/// The program can not be started.
pub async fn captured_within(argv: &Argv, limit: Duration) -> Result<Option<Output>> {
    let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let handle = duct::cmd(&argv.program, argv.args.iter().map(OsStr::new))
        .stdin_null()
        .stdout_file(stdout.try_clone()?)
        .stderr_file(stderr.try_clone()?)
        .unchecked()
        .before_spawn(|command| {
            command.process_group(0);
            Ok(())
        })
        .start()
        .map_err(|error| cannot_start(argv, &error.to_string()))?;
    let group = Group::enter(&handle.pids());
    let end = Instant::now() + limit;
    loop {
        if let Some(ended) = handle.try_wait()? {
            let code = ended.status.code();
            return Ok(Some(Output {
                code,
                stdout: read_back(stdout)?,
                stderr: read_back(stderr)?,
            }));
        }
        if Instant::now() >= end {
            if let Some(leader) = Pid::from_raw(group.0) {
                // It may have ended this very moment, which is what is wanted.
                let _ = kill_process_group(leader, Signal::KILL);
            }
            handle.wait()?;
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

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

/// Ends every long command that still runs, and what it started: SIGTERM, and SIGKILL for
/// what is left after `patience`.
pub fn end_all(patience: Duration) {
    let groups: Vec<Pid> = {
        let mut running = GROUPS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        running.closed = true;
        running.leaders.iter().filter_map(|leader| Pid::from_raw(*leader)).collect()
    };
    for group in &groups {
        // It may have ended by itself meanwhile, which is what is wanted.
        let _ = kill_process_group(*group, Signal::TERM);
    }
    let gone = |group: &Pid| test_kill_process_group(*group).is_err();
    let end = Instant::now() + patience;
    while !groups.iter().all(gone) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    for group in groups.iter().filter(|group| !gone(group)) {
        let _ = kill_process_group(*group, Signal::KILL);
    }
}

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

/// Membership of a process group in [`GROUPS`].
struct Group(i32);

impl Group {
    fn enter(pids: &[u32]) -> Self {
        let leader = pids.first().and_then(|pid| i32::try_from(*pid).ok()).unwrap_or_default();
        let mut running = GROUPS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        running.leaders.push(leader);
        if running.closed
            && let Some(pid) = Pid::from_raw(leader)
        {
            let _ = kill_process_group(pid, Signal::TERM);
        }
        Self(leader)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let mut running = GROUPS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        running.leaders.retain(|leader| *leader != self.0);
    }
}

/// The last part of an output, whole lines.
#[derive(Default)]
struct Tail(String);

impl Tail {
    const LIMIT: usize = 64 * 1024;

    fn push(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
        if self.0.len() > 2 * Self::LIMIT {
            let cut = self.0.len() - Self::LIMIT;
            let start = self.0[..].char_indices().map(|(i, _)| i).find(|i| *i >= cut).unwrap_or(0);
            let line_start = self.0[start..].find('\n').map_or(start, |i| start + i + 1);
            self.0.drain(..line_start);
        }
    }
}

fn read_back(mut file: std::fs::File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn cannot_start(argv: &Argv, why: &str) -> Failure {
    Failure::new(Exit::Prerequisite, format!("`{}` can not be started: {why}", argv.program))
        .hint(format!("install `{}` or put it on PATH; `scripts/onboard` does it", argv.program))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Argv {
        Argv::new("sh").args(["-c", script])
    }

    #[test]
    fn streams_standard_error_and_keeps_standard_output() {
        let mut lines = Vec::new();
        let argv = sh("echo out; echo one >&2; printf 'two' >&2; exit 3");
        let out = stream(&argv, &Env::default(), None, Input::Nothing, |line| {
            lines.push(line.to_owned());
        })
        .unwrap();
        assert_eq!(lines, ["one", "two"]);
        assert_eq!((out.code, out.stdout.as_str()), (Some(3), "out\n"));
    }

    #[test]
    fn input_is_piped_and_not_an_argument() {
        let input = Input::Bytes(b"secret".to_vec());
        let out = stream(&sh("cat"), &Env::default(), None, input, |_| {}).unwrap();
        assert_eq!(out.stdout, "secret");
    }

    #[test]
    fn input_can_stay_open_until_the_command_ends() {
        // Ends by itself with 0 only if a second read finds neither a line nor the end.
        let argv =
            Argv::new("bash").args(["-c", "read -r a; echo $a; read -r -t 0.3 b; test $? -gt 128"]);
        let out = stream(&argv, &Env::default(), None, Input::Open(b"asked\n"), |_| {}).unwrap();
        assert_eq!((out.code, out.stdout.as_str()), (Some(0), "asked\n"));
        let closed = Input::Bytes(b"asked\n".to_vec());
        let out = stream(&argv, &Env::default(), None, closed, |_| {}).unwrap();
        assert_eq!(out.code, Some(1), "the end of file is told from waiting");
    }

    #[test]
    fn a_missing_program_is_a_missing_prerequisite() {
        let error = capture(&Argv::new("no-such-program"), &Env::default()).unwrap_err();
        assert_eq!(crate::exit::exit_of(&error), Exit::Prerequisite);
        let error =
            stream(&Argv::new("no-such-program"), &Env::default(), None, Input::Nothing, |_| {})
                .unwrap_err();
        assert_eq!(crate::exit::exit_of(&error), Exit::Prerequisite);
    }

    #[test]
    fn a_long_tail_keeps_whole_last_lines() {
        let mut tail = Tail::default();
        for n in 0..40_000 {
            tail.push(&format!("line é {n}"));
        }
        assert!(tail.0.len() <= 2 * Tail::LIMIT);
        assert!(tail.0.starts_with("line é ") && tail.0.ends_with("line é 39999\n"));
    }
}
