//! Running the built image on this machine: the commands.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::argv::Argv;
use crate::config::Hidden;

/// A container of the built image, ready to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The command that starts it.
    pub start: Argv,
    /// The command that removes it, also while it runs.
    pub remove: Argv,
    /// The command that prints what it logs, both streams to standard error, until it ends.
    pub follow: Argv,
    /// The container's name.
    pub container: String,
    /// The image.
    pub image: String,
    /// Variables of the container, set for the command and never shown: they may be secrets.
    pub variables: Vec<(String, Hidden)>,
    /// Where it answers on this machine.
    pub url: String,
    /// What tells that it is healthy.
    pub health: Health,
    /// How long that may take.
    pub timeout: Duration,
    /// End as soon as it is healthy.
    pub until_healthy: bool,
}

/// What tells that a container is healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// The image's own `HEALTHCHECK`.
    Image,
    /// This URL answers 200.
    Url(String),
}

/// What a run depends on.
pub struct Inputs<'a> {
    /// The image's name.
    pub image: &'a str,
    /// The container's name.
    pub container: &'a str,
    /// The port that the service listens on in the container.
    pub port: u16,
    /// The port of this machine that leads there.
    pub host_port: u16,
    /// Path of a health URL, where the image has no check of its own.
    pub health: Option<&'a str>,
    /// Variables of the container.
    pub environment: &'a BTreeMap<String, Hidden>,
    /// How long it may take to become healthy.
    pub timeout: Duration,
    /// End as soon as it is healthy.
    pub until_healthy: bool,
}

/// The commands of a run. Only this machine reaches the port.
pub fn run(inputs: &Inputs<'_>) -> Run {
    let url = format!("http://127.0.0.1:{}", inputs.host_port);
    let mut start = Argv::docker(["run", "--detach", "--init", "--name", inputs.container])
        .flag("--publish", format!("127.0.0.1:{}:{}", inputs.host_port, inputs.port));
    for name in inputs.environment.keys() {
        // Without a value docker takes it from its own environment, which `ps` does not show.
        start = start.flag("--env", name);
    }
    let script = "exec docker logs --follow \"$1\" 1>&2";
    Run {
        start: start.arg(inputs.image),
        remove: Argv::docker(["rm", "--force", "--volumes", inputs.container]),
        follow: Argv::new("sh").args(["-c", script, "sh", inputs.container]),
        container: inputs.container.to_owned(),
        image: inputs.image.to_owned(),
        variables: inputs.environment.clone().into_iter().collect(),
        health: match inputs.health {
            Some(path) => Health::Url(format!("{url}{path}")),
            None => Health::Image,
        },
        url,
        timeout: inputs.timeout,
        until_healthy: inputs.until_healthy,
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.start.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_arguments_and_the_port_is_this_machine_s_alone() {
        let environment = BTreeMap::from([("KEY".to_owned(), Hidden("planted".into()))]);
        let inputs = Inputs {
            image: "app:latest",
            container: "app-run",
            port: 8080,
            host_port: 9000,
            health: Some("/health"),
            environment: &environment,
            timeout: Duration::from_secs(30),
            until_healthy: false,
        };
        let run = run(&inputs);
        assert_eq!(
            run.to_string(),
            "docker run --detach --init --name app-run --publish 127.0.0.1:9000:8080 --env KEY app:latest"
        );
        assert_eq!(run.health, Health::Url("http://127.0.0.1:9000/health".into()));
        assert!(!format!("{run:?}").contains("planted"));
    }
}
