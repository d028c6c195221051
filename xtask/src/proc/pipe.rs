//! Commands whose standard output is read while they run.

use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use super::group::Group;
use super::room::{self, read_back};
use super::{Env, Output, cannot_start, in_group};
use xtask_core::plan::argv::Argv;

/// Runs a long command in its own process group, and lets `read` have its standard output as it
/// comes. What it makes of it comes back beside how the command ended, whose own `stdout` is
/// empty. Whoever stops waiting ends the command: nothing is written any more then, and folders
/// that it worked in can be removed.
///
/// # Errors
/// The program can not be started, or `read` fails: then the command is ended. A non-zero exit
/// is not an error: it is in the output.
pub async fn piped<T, F>(argv: Argv, env: Env, read: F) -> Result<(Output, Result<T>)>
where
    T: Send + 'static,
    F: FnOnce(&mut dyn Read) -> Result<T> + Send + 'static,
{
    let wanted = Wanted::default();
    let ends_with_us = EndOnDrop(wanted.clone());
    let ended = tokio::task::spawn_blocking(move || pipe(&argv, &env, &wanted, read)).await?;
    drop(ends_with_us);
    ended
}

/// Whether somebody waits for a command, and its group while it runs.
#[derive(Clone, Default)]
struct Wanted(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    abandoned: bool,
    running: Option<Group>,
}

impl Wanted {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct EndOnDrop(Wanted);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.abandoned = true;
        state.running.iter().for_each(Group::kill_and_wait);
    }
}

fn pipe<T>(
    argv: &Argv,
    env: &Env,
    wanted: &Wanted,
    read: impl FnOnce(&mut dyn Read) -> Result<T>,
) -> Result<(Output, Result<T>)> {
    let stderr = room::file()?;
    let reader = {
        // Nobody may stop waiting between its start and the moment when it can be ended.
        let mut state = wanted.state();
        anyhow::ensure!(!state.abandoned, "nobody waits for `{}` any more", argv.program);
        let reader = in_group(argv, env)
            .stdin_null()
            .stderr_file(stderr.try_clone()?)
            .reader()
            .map_err(|error| cannot_start(argv, &error.to_string()))?;
        state.running = Some(Group::enter(&reader.pids()));
        reader
    };
    let made = read(&mut &reader);
    // Who does not read to the end does not want the rest.
    let ended = reader.try_wait();
    let group = wanted.state().running.take();
    let ended = match ended? {
        Some(ended) => ended.status.code(),
        None => {
            group.iter().for_each(Group::kill);
            None
        }
    };
    drop(group);
    Ok((Output { code: ended, stdout: String::new(), stderr: read_back(stderr)? }, made))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(script: &str, read: impl FnOnce(&mut dyn Read) -> Result<T>) -> (Output, Result<T>) {
        let argv = Argv::new("sh").args(["-c", script]);
        pipe(&argv, &Env::default(), &Wanted::default(), read).unwrap()
    }

    #[test]
    fn standard_output_is_read_and_standard_error_is_kept() {
        let (output, text) = run("echo one; echo two >&2; exit 3", |read| {
            let mut text = String::new();
            read.read_to_string(&mut text)?;
            Ok(text)
        });
        assert_eq!(
            (output.code, output.reason(), text.unwrap().as_str()),
            (Some(3), "two", "one\n")
        );
    }

    #[test]
    fn who_stops_reading_ends_the_command() {
        let started = std::time::Instant::now();
        let (output, made) = run("yes & sleep 60; wait", |read| {
            read.read_exact(&mut [0; 10])?;
            anyhow::bail!("enough") as Result<()>
        });
        assert_eq!((output.code, made.unwrap_err().to_string().as_str()), (None, "enough"));
        assert!(started.elapsed() < std::time::Duration::from_secs(30));
    }

    #[tokio::test]
    async fn who_stops_waiting_ends_the_command_before_its_folder_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let script = "while :; do mkdir -p \"$DIR\"; date > \"$DIR/file\"; done";
        let argv =
            Argv::new("sh").args(["-c", script]).env("DIR", dir.path().display().to_string());
        let waits = piped(argv, Env::default(), |read| Ok(read.read(&mut [0])?));
        let written = async {
            while !file.exists() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            _ = waits => panic!("it does not end by itself"),
            () = written => {}
        }
        std::fs::remove_dir_all(dir.path()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(!dir.path().exists());
    }
}
