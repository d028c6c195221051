//! The builder: how it is created when it is missing.

use super::argv::Argv;
use crate::config::{Builder, Driver};

/// The command that creates a builder. It is never made the user's current one: that choice
/// is the user's.
///
/// The `docker` driver has no builder to create.
pub fn create(builder: &Builder) -> Option<Argv> {
    let name = builder.name.as_deref()?;
    if builder.driver == Driver::Docker {
        return None;
    }
    let mut argv = Argv::docker(["buildx", "create", "--name", name])
        .flag("--driver", builder.driver.as_str());
    for option in &builder.driver_options {
        argv = argv.flag("--driver-opt", option);
    }
    if builder.driver != Driver::Remote {
        argv = argv.arg("--bootstrap");
    }
    Some(argv.args(builder.endpoint.iter().cloned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(driver: Driver, endpoint: Option<&str>, options: &[&str]) -> Option<String> {
        let builder = Builder {
            name: Some("b".into()),
            driver,
            driver_options: options.iter().map(|option| (*option).to_owned()).collect(),
            endpoint: endpoint.map(str::to_owned),
        };
        create(&builder).map(|argv| argv.to_string())
    }

    #[test]
    fn every_driver_has_its_command_and_none_is_made_current() {
        assert_eq!(line(Driver::Docker, None, &[]), None);
        assert_eq!(
            line(Driver::DockerContainer, None, &["network=host"]).unwrap(),
            "docker buildx create --name b --driver docker-container --driver-opt network=host --bootstrap"
        );
        assert_eq!(
            line(Driver::Remote, Some("tcp://b:1"), &[]).unwrap(),
            "docker buildx create --name b --driver remote tcp://b:1"
        );
        assert_eq!(
            line(Driver::Kubernetes, None, &["replicas=2"]).unwrap(),
            "docker buildx create --name b --driver kubernetes --driver-opt replicas=2 --bootstrap"
        );
    }
}
