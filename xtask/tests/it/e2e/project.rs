//! A copy of this repository with ports of its own, and what the test asks of it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::github::assert_groups;
use crate::support::Run;

/// The emulator's port.
pub const PORT: &str = "4577";

/// The port of the stand-in of Supabase Storage.
const STORAGE_PORT: &str = "5091";

/// A line that no build on this machine has seen.
pub fn unique_comment() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("\n# {}\n", now.as_nanos())
}

/// A copy of this repository. Dropping it takes its local environment down.
pub struct Copy {
    dir: TempDir,
    // Where private files go: others of this machine have theirs elsewhere.
    runtime: TempDir,
    // Ports, and the builder's cache: one copy at a time on this machine.
    _turn: std::fs::File,
}

impl Copy {
    /// Every file that git knows or would add. Waits until no other copy is in use.
    pub fn of_this_repository() -> Self {
        let turn = std::fs::File::create(std::env::temp_dir().join("xtask-e2e.lock")).unwrap();
        turn.lock().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let listed = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(root)
            .output()
            .unwrap();
        assert!(listed.status.success(), "the repository is a git work tree");
        for name in String::from_utf8(listed.stdout).unwrap().split_terminator('\0') {
            let (from, to) = (root.join(name), dir.path().join(name));
            // A file that git still lists may be deleted.
            if from.is_file() {
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::copy(from, to).unwrap();
            }
        }
        let copy = Self { dir, runtime: tempfile::tempdir().unwrap(), _turn: turn };
        copy.remove_what_a_killed_run_left();
        let config = copy.read("xtask.toml");
        copy.write("xtask.toml", &config.replace("4566", PORT).replace("5080", STORAGE_PORT));
        copy.git(&["init", "--quiet"]);
        copy.commit();
        copy
    }

