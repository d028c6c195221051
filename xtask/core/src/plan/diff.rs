//! What differs between two task definitions, as a person would say it.
//!
//! Lists that are sets to ECS (containers, environment, ports, …) are compared
//! by what names their entries, not by position. What ECS fills in by itself,
//! and what means nothing (null, empty lists and objects), is no difference.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::secret::{secret_in, secret_looking, speaks_of_secret};
use super::taskdef::register_input;

/// One difference. Values are shown as text; a secret is not shown at all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// Such as `containers.api.environment.LOG_LEVEL`.
    pub path: String,
    /// `None` when it was not there.
    pub before: Option<String>,
    /// `None` when it will be gone.
    pub after: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = &self.path;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "~ {path}  {before} → {after}"),
            (None, Some(after)) => write!(f, "+ {path}  {after}"),
            (Some(before), None) => write!(f, "- {path}  {before}"),
            (None, None) => write!(f, "  {path}"),
        }
    }
}

/// Stands for a value that must not be shown.
const REDACTED: &str = "(redacted)";
/// Stands for the other value of a pair that must not be shown.
const REDACTED_NEW: &str = "(redacted, changed)";

/// How entries of a list are told apart, by the list's member name.
const KEYED: [(&str, &str); 15] = [
    ("containerDefinitions", "name"),
    ("dependsOn", "containerName"),
    ("environment", "name"),
    ("environmentFiles", "value"),
    ("extraHosts", "hostname"),
    ("mountPoints", "containerPath"),
    ("properties", "name"),
    ("resourceRequirements", "type"),
    ("secretOptions", "name"),
    ("secrets", "name"),
    ("systemControls", "namespace"),
    ("tags", "key"),
    ("ulimits", "name"),
    ("volumes", "name"),
    ("volumesFrom", "sourceContainer"),
];

/// Keyed lists whose entries are values with a name.
const NAMED_VALUES: [&str; 4] = ["environment", "properties", "systemControls", "tags"];

/// Lists of plain values whose order means nothing.
const SETS: [&str; 3] = ["add", "drop", "requiresCompatibilities"];

/// What ECS fills in where nothing was said, by parent and member.
const DEFAULTS: [(&str, &str, &str); 11] = [
    ("", "networkMode", "\"bridge\""),
    ("containerDefinitions", "cpu", "0"),
    ("containerDefinitions", "essential", "true"),
    ("portMappings", "hostPort", "0"),
    ("portMappings", "protocol", "\"tcp\""),
    ("healthCheck", "interval", "30"),
    ("healthCheck", "retries", "3"),
    ("healthCheck", "timeout", "5"),
    ("mountPoints", "readOnly", "false"),
    ("volumesFrom", "readOnly", "false"),
    ("efsVolumeConfiguration", "rootDirectory", "\"/\""),
];

/// The differences, sorted by path. Either side may be a described task
/// definition or the input to register one.
pub fn diff(current: &Value, next: &Value) -> Vec<Difference> {
    let [current, next] = [current, next].map(|definition| {
        let mut leaves = BTreeMap::new();
        if let Ok(input) = register_input(definition) {
            collect_members(&Place::root(&input), &input, &mut leaves);
        }
        leaves
    });
    let paths: BTreeSet<&String> = current.keys().chain(next.keys()).collect();
    paths
        .into_iter()
        .filter_map(|path| difference(path, current.get(path), next.get(path)))
        .collect()
}

/// Whether registering `next` would give the same task definition again.
pub fn is_unchanged(current: &Value, next: &Value) -> bool {
    let usable = [current, next].iter().all(|definition| register_input(definition).is_ok());
    usable && diff(current, next).is_empty()
}

/// One value at the end of a path.
struct Leaf {
    value: Value,
    /// What it means when it is absent.
    default: Option<Value>,
    secret: bool,
}

/// Where in the definition we are.
#[derive(Clone, Default)]
struct Place {
    path: String,
    /// Member name of the object or list we are in.
    parent: String,
    /// Inside a list of references to secrets, which are no secrets.
    references: bool,
    /// A name on the way here looks secret.
    secret: bool,
    /// The task has its own network interface or the host's, so that a host
    /// port is the container port, said or not.
    host_ports_follow: bool,
}

