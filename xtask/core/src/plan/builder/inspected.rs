//! What buildx says of builders.
//!
//! `docker buildx inspect NAME` answers for one builder, in text; `docker buildx ls --format json`
//! asks every node of every builder that the user has, also those that do not answer. So a build
//! asks the first, and only `builder ls` the second. Source of both shapes: commands/inspect.go,
//! builder/node.go and commands/ls.go of buildx.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use crate::plan::secret::{secret_in, secret_looking};
use crate::plan::version::Version;

/// A builder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Inspected {
    /// Its name.
    pub name: String,
    /// The driver.
    pub driver: String,
    /// Whether it is the one that `docker buildx` takes by itself.
    pub current: bool,
    /// Why it can not be used.
    pub error: Option<String>,
    /// Its nodes.
    pub nodes: Vec<InspectedNode>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct InspectedNode {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub endpoint: String,
    /// `running`, `inactive`, ….
    pub status: Option<String>,
    /// BuildKit's version.
    pub version: Option<String>,
    /// Why it can not be used.
    pub error: Option<String>,
    /// What it builds for.
    pub platforms: Vec<String>,
    /// Those of them that were set when it was created; the list does not tell.
    pub fixed_platforms: Vec<String>,
    /// Options of the driver. Values that look like secrets are not here.
    pub options: BTreeMap<String, String>,
    /// Files for BuildKit, by name.
    #[serde(skip)]
    pub files: BTreeMap<String, String>,
}

impl Inspected {
    /// The oldest BuildKit among the nodes; one that does not run names none.
    pub fn oldest_buildkit(&self) -> Option<&str> {
        let versions = self.nodes.iter().filter_map(|node| node.version.as_deref());
        versions.min_by_key(|version| Version::read(version))
    }
}

/// Reads the text of `docker buildx inspect`.
pub fn parse_inspect(text: &str) -> Inspected {
    let mut builder = Inspected::default();
    let mut in_nodes = false;
    let mut file: Option<String> = None;
    for line in text.lines() {
        // Details of what the line above names.
        if line.starts_with([' ', '\t']) {
            if let (Some(file), Some(node)) = (&file, builder.nodes.last_mut())
                && let Some(content) = line.trim_start().strip_prefix('>')
            {
                let text = node.files.entry(file.clone()).or_default();
                text.push_str(content.strip_prefix(' ').unwrap_or(content));
                text.push('\n');
            }
            continue;
        }
        file = line.strip_prefix("File#").map(|name| name.trim_end_matches(':').to_owned());
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match (key, in_nodes) {
            ("Nodes", false) => in_nodes = true,
            ("Name", false) => value.clone_into(&mut builder.name),
            ("Driver", false) => value.clone_into(&mut builder.driver),
            ("Error", false) => builder.error = Some(value.to_owned()),
            ("Name", true) => {
                builder.nodes.push(InspectedNode { name: value.to_owned(), ..Default::default() });
            }
            (_, true) => {
                if let Some(node) = builder.nodes.last_mut() {
                    node_line(node, key, value);
                }
            }
            _ => {}
        }
    }
    builder
}

fn node_line(node: &mut InspectedNode, key: &str, value: &str) {
    match key {
        "Endpoint" => value.clone_into(&mut node.endpoint),
        "Status" => node.status = Some(value.to_owned()),
        // Older ones of buildx write `Buildkit`.
        "BuildKit version" | "BuildKit" | "Buildkit" if !value.is_empty() => {
            node.version = Some(value.to_owned());
        }
        "Error" => node.error = Some(value.to_owned()),
        "Driver Options" => node.options = shown(options(value)),
        "Platforms" => {
            for platform in value.split(", ") {
                let bare = platform.trim_end_matches('*');
                node.platforms.push(bare.to_owned());
                if bare != platform {
                    node.fixed_platforms.push(bare.to_owned());
                }
            }
        }
        _ => {}
    }
}

/// `a="b" c="d"`, with Go's quoting, which for what is printable is JSON's.
fn options(text: &str) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    let mut rest = text.trim_start();
    while let Some((name, quoted)) = rest.split_once('=') {
        let mut values = serde_json::Deserializer::from_str(quoted).into_iter::<String>();
        let Some(Ok(value)) = values.next() else { break };
        let end = values.byte_offset();
        options.insert(name.to_owned(), value);
        rest = quoted[end..].trim_start();
    }
    options
}

fn shown(options: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let secret = |name: &str| name.strip_prefix("env.").is_some_and(secret_looking);
    options
        .into_iter()
        .filter(|(name, value)| !secret(name) && secret_in(value).is_none())
        .collect()
}

/// A line of `docker buildx ls --format json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    name: String,
    #[serde(default)]
    driver: String,
    #[serde(default)]
    current: bool,
    err: Option<String>,
    nodes: Option<Vec<ListedNode>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct ListedNode {
    name: String,
    endpoint: String,
    status: Option<String>,
    version: Option<String>,
    err: Option<String>,
    platforms: Option<Vec<String>>,
    driver_opts: Option<BTreeMap<String, String>>,
    files: Option<BTreeMap<String, String>>,
}

/// Reads the lines of `docker buildx ls --format json`.
///
/// # Errors
/// A line is not such a line.
pub fn parse_ls(text: &str) -> Result<Vec<Inspected>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let listed: Listed = serde_json::from_str(line)
                .context("`docker buildx ls --format json` says something unknown")?;
            Ok(listed.into())
        })
        .collect()
}

impl From<Listed> for Inspected {
    fn from(listed: Listed) -> Self {
        Self {
            name: listed.name,
            driver: listed.driver,
            current: listed.current,
            error: listed.err.filter(|error| !error.is_empty()),
            nodes: listed.nodes.unwrap_or_default().into_iter().map(Into::into).collect(),
        }
    }
}

impl From<ListedNode> for InspectedNode {
    fn from(node: ListedNode) -> Self {
        let decode = |(name, text): (String, String)| {
            let bytes = BASE64_STANDARD.decode(text).ok()?;
            Some((name, String::from_utf8_lossy(&bytes).into_owned()))
        };
        Self {
            name: node.name,
            endpoint: node.endpoint,
            status: node.status,
            version: node.version,
            error: node.err,
            platforms: node.platforms.unwrap_or_default(),
            fixed_platforms: Vec::new(),
            options: shown(node.driver_opts.unwrap_or_default()),
            files: node.files.unwrap_or_default().into_iter().filter_map(decode).collect(),
        }
    }
}