    /// Commits everything.
    pub fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&[
            "-c",
            "user.name=e2e",
            "-c",
            "user.email=e2e@example.com",
            "commit",
            "-qm",
            "e2e",
        ]);
    }

    /// Runs git in it.
    pub fn git(&self, args: &[&str]) {
        let run = Command::new("git").args(args).current_dir(self.dir.path()).output().unwrap();
        assert!(run.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&run.stderr));
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of it.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Writes a file of it.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Adds to the end of a file.
    pub fn append(&self, name: &str, text: &str) {
        self.write(name, &(self.read(name) + text));
    }

    /// A configuration beside `xtask.toml` whose environment `local` differs in something.
    pub fn variant(&self, changes: &[(&str, &str)]) -> String {
        let config = self.read("xtask.toml");
        let (before, local) = config.split_once("[env.local]").unwrap();
        let mut local = local.to_owned();
        for (was, is) in changes {
            assert!(local.contains(was), "xtask.toml has {was}");
            local = local.replacen(was, is, 1);
        }
        self.write("variant.toml", &format!("{before}[env.local]{local}"));
        "variant.toml".into()
    }

    /// `xtask` in it, to be started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(args).current_dir(self.dir.path());
        command.env("XDG_RUNTIME_DIR", self.runtime.path());
        for name in ["XTASK_ENV", "XTASK_CONFIG", "GITHUB_ACTIONS"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs `xtask` in it.
    pub fn run(&self, args: &[&str]) -> Run {
        self.run_with(&[], args)
    }

    /// Runs `xtask` in it, with these environment variables.
    pub fn run_with(&self, env: &[(&str, &str)], args: &[&str]) -> Run {
        let start = Instant::now();
        let output = self.command(args).envs(env.iter().copied()).output().unwrap();
        let run = Run::new(args, output);
        tell(&format!("{:6.1} s  xtask {}", start.elapsed().as_secs_f64(), args.join(" ")));
        run
    }

    /// Runs `xtask` as a step of a job of GitHub Actions; with it, the step's outputs and summary.
    pub fn run_as_job(&self, args: &[&str]) -> (Run, String, String) {
        let files = ["target/job-output", "target/job-summary"].map(|name| self.path(name));
        let [output, summary] = &files;
        for file in &files {
            std::fs::write(file, "").unwrap();
        }
        let env = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_OUTPUT", output.to_str().unwrap()),
            ("GITHUB_STEP_SUMMARY", summary.to_str().unwrap()),
            ("GITHUB_WORKSPACE", self.dir.path().to_str().unwrap()),
        ];
        let run = self.run_with(&env, args);
        assert_groups(&run);
        let [output, summary] = files.map(|file| std::fs::read_to_string(file).unwrap());
        (run, output, summary)
    }

    /// Runs `xtask`, and interrupts it so long after its standard error said something.
    pub fn interrupt(&self, args: &[&str], said: &str, after: Duration) -> Run {
        let log = self.path("target/interrupted.log");
        let stderr = std::fs::File::create(&log).unwrap();
        let child = self.command(args).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let heard = || std::fs::read_to_string(&log).unwrap().contains(said);
        let patience = Instant::now() + Duration::from_secs(60);
        while !heard() {
            assert!(Instant::now() < patience, "it never said {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(after);
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let mut output = child.wait_with_output().unwrap();
        output.stderr = std::fs::read(&log).unwrap();
        Run::new(args, output)
    }

    /// The name of a pushed image.
    pub fn pushed(&self, digest: &str) -> String {
        format!("127.0.0.1:{PORT}/loppestars@{digest}")
    }

    /// How many bytes the files have that git tracks.
    pub fn bytes(&self) -> u64 {
        let listed = Command::new("git")
            .args(["ls-tree", "-r", "--format=%(objectsize)", "HEAD"])
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        let text = String::from_utf8(listed.stdout).unwrap();
        text.lines().map(|size| size.parse::<u64>().unwrap()).sum()
    }

    /// A URL of the service, through the load balancer.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{PORT}/_alb/loppestars{path}")
    }

    fn status(&self) -> Value {
        self.run(&["status", "--format", "json"]).code(0).json()["services"][0].clone()
    }

    /// The task definition that the service is on.
    pub fn task_definition(&self) -> String {
        self.status()["task-definition"].as_str().unwrap().to_owned()
    }

    /// The digest that the service is on.
    pub fn digest(&self) -> String {
        let image = self.status()["image"].as_str().unwrap().to_owned();
        image.split_once('@').unwrap().1.to_owned()
    }

    /// How many tasks run.
    pub fn services_running(&self) -> u64 {
        self.status()["running"].as_u64().unwrap()
    }

    /// The bytes of a row of `du`.
    pub fn usage(&self) -> impl Fn(&str, &str) -> u64 {
        let report = self.run(&["du", "--format", "json"]).code(0).json();
        move |area, what| {
            let rows = report["rows"].as_array().unwrap();
            let row = rows.iter().find(|row| row["area"] == area && row["what"] == what);
            // An area that is empty has no rows.
            row.map_or(0, |row| row["bytes"].as_u64().unwrap())
        }
    }

    /// The example request of xtask.toml: URL and JSON.
    pub fn example(&self) -> (String, String) {
        let config: toml::Table = self.read("xtask.toml").parse().unwrap();
        let example = &config["env"]["local"]["emulator"]["example"];
        let text = |key: &str| example[key].as_str().unwrap().to_owned();
        (text("url"), text("json"))
    }

    /// What the service stored, asked of the stand-in of Supabase Storage.
    pub fn stored_photo(&self, url: &str) -> Vec<u8> {
        let gateway = Command::new("docker")
            .args([
                "network",
                "inspect",
                "bridge",
                "--format",
                "{{(index .IPAM.Config 0).Gateway}}",
            ])
            .output()
            .unwrap();
        let gateway = String::from_utf8(gateway.stdout).unwrap();
        let answer = super::http::get(&url.replace("host.docker.internal", gateway.trim()));
        assert_eq!(answer.status, 200, "{url}");
        answer.body
    }

    /// Containers of the emulator.
    pub fn containers(&self) -> Vec<String> {
        let listed = Command::new("docker")
            .args(["ps", "--all", "--filter", "label=ministack", "--format"])
            .arg("{{.Label \"ministack.instance\"}} {{.Names}}")
            .output()
            .unwrap();
        let text = String::from_utf8(listed.stdout).unwrap();
        let ours = |line: &&str| line.split(' ').next().unwrap().ends_with(&format!(":{PORT}"));
        text.lines().filter(ours).map(str::to_owned).collect()
    }

    /// A run that was killed took nothing down: its copy is gone, and its tasks would hold their
    /// ports. Whoever listens on the emulator's port still owns them.
    fn remove_what_a_killed_run_left(&self) {
        if TcpListener::bind(format!("127.0.0.1:{PORT}")).is_err() {
            return;
        }
        for container in self.containers() {
            let name = container.split(' ').nth(1).unwrap();
            tell(&format!("removes {container}, which a killed run left"));
            let removed =
                Command::new("docker").args(["rm", "--force", "--volumes", name]).output().unwrap();
            assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
        }
    }

    /// Whether the engine has a container of this name.
    pub fn has_container(&self, name: &str) -> bool {
        let found = Command::new("docker").args(["container", "inspect", name]).output().unwrap();
        found.status.success()
    }

    /// Private Docker configurations that were not removed.
    pub fn leftovers(&self) -> Vec<String> {
        // The guard may be a moment behind.
        std::thread::sleep(Duration::from_millis(300));
        let entries = std::fs::read_dir(self.runtime.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("xtask-docker-")).collect()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // After a failed test the emulator must not stay; what it says is of no interest then.
        let _ = self.command(&["local", "down"]).output();
    }
}

/// For whoever watches a long test with `--nocapture`, and for a failure's report.
#[expect(clippy::print_stderr, reason = "the test harness shows it with a failure")]
fn tell(line: &str) {
    eprintln!("{line}");
}
