//! What others do to the stage meanwhile: to its service, its lock and its emulator.

use std::time::Instant;

use serde_json::{Value, json};

use super::stage::{PATIENCE, Serving, Stage, TICK};

impl Stage {
    /// Changes the service.
    fn update(&self, change: Value) {
        let mut request = json!({ "cluster": "loppestars", "service": "loppestars" });
        request.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        self.ecs("UpdateService", &request);
    }

    /// Begins another deployment of what runs. It is under way for as long as the emulator watches
    /// new containers.
    pub fn begin_another_deployment(&self) {
        self.update(json!({ "forceNewDeployment": true }));
    }

    /// Begins a deployment of this revision.
    pub fn begin_deployment_of(&self, task_definition: &str) {
        self.update(json!({ "taskDefinition": task_definition }));
    }

    /// Sets the circuit breaker of deployments: whether there is one, and whether it goes back.
    pub fn set_breaker(&self, on: bool, rollback: bool) {
        let breaker = json!({ "enable": on, "rollback": rollback });
        self.configure(breaker);
    }

    /// As it was made, but a deployment fails with its first task.
    pub fn set_hasty_breaker(&self) {
        let first = json!({ "type": "COUNT", "value": 1 });
        self.configure(
            json!({ "enable": true, "rollback": true, "thresholdConfiguration": first }),
        );
    }

    fn configure(&self, breaker: Value) {
        self.update(json!({ "deploymentConfiguration": {
            "maximumPercent": 200, "minimumHealthyPercent": 100, "deploymentCircuitBreaker": breaker,
        } }));
    }

    /// Takes the deploy lock, as somebody who renews it for a long time to come.
    pub fn take_lock(&self) {
        let value = json!({
            "id": "f00", "who": "maria@desk", "what": "deploy", "since": "now", "lease-seconds": 600,
        });
        let name = "/xtask/lock/loppestars/loppestars";
        let lock = json!({ "Name": name, "Value": value.to_string(), "Type": "String" });
        self.aws("AmazonSSM.PutParameter", &lock);
    }

    /// Ends the emulator by a signal.
    pub fn end_emulator(&self, signal: &str) {
        let record = std::fs::read(self.path("target/xtask/ministack/ministack.json")).unwrap();
        let pid = serde_json::from_slice::<Value>(&record).unwrap()["pid"].to_string();
        let kill = std::process::Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(kill.unwrap().success());
        let end = Instant::now() + PATIENCE;
        while std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty()) {
            assert!(Instant::now() < end, "the emulator does not end");
            std::thread::sleep(TICK);
        }
    }

    /// Waits until this version serves, and no deployment is under way any more.
    #[track_caller]
    pub fn becomes(&self, version: &str) {
        let end = Instant::now() + PATIENCE;
        while !(self.is_well() && self.serving().version == version) {
            assert!(Instant::now() < end, "{version} does not serve, but {:?}", self.service());
            std::thread::sleep(TICK);
        }
    }

    /// Whether the container of this version runs, whoever looks after it.
    pub fn container_runs(&self, serving: &Serving) -> bool {
        let docker = |args: &[&str]| {
            let asked = std::process::Command::new("docker").args(args).output().unwrap();
            String::from_utf8(asked.stdout).unwrap()
        };
        let ids = docker(&["ps", "--quiet", "--filter", "label=ministack"]);
        let mut inspect = vec!["inspect", "--format", "{{.Config.Env}}"];
        inspect.extend(ids.split_whitespace());
        docker(&inspect).contains(&format!("VERSION={}", serving.version))
    }
}