impl Place {
    fn root(input: &Map<String, Value>) -> Self {
        let network = input.get("networkMode").and_then(Value::as_str);
        Self { host_ports_follow: matches!(network, Some("awsvpc" | "host")), ..Self::default() }
    }

    fn member(&self, name: &str) -> Self {
        let shown = if name == "containerDefinitions" { "containers" } else { name };
        Self {
            path: if self.path.is_empty() {
                shown.to_owned()
            } else {
                format!("{}.{shown}", self.path)
            },
            parent: name.to_owned(),
            references: self.references || matches!(name, "secrets" | "secretOptions"),
            secret: self.secret || secret_looking(name),
            ..*self
        }
    }

    fn entry(&self, key: &str) -> Self {
        Self {
            path: format!("{}.{key}", self.path),
            // The name of a container or a volume says nothing of its content.
            secret: self.secret
                || (NAMED_VALUES.contains(&self.parent.as_str()) && secret_looking(key)),
            ..self.clone()
        }
    }
}

fn collect(place: &Place, value: &Value, leaves: &mut BTreeMap<String, Leaf>) {
    match value {
        Value::Null => {}
        Value::Object(members) => collect_members(place, members, leaves),
        Value::Array(list) => collect_list(place, list, leaves),
        value => add_leaf(place, value.clone(), None, leaves),
    }
}

fn collect_members(
    place: &Place,
    members: &Map<String, Value>,
    leaves: &mut BTreeMap<String, Leaf>,
) {
    for (name, value) in members {
        let default = default_of(place, name, members);
        match default {
            Some(default) if !value.is_null() => {
                add_leaf(&place.member(name), value.clone(), Some(default), leaves);
            }
            _ => collect(&place.member(name), value, leaves),
        }
    }
}

fn collect_list(place: &Place, list: &[Value], leaves: &mut BTreeMap<String, Leaf>) {
    if list.is_empty() {
        return;
    }
    if let Some(entries) = keyed(&place.parent, list) {
        for (key, entry) in entries {
            collect_entry(&place.entry(&key), entry, leaves);
        }
        return;
    }
    let mut list = list.to_vec();
    if SETS.contains(&place.parent.as_str()) {
        list.sort_by_key(Value::to_string);
    }
    add_leaf(place, Value::Array(list), None, leaves);
}

/// An entry that is nothing but a name and a value reads best as `NAME value`.
fn collect_entry(place: &Place, entry: &Value, leaves: &mut BTreeMap<String, Leaf>) {
    let Value::Object(members) = entry else { return collect(place, entry, leaves) };
    let value_member = match place.parent.as_str() {
        "secrets" | "secretOptions" => "valueFrom",
        parent if NAMED_VALUES.contains(&parent) => "value",
        _ => "",
    };
    if members.len() == 2 && members.contains_key(value_member) {
        return collect(place, &members[value_member], leaves);
    }
    // The entry itself, so that one of nothing but defaults counts.
    add_leaf(place, Value::String("present".to_owned()), None, leaves);
    let mut members = members.clone();
    if let Some(name) = name_member(&place.parent) {
        members.shift_remove(name);
    }
    collect_members(place, &members, leaves);
}

/// The list's entries by what names them, the second of a name as `NAME#2`;
/// `None` when an entry has no name and position is all there is.
fn keyed<'a>(parent: &str, list: &'a [Value]) -> Option<BTreeMap<String, &'a Value>> {
    let mut entries = BTreeMap::new();
    for entry in list {
        let name = match parent {
            "portMappings" => port(entry)?,
            _ => entry.get(name_member(parent)?)?.as_str()?.to_owned(),
        };
        let mut key = name.clone();
        let mut count = 1;
        while entries.contains_key(&key) {
            count += 1;
            key = format!("{name}#{count}");
        }
        entries.insert(key, entry);
    }
    Some(entries)
}

