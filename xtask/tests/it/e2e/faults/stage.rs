//! The stage: a copy of the repository with a small service, its emulator, and the proxy
//! before that.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::proxy::Proxy;
use super::started::Started;
use crate::e2e::http;
use crate::e2e::project::{Copy, PORT};
use crate::support::Run;

/// The proxy's port.
const PROXY_PORT: &str = "4578";

/// The configuration whose endpoint and registry are the proxy.
const CONFIG: &str = "faults.toml";

/// Long enough for a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
pub const TICK: Duration = Duration::from_millis(50);

const DOCKERFILE: &str = r#"ARG BASE_IMAGE=scratch
FROM ${BASE_IMAGE} AS runtime
ARG GIT_COMMIT
# A step
COPY service.py /service.py
CMD ["python3", "/service.py"]
EXPOSE 8080
"#;

/// Lets a test say for how many seconds the emulator watches a new container, also while it does.
const SITE: &str = r#"import os, sys, time
class Seconds:
    def __index__(self):
        start = time.monotonic()
        while True:
            with open(os.environ["STEADY_DELAY"]) as file:
                if time.monotonic() - start >= float(file.read() or "inf"):
                    return 0
            time.sleep(0.05)
if sys.orig_argv[1:2] == [os.environ["LAUNCHER"]]:
    from ministack.services import ecs
    assert ecs._ECS_DEPLOYMENT_STEADY_DELAY == 1
    ecs._ECS_DEPLOYMENT_STEADY_DELAY = Seconds()
"#;

/// The stage, and how many tests are at it or wait for it.
static STAGE: Mutex<Option<Stage>> = Mutex::new(None);
static USERS: Mutex<usize> = Mutex::new(0);

/// A test's turn on the stage. The last one takes it down.
pub struct Turn(MutexGuard<'static, Option<Stage>>);

impl Turn {
    /// Waits for it. The service runs a good version then, and the proxy has seen its deploy.
    pub fn take() -> Self {
        *USERS.lock().unwrap() += 1;
        let mut turn = Self(STAGE.lock().unwrap_or_else(PoisonError::into_inner));
        turn.0.get_or_insert_with(Stage::set_up).begin();
        turn
    }
}

impl std::ops::Deref for Turn {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        self.0.as_ref().unwrap()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut users = USERS.lock().unwrap();
        *users -= 1;
        // After a failed test nobody knows what is there.
        if *users == 0 || std::thread::panicking() {
            self.0.take();
        }
    }
}

/// What serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// What the health URL says.
    pub version: String,
    /// The ARN of the task definition that the service is on.
    pub task_definition: String,
}

/// The stage.
pub struct Stage {
    copy: Copy,
    /// Before AWS and the registry.
    pub proxy: Proxy,
}

impl Stage {
    fn set_up() -> Self {
        let copy = Copy::of_this_repository();
        copy.write(".dockerignore", "*\n!service.py\n");
        copy.write("service.py", include_str!("service.py"));
        let short = [("deadline = \"2m\"", "deadline = \"20s\""), ("= \"30s\"", "= \"5s\"")];
        let config = std::fs::read_to_string(copy.path(&copy.variant(&short))).unwrap();
        copy.write(CONFIG, &config.replace(PORT, PROXY_PORT));
        for folder in ["site", "run", "tmp"] {
            std::fs::create_dir(copy.path(folder)).unwrap();
        }
        copy.write("site/sitecustomize.py", SITE);
        copy.write("site/delay", "0");
        let listens = format!("127.0.0.1:{PROXY_PORT}");
        let proxy = Proxy::start(&listens, &format!("127.0.0.1:{PORT}"));
        let stage = Self { copy, proxy };
        stage.emulate();
        stage
    }

    /// Starts what is not there: the emulator, and what runs in it. One that was ended by SIGTERM
    /// goes on where it was.
    pub fn emulate(&self) {
        let mut up = self.copy.command(&["local", "up"]);
        up.env("PYTHONPATH", self.path("site")).env("STEADY_DELAY", self.path("site/delay"));
        up.env("LAUNCHER", self.path("target/xtask/ministack/launcher.py"));
        up.env("PERSIST_STATE", "1");
        Run::new(&["local", "up"], up.output().unwrap()).code(0);
    }

