//! Child processes: the only module that starts any.
//!
//! Short commands that ask nobody else run through xshell. Long ones whose output is streamed
//! or whose input is piped, and those that wait for a server's answer, which may never come,
//! run through duct, in a process group of their own: an end of ours ends them and everything
//! they started.

mod detach;
mod group;
mod guard;
mod pipe;
mod room;
mod tail;

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

pub use detach::{Detached, detach};
use group::Group;
pub use group::end_all;
pub use guard::{Guard, Scratch};
pub use pipe::piped;
use room::read_back;
use tail::Tail;
use xtask_core::exit::{Exit, Failure};
use xtask_core::lines::Lines;
use xtask_core::plan::argv::Argv;

/// How long the answer to a question may take. The slowest are the removal of many containers,
/// and the size of a large cache.
const ANSWER: Duration = Duration::from_secs(120);

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

/// Runs a short command and reads its output whole. A non-zero exit is not an error. It is not
/// ended with us, so it must be one that ends by itself.
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
    let stdout = room::file()?;
    let mut expression = in_group(argv, env).stdout_file(stdout.try_clone()?).stderr_to_stdout();
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
    if let Some(dir) = dir {
        expression = expression.dir(dir);
    }
    let reader = expression.reader().map_err(|error| cannot_start(argv, &error.to_string()))?;
    let group = Group::enter(&reader.pids()).guarded();
    let mut tail = Tail::default();
    let mut lines = Lines::default();
    let mut hear = |line: &str| {
        on_line(line);
        tail.push(line);
    };
    let mut piece = [0; 16 * 1024];
    loop {
        let read = (&reader).read(&mut piece).with_context(|| {
            group.kill();
            format!("the output of `{}` can not be read", argv.program)
        })?;
        if read == 0 {
            break;
        }
        lines.push(&piece[..read]).iter().for_each(|line| hear(line));
    }
    lines.finish().iter().for_each(|line| hear(line));
    let code = reader.try_wait()?.and_then(|output| output.status.code());
    drop((group, held_open));
    Ok(Output { code, stdout: read_back(stdout)?, stderr: tail.into_text() })
}

/// Runs a long command whose lines nobody waits for beside the async code that waits for it.
///
/// # Errors
/// As [`stream`].
pub async fn run(argv: Argv) -> Result<Output> {
    let run = move || stream(&argv, &Env::default(), None, Input::Nothing, |_| {});
    tokio::task::spawn_blocking(run).await?
}

/// Runs a command that asks something and reads its output whole. A non-zero exit is not an
/// error; no end within [`ANSWER`] is.
///
/// # Errors
/// The program is not there, can not be started, or does not end.
pub async fn captured(argv: Argv, env: Env) -> Result<Output> {
    let shown = argv.to_string();
    let output = captured_within(argv, env, ANSWER).await?;
    Ok(output.ok_or_else(|| {
        let seconds = ANSWER.as_secs();
        Failure::new(Exit::Prerequisite, format!("`{shown}` did not end within {seconds} s"))
            .hint("run it by hand to see what it waits for; `docker` waits for the Docker Engine")
    })?)
}

/// Runs a command in its own process group for at most `limit`, and reads its output whole.
/// `None` when that was not enough: it is ended then, with what it started.
///
/// # Errors
/// The program is not there or can not be started.
pub async fn captured_within(argv: Argv, env: Env, limit: Duration) -> Result<Option<Output>> {
    // In a thread, which goes on when nobody awaits this any more: until the command has ended
    // it is known to be running, and can be ended.
    tokio::task::spawn_blocking(move || within(&argv, &env, limit)).await?
}

fn within(argv: &Argv, env: &Env, limit: Duration) -> Result<Option<Output>> {
    let (stdout, stderr) = (room::file()?, room::file()?);
    let handle = in_group(argv, env)
        .stdin_null()
        .stdout_file(stdout.try_clone()?)
        .stderr_file(stderr.try_clone()?)
        .start()
        .map_err(|error| cannot_start(argv, &error.to_string()))?;
    let group = Group::enter(&handle.pids());
    let Some(ended) = handle.wait_timeout(limit).inspect_err(|_| group.kill())? else {
        group.kill();
        handle.wait()?;
        return Ok(None);
    };
    let code = ended.status.code();
    Ok(Some(Output { code, stdout: read_back(stdout)?, stderr: read_back(stderr)? }))
}

/// A command as the leader of a process group of its own: Ctrl-C on the terminal does not
/// reach it, and [`end_all`] ends it with everything that it started.
fn in_group(argv: &Argv, env: &Env) -> duct::Expression {
    let expression = duct::cmd(&argv.program, argv.args.iter().map(OsStr::new))
        .unchecked()
        .before_spawn(|command| {
            command.process_group(0);
            Ok(())
        });
    let env = argv.env.iter().chain(&env.0);
    env.fold(expression, |expression, (name, value)| expression.env(name, value))
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
        assert_eq!(xtask_core::exit::exit_of(&error), Exit::Prerequisite);
        let error =
            stream(&Argv::new("no-such-program"), &Env::default(), None, Input::Nothing, |_| {})
                .unwrap_err();
        assert_eq!(xtask_core::exit::exit_of(&error), Exit::Prerequisite);
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let argv = sh("sleep 60 & echo $! > \"$PID\"; wait").env("PID", pid.display().to_string());
        let limit = Duration::from_secs(1);
        assert!(captured_within(argv, Env::default(), limit).await.unwrap().is_none());
        let pid = std::fs::read_to_string(pid).unwrap();
        let state = Argv::new("ps").args(["-o", "stat=", "-p", pid.trim()]);
        let state = capture(&state, &Env::default()).unwrap().stdout;
        // It is no child of ours: who adopts it may not have reaped it yet.
        assert!(matches!(state.trim().get(..1), None | Some("Z")), "{pid}: {state}");
    }

    #[tokio::test]
    async fn what_ends_in_time_leaves_both_outputs() {
        let output = captured(sh("echo out; echo no >&2; exit 4"), Env::default()).await.unwrap();
        assert_eq!((output.code, output.stdout.as_str()), (Some(4), "out\n"));
        assert_eq!(output.reason(), "no");
    }
}
