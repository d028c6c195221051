//! Commands whose standard output is read while they run.

use std::io::Read;

use anyhow::Result;

use super::group::Group;
use super::room::{self, read_back};
use super::{Env, Output, cannot_start, in_group};
use crate::plan::argv::Argv;

/// Runs a long command in its own process group, and lets `read` have its standard output as it
/// comes. What it makes of it comes back beside how the command ended, whose own `stdout` is
/// empty.
///
/// # Errors
/// The program can not be started, or `read` fails: then the command is ended. A non-zero exit
/// is not an error: it is in the output.
pub async fn piped<T, F>(argv: Argv, env: Env, read: F) -> Result<(Output, Result<T>)>
where
    T: Send + 'static,
    F: FnOnce(&mut dyn Read) -> Result<T> + Send + 'static,
{
    tokio::task::spawn_blocking(move || pipe(&argv, &env, read)).await?
}

fn pipe<T>(
    argv: &Argv,
    env: &Env,
    read: impl FnOnce(&mut dyn Read) -> Result<T>,
) -> Result<(Output, Result<T>)> {
    let stderr = room::file()?;
    let reader = in_group(argv, env)
        .stdin_null()
        .stderr_file(stderr.try_clone()?)
        .reader()
        .map_err(|error| cannot_start(argv, &error.to_string()))?;
    let group = Group::enter(&reader.pids());
    let made = read(&mut &reader);
    // Who does not read to the end does not want the rest.
    let ended = match reader.try_wait()? {
        Some(ended) => ended.status.code(),
        None => {
            group.kill();
            None
        }
    };
    Ok((Output { code: ended, stdout: String::new(), stderr: read_back(stderr)? }, made))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(script: &str, read: impl FnOnce(&mut dyn Read) -> Result<T>) -> (Output, Result<T>) {
        pipe(&Argv::new("sh").args(["-c", script]), &Env::default(), read).unwrap()
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
}