    /// Everything works, and a good version runs.
    fn begin(&self) {
        self.proxy.set([]);
        self.delete_locks();
        self.watches_for(0);
        self.set_breaker(true, true);
        if !self.is_well() {
            self.deploy_a_good_version();
        }
    }

    /// Deploys one, in place of what an earlier test left under way.
    pub fn deploy_a_good_version(&self) {
        self.version("serves");
        self.deploy(&["--if-busy", "supersede"]).code(0);
    }

    /// Whether a service serves that no deployment is under way of.
    pub fn is_well(&self) -> bool {
        let service = self.service();
        let primary = &service["deployments"][0];
        service["runningCount"] == 1
            && (primary["status"].as_str(), primary["rolloutState"].as_str())
                == (Some("PRIMARY"), Some("COMPLETED"))
            && self.health().0 == 200
    }

    /// A path in the copy.
    pub fn path(&self, name: &str) -> PathBuf {
        self.copy.path(name)
    }

    /// For how many seconds the emulator watches a new container.
    pub fn watches_for(&self, seconds: u32) {
        self.copy.write("site/delay", &seconds.to_string());
    }

    /// Makes a new version of the service, which behaves in this way.
    pub fn version(&self, behaviour: &str) -> String {
        self.version_with(behaviour, "")
    }

