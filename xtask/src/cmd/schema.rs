//! The JSON that each command prints, as JSON Schema: `docs/schema` is generated from the types
//! that are printed, and this is where it is compared with them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::{build, builder, doctor, du, history, infra, prune, status};
use crate::apply::run::Ran;
use crate::cli::Cli;
use crate::local;
use crate::observe::logs::Line;
use crate::report::DeployReport;
use crate::ui::document::{DryRun, ErrorReport};

/// Set to 1, it writes the files anew.
const UPDATE: &str = "XTASK_UPDATE_SCHEMAS";

/// Commands whose result is in another format.
const NO_JSON: [&str; 1] = ["completions"];

type Document = fn(&mut SchemaGenerator) -> Schema;

/// What a command prints besides [`ErrorReport`]: one of these objects.
fn documents() -> BTreeMap<&'static str, Vec<Document>> {
    fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
    BTreeMap::from([
        ("build", vec![of::<build::Report<'_>> as Document, of::<DryRun>]),
        ("run", vec![of::<Ran>, of::<DryRun>]),
        ("deploy", vec![of::<DeployReport>, of::<DryRun>]),
        ("rollback", vec![of::<DeployReport>, of::<DryRun>]),
        ("logs", vec![of::<Line>]),
        ("status", vec![of::<status::Report>]),
        ("du", vec![of::<du::Report>]),
        (
            "prune",
            vec![
                of::<prune::report::Report>,
                of::<prune::report::Planned<'_>>,
                of::<prune::simulate::Simulation>,
            ],
        ),
        ("history", vec![of::<history::Report<'_>>]),
        ("doctor", vec![of::<doctor::Report<'_>>]),
        ("builder-ls", vec![of::<builder::List>]),
        ("builder-inspect", vec![of::<builder::Report>]),
        ("builder-create", vec![of::<builder::Report>, of::<DryRun>]),
        ("builder-rm", vec![of::<builder::Report>, of::<DryRun>]),
        ("infra-diff", vec![of::<infra::Planned<'_>>]),
        ("infra-deploy", vec![of::<infra::Deployed<'_>>, of::<infra::Planned<'_>>]),
        ("infra-outputs", vec![of::<infra::Outputs<'_>>]),
        ("local-up", vec![of::<local::Status>]),
        ("local-down", vec![of::<local::Down>]),
        ("local-status", vec![of::<local::Status>]),
    ])
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// The schema of what a command prints, as the file has it.
fn schema(command: &str, documents: &[Document]) -> String {
    // As it is written, not as it could be read: what may be null is there all the same.
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut any: Vec<_> = documents.iter().map(|document| document(&mut generator)).collect();
    any.push(generator.subschema_for::<ErrorReport>());
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("cargo xtask {} --format json", command.replace('-', " ")),
        "anyOf": any,
        "$defs": generator.take_definitions(true),
    });
    describe(&mut schema);
    schema.sort_all_objects();
    format!("{schema:#}\n")
}

/// Turns doc comments into text that says something outside of Rust.
fn describe(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(text) if key == "description" => {
                        let null = text.replace("`None`", "`null`").replace('\n', " ");
                        *text = null.replace("[`", "`").replace("`]", "`");
                    }
                    other => describe(other),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(describe),
        _ => {}
    }
}

/// Every command that can be typed, as its file is named.
fn commands() -> BTreeSet<String> {
    fn below(command: &clap::Command, name: &str, found: &mut BTreeSet<String>) {
        if command.get_subcommands().next().is_none() {
            found.insert(name.to_owned());
        }
        for sub in command.get_subcommands() {
            let separator = if name.is_empty() { "" } else { "-" };
            below(sub, &format!("{name}{separator}{}", sub.get_name()), found);
        }
    }
    let mut found = BTreeSet::new();
    below(&Cli::command(), "", &mut found);
    found
}

#[test]
fn the_schemas_are_those_of_the_types() {
    let update = std::env::var(UPDATE).is_ok_and(|value| value == "1");
    for (command, documents) in documents() {
        let path = docs().join("schema").join(format!("{command}.json"));
        let text = schema(command, &documents);
        if update {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            file == text,
            "docs/schema/{command}.json is not what `{command}` prints. If that is meant, write it \
             anew with `{UPDATE}=1 cargo test -p xtask schema`, and see what docs/json.md promises"
        );
    }
    let files: BTreeSet<_> = std::fs::read_dir(docs().join("schema"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let with: BTreeSet<_> = documents().keys().map(ToString::to_string).collect();
    assert_eq!(files, with, "every file is that of a command");
}

#[test]
fn every_command_has_a_schema() {
    let with: BTreeSet<_> = documents().keys().map(ToString::to_string).collect();
    let without = NO_JSON.map(str::to_owned);
    assert_eq!(with.iter().cloned().chain(without).collect::<BTreeSet<_>>(), commands());
}

#[test]
fn the_documentation_lists_every_command() {
    let text = std::fs::read_to_string(docs().join("json.md")).unwrap();
    for command in commands() {
        let file = match NO_JSON.contains(&command.as_str()) {
            true => "none".to_owned(),
            false => format!("[{command}.json](schema/{command}.json)"),
        };
        let row = format!("| `{}` | {file}", command.replace('-', " "));
        assert!(text.contains(&row), "docs/json.md lacks a row that begins with: {row}");
    }
}

/// Everything that is printed is described: what has no comment in the source has none here.
#[test]
fn every_field_is_described() {
    fn look(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                // A word that tells variants apart, and what belongs to it, are described there.
                let tag = property.get("const").is_some() || ["now", "of"].contains(&name.as_str());
                if !tag && property.get("description").is_none() {
                    found.insert(format!("{path}.{name}"));
                }
            }
        }
        if let Some(object) = value.as_object() {
            let defined = |key: &str| path.is_empty() && key != "$defs";
            for (key, value) in object {
                let below = if defined(key) || path.is_empty() { key } else { path };
                look(value, if path == "$defs" { key } else { below }, found);
            }
        } else if let Some(list) = value.as_array() {
            list.iter().for_each(|value| look(value, path, found));
        }
    }
    let mut found = BTreeSet::new();
    for (command, documents) in documents() {
        let schema: Value = serde_json::from_str(&schema(command, &documents)).unwrap();
        look(&schema, "", &mut found);
    }
    assert_eq!(found, BTreeSet::new(), "fields without a doc comment");
}
