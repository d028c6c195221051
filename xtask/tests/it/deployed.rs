//! A project that is deployed to a stand-in for AWS.

use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::stand_in::cloud::Cloud;
use crate::stand_in::server::{ACCOUNT, Asked, Server};
use crate::support::Project;

/// Long enough for a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A line of an environment that asks for no keys.
pub const MADE_UP: &str = "made-up-credentials = true\n";

/// A project whose service `api` runs in a cloud.
pub struct Deployed {
    pub project: Project,
    pub cloud: Cloud,
    pub server: Arc<Server>,
}

/// What replaces an answer, if something does.
pub type Twist = dyn Fn(&Cloud, &Asked) -> Option<(u16, Value)> + Send + Sync;

impl Deployed {
    /// In a cloud whose answers `twist` may replace, with more lines in its environment.
    pub fn new(more: &str, twist: Box<Twist>) -> Self {
        Self::on(Cloud::new(), more, twist)
    }

    /// In this cloud.
    pub fn on(cloud: Cloud, more: &str, twist: Box<Twist>) -> Self {
        let answers = cloud.clone();
        let server = Server::start(move |asked| {
            twist(&answers, asked)
                .unwrap_or_else(|| answers.answer(&asked.operation, &asked.request))
        });
        let url = server.url();
        let more = more.replace("URL", url);
        let project = Project::new(&format!(
            r#"
[image]
name = "app"
[env.test]
account = "{ACCOUNT}"
region = "eu-central-1"
endpoint-url = "{url}"
registry = "r.example"
repository = "app"
cluster = "app"
services = ["api"]
container = "app"
{more}"#
        ));
        Self { project, cloud, server: Arc::new(server) }
    }

    /// Starts `xtask` in it.
    pub fn start(&self, args: &[&str]) -> Child {
        self.project.command(args).spawn().unwrap()
    }

    /// Waits until an operation was asked for so often.
    pub fn await_calls(&self, operation: &str, count: usize) {
        let end = Instant::now() + PATIENCE;
        while self.server.calls(operation).len() < count {
            let asked = self.server.operations();
            assert!(Instant::now() < end, "{operation} was not asked for {count} times: {asked:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
