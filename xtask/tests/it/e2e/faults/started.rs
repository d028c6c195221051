//! A command that is disturbed while it runs.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::stage::{PATIENCE, TICK};
use crate::support::Run;

/// A command that was started.
pub struct Started {
    args: Vec<String>,
    child: Child,
    log: PathBuf,
}

impl Started {
    /// Starts it. What it says goes into a file.
    pub fn new(args: &[&str], command: &mut Command, log: PathBuf) -> Self {
        let stderr = std::fs::File::create(&log).unwrap();
        let child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self { args, child, log }
    }

    /// Waits until its standard error holds this.
    #[track_caller]
    pub fn wait_until_it_says(&self, text: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let said = std::fs::read_to_string(&self.log).unwrap();
            if said.contains(text) {
                return;
            }
            assert!(Instant::now() < end, "it never said {text}, but: {said}");
            std::thread::sleep(TICK);
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end.
    pub fn end(self) -> Run {
        let mut output = self.child.wait_with_output().unwrap();
        output.stderr = std::fs::read(&self.log).unwrap();
        Run::new(&self.args.iter().map(String::as_str).collect::<Vec<_>>(), output)
    }
}