    /// As [`Self::version`], with a further step of its image.
    pub fn version_with(&self, behaviour: &str, step: &str) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let version = format!("v{}", now.as_nanos());
        let head = DOCKERFILE.replace("# A step", step);
        let text = format!("{head}ENV VERSION={version} BEHAVIOUR=\"{behaviour}\"\n");
        self.copy.write("Dockerfile", &text);
        version
    }

    /// A configuration that differs from the stage's in the section of its environment.
    pub fn variant(&self, changes: &[(&str, &str)]) -> String {
        let mut config = self.copy.read(CONFIG);
        for (was, is) in changes {
            assert!(config.contains(was), "{CONFIG} has {was}");
            config = config.replacen(was, is, 1);
        }
        self.copy.write("faults-variant.toml", &config);
        "faults-variant.toml".into()
    }

    /// A command whose files and processes can be told from others.
    pub fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.copy.command(args);
        command.env("XTASK_CONFIG", CONFIG).env("TMPDIR", self.path("tmp"));
        command.env("XDG_RUNTIME_DIR", self.path("run"));
        command
    }

    /// Runs a command.
    pub fn run(&self, args: &[&str]) -> Run {
        Run::new(args, self.command(args).output().unwrap())
    }

    /// Deploys; standard output is the report in JSON.
    pub fn deploy(&self, args: &[&str]) -> Run {
        let mut all = vec!["deploy", "--format", "json"];
        all.extend(args);
        self.run(&all)
    }

    /// Starts a command, to be ended by [`Started::end`].
    pub fn start(&self, args: &[&str]) -> Started {
        self.started(args, &mut self.command(args))
    }

    /// As [`Self::start`], of this command.
    pub fn started(&self, args: &[&str], command: &mut std::process::Command) -> Started {
        Started::new(args, command, self.path("started.log"))
    }

    /// Asks the emulator's AWS, past the proxy. The operation is as `x-amz-target` names it.
    #[track_caller]
    pub fn aws(&self, operation: &str, request: &Value) -> Value {
        let answer = http::aws(&format!("http://127.0.0.1:{PORT}/"), operation, request);
        assert_eq!(answer.status, 200, "{operation}: {answer:?}");
        answer.json()
    }

    /// Asks its ECS.
    #[track_caller]
    pub fn ecs(&self, operation: &str, request: &Value) -> Value {
        self.aws(&format!("AmazonEC2ContainerServiceV20141113.{operation}"), request)
    }

    /// The deploy locks that are held.
    pub fn locks(&self) -> Vec<String> {
        let request = json!({ "Path": "/xtask/lock", "Recursive": true });
        let found = self.aws("AmazonSSM.GetParametersByPath", &request);
        let name = |parameter: &Value| parameter["Name"].as_str().unwrap().to_owned();
        found["Parameters"].as_array().unwrap().iter().map(name).collect()
    }

    /// Deletes the locks that a deploy could not give back.
    pub fn delete_locks(&self) {
        for lock in self.locks() {
            self.aws("AmazonSSM.DeleteParameter", &json!({ "Name": lock }));
        }
    }

    /// The service as ECS describes it.
    pub fn service(&self) -> Value {
        let request = json!({ "cluster": "loppestars", "services": ["loppestars"] });
        self.ecs("DescribeServices", &request)["services"][0].clone()
    }

    /// What the health URL says.
    fn health(&self) -> (u16, String) {
        let answer = http::get(&self.copy.url("/health"));
        (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// What serves, once a container that has just been started does.
    #[track_caller]
    pub fn serving(&self) -> Serving {
        let end = Instant::now() + PATIENCE;
        loop {
            let (status, version) = self.health();
            if status == 200 {
                let task_definition = self.service()["taskDefinition"].as_str().unwrap().to_owned();
                return Serving { version, task_definition };
            }
            assert!(Instant::now() < end, "nothing serves: {status} {version}");
            std::thread::sleep(TICK);
        }
    }

    /// Asserts that this serves and nothing else, if need be after a while.
    #[track_caller]
    pub fn still_serves(&self, wanted: &Serving) {
        let good = (200, wanted.version.clone());
        let end = Instant::now() + PATIENCE;
        loop {
            let said = [self.health(), self.health(), self.health()];
            if said.iter().all(|said| *said == good) {
                break;
            }
            assert!(Instant::now() < end, "{wanted:?} does not serve, but {said:?}");
            std::thread::sleep(TICK);
        }
        assert_eq!(self.serving(), *wanted, "the service is on its old revision");
    }

    /// Asserts that no process, no lock, no credentials and no other temporary file is left.
    #[track_caller]
    pub fn nothing_is_left(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = self.left();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "these are left: {left:?}");
            std::thread::sleep(TICK);
        }
    }

    fn left(&self) -> Vec<String> {
        let mut left = self.locks();
        for folder in ["run", "tmp"] {
            let entries = std::fs::read_dir(self.path(folder)).unwrap();
            left.extend(entries.map(|entry| entry.unwrap().path().display().to_string()));
        }
        let mark = format!("XDG_RUNTIME_DIR={}", self.path("run").display());
        let marked = |process: &PathBuf| words(process, "environ").contains(&mark);
        let command = |process: PathBuf| words(&process, "cmdline").join(" ");
        left.extend(processes().filter(marked).map(command));
        left
    }

    /// Waits until a process with this command line runs, also in a container, or none does.
    #[track_caller]
    pub fn wait_until(&self, runs: bool, command: &str) {
        let end = Instant::now() + PATIENCE;
        let is_it = |process: PathBuf| words(&process, "cmdline").join(" ") == command;
        while processes().any(is_it) != runs {
            assert!(Instant::now() < end, "`{command}` runs: {}", !runs);
            std::thread::sleep(TICK);
        }
    }
}

/// Every process, as its folder in `/proc`.
fn processes() -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path())
}

/// What a process's file holds. One that is gone meanwhile, or another user's, is none of ours.
fn words(process: &Path, file: &str) -> Vec<String> {
    let bytes = std::fs::read(process.join(file)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).split_terminator('\0').map(str::to_owned).collect()
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Images of the proxy's name: `local down` knows only those of the emulator's.
        let filter = format!("reference=127.0.0.1:{PROXY_PORT}/*");
        let docker = |args: &[&str]| std::process::Command::new("docker").args(args).output();
        if let Ok(found) = docker(&["image", "ls", "--quiet", "--no-trunc", "--filter", &filter]) {
            let text = String::from_utf8_lossy(&found.stdout).into_owned();
            let ids = text.split_whitespace();
            let _ = docker(&["image", "rm", "--force"].into_iter().chain(ids).collect::<Vec<_>>());
        }
    }
}
