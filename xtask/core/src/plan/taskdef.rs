//! The next task definition out of the running one, losing nothing.
//!
//! It works on raw JSON, not on the SDK's types: a field that ECS has learnt
//! since the SDK was generated would be dropped by a trip through those types,
//! and be gone from the next revision without a word. Members keep the order
//! ECS sent them in, and numbers every digit (`serde_json`'s `preserve_order`
//! and `arbitrary_precision`), so what is registered reads like what ran.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Members of a described task definition that `RegisterTaskDefinition` does
/// not take: the API's `TaskDefinition` type less the operation's parameters.
/// Anything else is handed on, known or not.
pub(super) const OUTPUT_ONLY: [&str; 9] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
];

/// What a deploy changes in a task definition. Everything not named here stays
/// as it is; a variable that is no longer declared is not removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Name of the container that gets the image.
    pub container: String,
    /// The image, by digest.
    pub image: String,
    /// Environment variables to set, name to value.
    pub environment: BTreeMap<String, String>,
    /// Secrets to set, name to the ARN they are taken from.
    pub secrets: BTreeMap<String, String>,
}

/// Why there is no next task definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskDefError {
    /// The container to change does not exist.
    UnknownContainer {
        /// The task definition's family.
        family: String,
        /// The container that was asked for.
        container: String,
        /// Those that there are.
        available: Vec<String>,
    },
    /// A member does not have the shape the API documents.
    Malformed {
        /// Where it is, such as `containerDefinitions[].environment`.
        path: String,
        /// What it should be, such as `a list`.
        expected: &'static str,
    },
    /// A name is declared both as environment and as secret.
    DeclaredTwice {
        /// The name.
        name: String,
    },
}

impl std::fmt::Display for TaskDefError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownContainer { family, container, available } => write!(
                f,
                "task definition {family} has no container {container:?}; it has {}. Set \
                 `container` in xtask.toml to one of them",
                available.join(", ")
            ),
            Self::Malformed { path, expected } => write!(
                f,
                "the described task definition is not usable: {path} is not {expected}. Compare \
                 `aws ecs describe-task-definition` with the API reference"
            ),
            Self::DeclaredTwice { name } => write!(
                f,
                "{name} is declared both as environment variable and as secret; keep one of them \
                 in xtask.toml"
            ),
        }
    }
}

impl std::error::Error for TaskDefError {}

/// The input of `RegisterTaskDefinition` for the next revision.
///
/// `current` is the reply of `DescribeTaskDefinition`, whose `tags` go along
/// when they were asked for, or just its `taskDefinition`.
///
/// # Errors
///
/// When the container does not exist, `current` is no task definition, or
/// `change` contradicts itself.
pub fn next(current: &Value, change: &Change) -> Result<Value, TaskDefError> {
    if let Some(name) = change.environment.keys().find(|name| change.secrets.contains_key(*name)) {
        return Err(TaskDefError::DeclaredTwice { name: name.clone() });
    }
    let mut input = register_input(current)?;
    let container = container_mut(&mut input, &change.container)?;
    container.insert("image".to_owned(), json!(change.image));
    set_entries(container, &change.environment, Entries::ENVIRONMENT)?;
    set_entries(container, &change.secrets, Entries::SECRETS)?;
    Ok(Value::Object(input))
}

/// A described task definition as `RegisterTaskDefinition` would take it.
pub(super) fn register_input(current: &Value) -> Result<Map<String, Value>, TaskDefError> {
    let described = current.get("taskDefinition").filter(|inner| inner.is_object());
    let mut input = described
        .unwrap_or(current)
        .as_object()
        .cloned()
        .ok_or_else(|| malformed("taskDefinition", "an object"))?;
    input.retain(|member, _| !OUTPUT_ONLY.contains(&member.as_str()));
    if let (Some(_), Some(tags)) = (described, current.get("tags")) {
        input.insert("tags".to_owned(), tags.clone());
    }
    drop_reserved_tags(&mut input);
    Ok(input)
}

/// CloudFormation marks what it creates with `aws:` tags, and ECS refuses
/// them from anybody else.
fn drop_reserved_tags(input: &mut Map<String, Value>) {
    let Some(Value::Array(tags)) = input.get_mut("tags") else { return };
    tags.retain(|tag| {
        let key = tag.get("key").and_then(Value::as_str).unwrap_or_default();
        !key.to_ascii_lowercase().starts_with("aws:")
    });
    if tags.is_empty() {
        input.shift_remove("tags");
    }
}

fn container_mut<'a>(
    input: &'a mut Map<String, Value>,
    name: &str,
) -> Result<&'a mut Map<String, Value>, TaskDefError> {
    let family = input.get("family").and_then(Value::as_str).unwrap_or_default().to_owned();
    let containers = input
        .get_mut("containerDefinitions")
        .and_then(Value::as_array_mut)
        .ok_or_else(|| malformed("containerDefinitions", "a list"))?;
    let name_of =
        |container: &Value| container.get("name").and_then(Value::as_str).map(str::to_owned);
    let available: Vec<String> = containers.iter().filter_map(name_of).collect();
    containers
        .iter_mut()
        .find(|container| name_of(container).as_deref() == Some(name))
        .and_then(Value::as_object_mut)
        .ok_or_else(|| TaskDefError::UnknownContainer {
            family,
            container: name.to_owned(),
            available,
        })
}

/// `environment` and `secrets` are the same thing twice: lists of names with
/// a value, and no name may be in both.
struct Entries {
    list: &'static str,
    value: &'static str,
    other: &'static str,
}

impl Entries {
    const ENVIRONMENT: Self = Self { list: "environment", value: "value", other: "secrets" };
    const SECRETS: Self = Self { list: "secrets", value: "valueFrom", other: "environment" };
}

fn set_entries(
    container: &mut Map<String, Value>,
    wanted: &BTreeMap<String, String>,
    kind: Entries,
) -> Result<(), TaskDefError> {
    if wanted.is_empty() {
        return Ok(());
    }
    if let Some(entries) = list_mut(container, kind.other)? {
        entries.retain(|entry| !name_of_entry(entry).is_some_and(|n| wanted.contains_key(n)));
    }
    if list_mut(container, kind.list)?.is_none() {
        container.insert(kind.list.to_owned(), json!([]));
    }
    let Some(entries) = list_mut(container, kind.list)? else { return Ok(()) };
    for (name, value) in wanted {
        let known = entries.iter_mut().find(|entry| name_of_entry(entry) == Some(name));
        match known.and_then(Value::as_object_mut) {
            Some(entry) => {
                entry.insert(kind.value.to_owned(), json!(value));
            }
            None => entries.push(json!({ "name": name, kind.value: value })),
        }
    }
    Ok(())
}

/// The list, or `None` when it is absent or null.
fn list_mut<'a>(
    container: &'a mut Map<String, Value>,
    member: &str,
) -> Result<Option<&'a mut Vec<Value>>, TaskDefError> {
    match container.get_mut(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list)),
        Some(_) => Err(malformed(&format!("containerDefinitions[].{member}"), "a list")),
    }
}

fn name_of_entry(entry: &Value) -> Option<&str> {
    entry.get("name").and_then(Value::as_str)
}

fn malformed(path: &str, expected: &'static str) -> TaskDefError {
    TaskDefError::Malformed { path: path.to_owned(), expected }
}

#[cfg(test)]
mod tests;