fn name_member(parent: &str) -> Option<&'static str> {
    KEYED.iter().find(|(list, _)| *list == parent).map(|(_, member)| *member)
}

/// `8080/tcp`: unique in a container, while a port's name is optional.
fn port(mapping: &Value) -> Option<String> {
    let port = match mapping.get("containerPort") {
        Some(port) => port.to_string(),
        None => mapping.get("containerPortRange")?.as_str()?.to_owned(),
    };
    let protocol = mapping.get("protocol").and_then(Value::as_str).unwrap_or("tcp");
    Some(format!("{port}/{protocol}"))
}

fn default_of(place: &Place, member: &str, siblings: &Map<String, Value>) -> Option<Value> {
    if place.host_ports_follow && place.parent == "portMappings" && member == "hostPort" {
        let (host, container) = (siblings.get(member), siblings.get("containerPort"));
        if host == container {
            return host.cloned();
        }
    }
    let (_, _, default) =
        DEFAULTS.iter().find(|(parent, name, _)| *parent == place.parent && *name == member)?;
    serde_json::from_str(default).ok()
}

fn add_leaf(
    place: &Place,
    value: Value,
    default: Option<Value>,
    leaves: &mut BTreeMap<String, Leaf>,
) {
    let text = value.as_str().unwrap_or_default();
    let reference = place.references || text.starts_with("arn:");
    let secret = !reference && (place.secret || secret_in(text).is_some());
    leaves.insert(place.path.clone(), Leaf { value, default, secret });
}

fn difference(path: &str, before: Option<&Leaf>, after: Option<&Leaf>) -> Option<Difference> {
    let unsaid =
        |leaf: Option<&Leaf>| leaf.is_none_or(|leaf| leaf.default.as_ref() == Some(&leaf.value));
    let same = match (before, after) {
        (Some(before), Some(after)) => before.value == after.value,
        _ => unsaid(before) && unsaid(after),
    };
    if same {
        return None;
    }
    let secret = [before, after].into_iter().flatten().any(|leaf| leaf.secret);
    let show = |leaf: &Leaf, hidden: &str| {
        if secret { hidden.to_owned() } else { text(&leaf.value) }
    };
    let hidden_after = if before.is_some() { REDACTED_NEW } else { REDACTED };
    Some(Difference {
        path: path.to_owned(),
        before: before.map(|leaf| show(leaf, REDACTED)),
        after: after.map(|leaf| show(leaf, hidden_after)),
    })
}

fn text(value: &Value) -> String {
    match redact(value) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The value without secrets inside lists and objects that are shown whole.
fn redact(value: &Value) -> Value {
    match value {
        Value::Array(list) => Value::Array(redact_arguments(list)),
        Value::Object(members) => {
            let named_secret =
                members.get("name").and_then(Value::as_str).is_some_and(secret_looking);
            let redact_member = |(name, value): (&String, &Value)| {
                let hide = value.is_string()
                    && (secret_looking(name) || (named_secret && name == "value"));
                (name.clone(), if hide { Value::from(REDACTED) } else { redact(value) })
            };
            Value::Object(members.iter().map(redact_member).collect())
        }
        Value::String(text) if secret_in(text).is_some() || speaks_of_secret(text) => {
            Value::from(REDACTED)
        }
        other => other.clone(),
    }
}

/// Command lines carry secrets too: `--password x`, `API_KEY=x`.
fn redact_arguments(list: &[Value]) -> Vec<Value> {
    let mut hide_next = false;
    let redact_argument = |argument: &Value| {
        let Some(text) = argument.as_str() else { return redact(argument) };
        if std::mem::take(&mut hide_next) {
            return Value::from(REDACTED);
        }
        match text.split_once('=') {
            Some((name, _)) if secret_looking(name) => Value::from(format!("{name}={REDACTED}")),
            Some(_) => redact(argument),
            None => {
                hide_next = text.starts_with('-') && secret_looking(text);
                redact(argument)
            }
        }
    };
    list.iter().map(redact_argument).collect()
}

#[cfg(test)]
mod tests;
