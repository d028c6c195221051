//! The builder: how it is created when it is missing, and whether it is as configured when it
//! is there.

mod buildkitd;
mod difference;
mod inspected;

use std::fmt;
use std::path::{Path, PathBuf};

use super::argv::{Argv, csv};
use crate::config::{Builder, Driver, builder::Node};
pub use difference::{Difference, differences};
pub use inspected::{Inspected, parse_inspect, parse_ls};

/// How a builder is created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// The builder's name.
    pub name: String,
    /// BuildKit's configuration, in a file that is needed only while the commands run.
    pub config: Option<ConfigFile>,
    /// A command for each node; all but the first add to what the first created.
    pub commands: Vec<Argv>,
}

/// A file for BuildKit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// Where it is written.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
}

impl fmt::Display for Creation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, command) in self.commands.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { " && " })?;
            command.fmt(f)?;
        }
        if let Some(config) = &self.config {
            write!(f, ", with {}: {}", config.path.display(), config.text.trim_end())?;
        }
        Ok(())
    }
}

/// How the builder is created. It is never made the user's current one: that choice is the
/// user's. `scratch` is a folder for BuildKit's configuration.
///
/// The `docker` driver has no builder to create.
pub fn create(builder: &Builder, scratch: &Path) -> Option<Creation> {
    let name = builder.name.as_deref()?;
    if builder.driver == Driver::Docker {
        return None;
    }
    let config = (!builder.buildkitd.is_empty()).then(|| ConfigFile {
        path: scratch.join("buildkitd.toml"),
        text: buildkitd::text(&builder.buildkitd),
    });
    let last = builder.nodes.len().saturating_sub(1);
    let commands = builder.nodes.iter().enumerate().map(|(index, node)| {
        let mut argv = Argv::docker(["buildx", "create"]);
        if index > 0 {
            argv = argv.arg("--append");
        }
        argv = argv.flag("--name", name).flag("--driver", builder.driver.as_str());
        argv = node_flags(argv, node);
        if let Some(config) = &config {
            argv = argv.flag("--buildkitd-config", config.path.display().to_string());
        }
        if index == last && builder.driver != Driver::Remote {
            argv = argv.arg("--bootstrap");
        }
        argv.args(node.endpoint.iter().cloned())
    });
    Some(Creation { name: name.to_owned(), commands: commands.collect(), config })
}

fn node_flags(mut argv: Argv, node: &Node) -> Argv {
    if let Some(name) = &node.name {
        argv = argv.flag("--node", name);
    }
    for (option, value) in &node.options {
        argv = argv.flag("--driver-opt", csv(&[(option, value)]));
    }
    if !node.platforms.is_empty() {
        argv = argv.flag("--platform", node.platforms.join(","));
    }
    argv
}

/// The command that removes a builder, and with it its cache unless that is kept.
pub fn remove(name: &str, keep_state: bool) -> Argv {
    let argv = Argv::docker(["buildx", "rm"]);
    if keep_state { argv.arg("--keep-state").arg(name) } else { argv.arg(name) }
}

/// What to do about a builder that is not as configured.
pub fn fix(name: &str, driver: Driver) -> String {
    let cache = match driver {
        Driver::Remote => "its cache is where it runs, and stays",
        Driver::Docker | Driver::DockerContainer | Driver::Kubernetes => {
            "`--keep-state` leaves its cache where it can"
        }
    };
    format!(
        "`cargo xtask builder rm --keep-state` and `cargo xtask builder create` make `{name}` anew ({cache}); \
         or write into xtask.toml what it has"
    )
}

#[cfg(test)]
mod tests;
