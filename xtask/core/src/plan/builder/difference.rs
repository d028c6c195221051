//! In what a builder differs from what is configured.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::buildkitd;
use super::inspected::{Inspected, InspectedNode};
use crate::config::{Builder, Driver, builder::Node};

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// In what.
    pub what: String,
    /// What the builder has.
    pub found: String,
    /// What xtask.toml says.
    pub wanted: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, and xtask.toml says {}", self.what, self.found, self.wanted)
    }
}

/// In what a builder differs. What is not configured is not compared: that is buildx's choice.
pub fn differences(wanted: &Builder, found: &Inspected) -> Vec<Difference> {
    let mut all = Vec::new();
    let driver = wanted.driver.as_str();
    if found.driver != driver {
        // Everything else would follow from this.
        return vec![difference("driver", &found.driver, driver)];
    }
    let nodes = match wanted.driver {
        Driver::Docker => return all,
        // buildx shows its pods in place of the nodes that were created, so only what is the same
        // for all of them can be compared.
        Driver::Kubernetes if wanted.nodes.len() > 1 => return all,
        Driver::Kubernetes => 1,
        Driver::DockerContainer | Driver::Remote => {
            if found.nodes.len() != wanted.nodes.len() {
                let (is, says) = (found.nodes.len().to_string(), wanted.nodes.len().to_string());
                all.push(difference("nodes", &is, &says));
            }
            wanted.nodes.len()
        }
    };
    for (wanted_node, node) in wanted.nodes.iter().zip(&found.nodes).take(nodes) {
        node_differences(wanted_node, node, &mut all);
        // buildx does not show the files of a node that it can not reach.
        if !wanted.buildkitd.is_empty() && node.error.is_none() {
            config_differences(&buildkitd::text(&wanted.buildkitd), node, &mut all);
        }
    }
    all
}

fn node_differences(wanted: &Node, found: &InspectedNode, all: &mut Vec<Difference>) {
    let of = |what: &str| format!("{what} of {}", found.name);
    if let Some(endpoint) = wanted.endpoint.as_ref().filter(|endpoint| **endpoint != found.endpoint)
    {
        all.push(difference(&of("endpoint"), &found.endpoint, endpoint));
    }
    let platforms: Vec<&str> = wanted.platforms.iter().map(|platform| plain(platform)).collect();
    if !platforms.is_empty() && platforms != found.fixed_platforms {
        let is = found.fixed_platforms.join(", ");
        all.push(difference(&of("platforms"), &is, &platforms.join(", ")));
    }
    let names: BTreeSet<&String> = wanted.options.keys().chain(found.options.keys()).collect();
    for name in names {
        let (wanted, found) = (wanted.options.get(name), found.options.get(name));
        compare(&of(&format!("driver option {name}")), found, wanted, all);
    }
}

/// `linux/arm64/v8` is what buildx calls `linux/arm64`.
fn plain(platform: &str) -> &str {
    match platform {
        "linux/arm64/v8" => "linux/arm64",
        other => other,
    }
}

/// Compares BuildKit's configuration key by key: buildx writes the file anew, in its own style.
fn config_differences(wanted: &str, node: &InspectedNode, all: &mut Vec<Difference>) {
    let found = node.files.get("buildkitd.toml").map_or("", String::as_str);
    let (found, wanted) = (leaves(found), leaves(wanted));
    let keys: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    for key in keys {
        let what = format!("buildkitd {key} of {}", node.name);
        compare(&what, found.get(key), wanted.get(key), all);
    }
}

/// The values of a TOML text by their path; of certificates only the files' names, since buildx
/// copies them.
fn leaves(text: &str) -> BTreeMap<String, String> {
    fn visit(path: &str, value: &toml::Value, leaves: &mut BTreeMap<String, String>) {
        let below =
            |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match value {
            toml::Value::Table(table) => {
                table.iter().for_each(|(key, value)| visit(&below(key), value, leaves));
            }
            toml::Value::Array(items) => {
                let items = items.iter().enumerate();
                items.for_each(|(index, item)| visit(&below(&index.to_string()), item, leaves));
            }
            toml::Value::String(text) => {
                let certificate = path.contains(".ca.");
                let text = if certificate { text.rsplit('/').next() } else { Some(&**text) };
                leaves.insert(path.to_owned(), format!("{:?}", text.unwrap_or_default()));
            }
            toml::Value::Integer(number) => {
                leaves.insert(path.to_owned(), number.to_string());
            }
            toml::Value::Boolean(on) => {
                leaves.insert(path.to_owned(), on.to_string());
            }
            // BuildKit has no such keys.
            toml::Value::Float(_) | toml::Value::Datetime(_) => {}
        }
    }
    let mut found = BTreeMap::new();
    // What can not be read has nothing in common with what is wanted.
    let table: toml::Table = text.parse().unwrap_or_default();
    visit("", &toml::Value::Table(table), &mut found);
    found
}

fn compare(what: &str, found: Option<&String>, wanted: Option<&String>, all: &mut Vec<Difference>) {
    if found != wanted {
        let text = |value: Option<&String>| value.cloned().unwrap_or_else(|| "not set".to_owned());
        all.push(difference(what, &text(found), &text(wanted)));
    }
}

fn difference(what: &str, found: &str, wanted: &str) -> Difference {
    Difference { what: what.to_owned(), found: found.to_owned(), wanted: wanted.to_owned() }
}
