//! A project in a temporary folder, a `docker` that says what it is told to, and runs of
//! `xtask` whose every detail a failing test prints.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::schema;

/// What most tests put into `xtask.toml`.
pub const MINIMAL: &str = r#"
[image]
name = "app"
"#;

/// An environment whose endpoint nobody listens on.
pub const NOWHERE: &str = r#"
[image]
name = "app"
[env.test]
account = "000000000000"
region = "eu-central-1"
endpoint-url = "http://127.0.0.1:9"
made-up-credentials = true
registry = "127.0.0.1:9"
repository = "app"
cluster = "app"
services = ["app"]
container = "app"
"#;

/// A project in a temporary folder.
pub struct Project {
    dir: TempDir,
    env: BTreeMap<OsString, OsString>,
}

impl Project {
    /// With this `xtask.toml`, and with nothing of the machine's environment but `PATH`.
    pub fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("xtask.toml"), config).unwrap();
        std::fs::write(dir.path().join("Dockerfile"), "FROM scratch\n").unwrap();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        let mut project = Self { dir, env: BTreeMap::new() };
        let home = project.path("home");
        project.set("HOME", home);
        project.set("PATH", std::env::var_os("PATH").unwrap());
        project.set("AWS_EC2_METADATA_DISABLED", "true");
        project
    }

    /// A path in it.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// Adds to its `xtask.toml`.
    pub fn append(&self, text: &str) {
        let path = self.path("xtask.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, config + text).unwrap();
    }

    /// Sets an environment variable.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.env.insert(name.into(), value.into());
    }

    /// Puts a program first on `PATH`: a shell script.
    pub fn program(&mut self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let rest = std::env::var("PATH").unwrap();
        self.set("PATH", format!("{}:{rest}", self.path("bin").display()));
    }

    /// Leaves on `PATH` only these programs of the machine.
    pub fn only(&mut self, names: &[&str]) {
        for name in names {
            let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
                .map(|dir| dir.join(name))
                .find(|path| path.is_file())
                .unwrap_or_else(|| panic!("{name} is on PATH"));
            std::os::unix::fs::symlink(found, self.path("bin").join(name)).unwrap();
        }
        self.set("PATH", self.path("bin"));
    }

    /// A `docker` that has an engine and buildx, notes every call in `calls`, and for a build
    /// plays the recording `events`, writes a digest and ends with `code`.
    pub fn fake_docker(&mut self, events: &str, code: i32) {
        let recordings =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("core/src/progress/testdata").join(events);
        assert!(recordings.is_file(), "{}", recordings.display());
        let script = format!(
            r#"echo "$*" >> '{calls}'
case "$1 $2" in
"info --format") echo '{{"ServerVersion":"28.5.2","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]],"ClientInfo":{{"Context":"default","Plugins":[{{"Name":"buildx","Version":"0.29.1"}}]}}}}' ;;
"buildx inspect") exit 1 ;;
"image inspect") echo 1234567 ;;
"buildx build")
  cat '{recording}' >&2
  while [ $# -gt 0 ]; do
    if [ "$1" = --metadata-file ]; then echo '{{"containerimage.digest":"sha256:{digest}"}}' > "$2"; fi
    shift
  done
  exit {code} ;;
esac"#,
            calls = self.path("calls").display(),
            recording = recordings.display(),
            digest = "ab".repeat(32),
        );
        self.program("docker", &script);
    }

    /// The calls that the fake `docker` noted.
    pub fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Runs `xtask` in it, for a reader of standard output that has gone away.
    pub fn run_unread(&self, args: &[&str]) -> Run {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(args).current_dir(self.dir.path()).env_clear().envs(&self.env);
        let child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        Run::new(args, child.wait_with_output().unwrap())
    }

    /// Runs `xtask` in it.
    pub fn run(&self, args: &[&str]) -> Run {
        Run::new(args, self.command(args).output().unwrap())
    }

    /// `xtask` in it, to be started: its output goes into pipes.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(args).current_dir(self.dir.path()).env_clear().envs(&self.env);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// A run of `xtask`.
pub struct Run {
    args: String,
    command: String,
    output: Output,
}

impl Run {
    /// Of these arguments.
    pub fn new(args: &[&str], output: Output) -> Self {
        Self { args: args.join(" "), command: schema::command_of(args), output }
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.output.status.code(), Some(code), "{self}");
        self
    }

    /// Asserts that standard error holds this.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr().contains(text), "it does not say: {text}\n{self}");
        self
    }

    /// Asserts that standard output holds this.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(self.stdout().contains(text), "it does not print: {text}\n{self}");
        self
    }

    /// Standard output.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// Standard error.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Standard output as JSON: one object, and such a one as the command's schema says.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        self.object(&self.stdout())
    }

    /// Standard output as JSON, an object a line.
    #[track_caller]
    pub fn records(&self) -> Vec<serde_json::Value> {
        self.stdout().lines().map(|line| self.object(line)).collect()
    }

    #[track_caller]
    fn object(&self, text: &str) -> serde_json::Value {
        let json = serde_json::from_str(text);
        let json = json.unwrap_or_else(|error| panic!("{error}\n{self}"));
        if let Err(error) = schema::check(&self.command, &json) {
            panic!("{error}\n{self}");
        }
        json
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "$ xtask {}\n{}", self.args, self.output.status)?;
        writeln!(f, "--- stdout\n{}--- stderr\n{}", self.stdout(), self.stderr())
    }
}
