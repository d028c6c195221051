//! What is printed as JSON, held against `docs/schema`.
//!
//! The schemas leave room for fields that a later version adds. Here they do not: a field
//! that is printed and not documented is found.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

/// Says where the output of a command differs from its schema.
///
/// # Errors
/// It differs, or the command has no schema.
pub fn check(command: &str, output: &Value) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = path.join("../docs/schema").join(format!("{command}.json"));
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let root: Value = serde_json::from_str(&text).map_err(|e| format!("{command}.json: {e}"))?;
    whole(&root, &root, output, command)
}

/// The command of a command line, as its schema is named.
pub fn command_of(args: &[&str]) -> String {
    let mut words = args.iter().copied().filter(|arg| !arg.starts_with('-'));
    let first = words.next().unwrap_or_default();
    match (first, words.next()) {
        ("builder" | "infra" | "local", Some(second)) => format!("{first}-{second}"),
        _ => first.to_owned(),
    }
}

/// A value against a schema, and every field of it against those that the schema knows.
fn whole(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let mut known = BTreeSet::new();
    against(root, schema, value, at, &mut known)?;
    let unknown = |key: &&String| !known.contains(*key);
    match value.as_object().and_then(|object| object.keys().find(unknown)) {
        Some(key) => Err(format!("{at}.{key} is not documented")),
        None => Ok(()),
    }
}

/// Knows the keywords that are in use, and fails on any other.
fn against(
    root: &Value,
    schema: &Value,
    value: &Value,
    at: &str,
    known: &mut BTreeSet<String>,
) -> Result<(), String> {
    let empty = Map::new();
    let keywords = match schema {
        Value::Bool(true) => &empty,
        other => other.as_object().ok_or_else(|| format!("{at}: no schema: {other}"))?,
    };
    // What is no number is neither too small nor too large.
    let number = |of: &Value| value.as_f64().and(of.as_f64());
    let wrong = |what: &str| Err(format!("{at} is {value}, and not {what}"));
    for (keyword, argument) in keywords {
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "format" | "default" => {}
            "$ref" => {
                let pointer = argument.as_str().and_then(|text| text.strip_prefix('#'));
                let target = pointer.and_then(|pointer| root.pointer(pointer));
                let target = target.ok_or_else(|| format!("{at}: {argument} leads nowhere"))?;
                against(root, target, value, at, known)?;
            }
            "type" => {
                let types =
                    argument.as_array().map_or(std::slice::from_ref(argument), Vec::as_slice);
                if !types.iter().any(|name| is(name.as_str().unwrap_or_default(), value)) {
                    return wrong(&argument.to_string());
                }
            }
            "const" if argument != value => return wrong(&argument.to_string()),
            "enum" if !argument.as_array().is_some_and(|words| words.contains(value)) => {
                return wrong(&format!("one of {argument}"));
            }
            "minimum" if number(value) < number(argument) => return wrong("as large"),
            "maximum" if number(value) > number(argument) => return wrong("as small"),
            "const" | "enum" | "minimum" | "maximum" => {}
            "uniqueItems" | "minItems" | "maxItems" | "additionalProperties" => {}
            "required" => {
                for name in argument.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if value.get(name).is_none() {
                        return Err(format!("{at}.{name} is missing"));
                    }
                }
            }
            "properties" => {
                for (name, property) in argument.as_object().into_iter().flatten() {
                    known.insert(name.clone());
                    if let Some(value) = value.get(name) {
                        whole(root, property, value, &format!("{at}.{name}"))?;
                    }
                }
            }
            "items" | "prefixItems" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    let schema = argument.get(index).unwrap_or(argument);
                    whole(root, schema, item, &format!("{at}[{index}]"))?;
                }
            }
            "anyOf" | "oneOf" => {
                let mut misses = Vec::new();
                let mut hits = 0;
                for branch in argument.as_array().into_iter().flatten() {
                    let mut of_branch = BTreeSet::new();
                    match against(root, branch, value, at, &mut of_branch) {
                        Ok(()) => {
                            hits += 1;
                            known.extend(of_branch);
                        }
                        Err(miss) => misses.push(miss),
                    }
                }
                if hits == 0 || (keyword == "oneOf" && hits > 1) {
                    return Err(format!("{at} fits {hits} of {keyword}: {}", misses.join("; ")));
                }
            }
            other => {
                return Err(format!("{at}: the keyword {other} is new: teach it to {}", file!()));
            }
        }
    }
    // Looks at what `properties` left.
    if let (Some(rest), Some(object)) = (keywords.get("additionalProperties"), value.as_object()) {
        let named: BTreeSet<_> = keywords
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|properties| properties.keys().cloned())
            .collect();
        for (key, value) in object.iter().filter(|(key, _)| !named.contains(*key)) {
            known.insert(key.clone());
            whole(root, rest, value, &format!("{at}.{key}"))?;
        }
    }
    Ok(())
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[test]
fn what_differs_from_a_schema_is_found() {
    let root = serde_json::json!({
        "type": "object",
        "properties": {
            "name": { "type": "string" },
            "size": { "type": ["integer", "null"], "minimum": 0 },
            "map": { "type": "object", "additionalProperties": { "type": "string" } },
            "pair": { "type": "array", "prefixItems": [{ "type": "string" }, { "type": "boolean" }] },
            "word": { "oneOf": [{ "const": "a" }, { "$ref": "#/$defs/b" }] },
        },
        "required": ["name"],
        "$defs": { "b": { "type": "object", "properties": { "b": { "enum": ["x"] } } } },
    });
    let verdict = |text: &str| {
        let value = serde_json::from_str(text).unwrap();
        whole(&root, &root, &value, "it").err().unwrap_or_default()
    };
    let right = [
        r#"{"name":"n"}"#,
        r#"{"name":"n","size":null,"map":{"Any":"x"},"pair":["s",true],"word":"a"}"#,
        r#"{"name":"n","size":7,"word":{"b":"x"}}"#,
    ];
    for text in right {
        assert_eq!(verdict(text), "", "{text}");
    }
    for (text, place) in [
        ("[]", "it is []"),
        ("{}", "it.name is missing"),
        (r#"{"name":1}"#, "it.name is 1"),
        (r#"{"name":"n","size":-1}"#, "it.size is -1"),
        (r#"{"name":"n","size":1.5}"#, "it.size is 1.5"),
        (r#"{"name":"n","other":1}"#, "it.other is not documented"),
        (r#"{"name":"n","map":{"x":1}}"#, "it.map.x is 1"),
        (r#"{"name":"n","pair":["s",1]}"#, "it.pair[1] is 1"),
        (r#"{"name":"n","word":"c"}"#, "it.word fits 0 of oneOf"),
        (r#"{"name":"n","word":{"b":"x","c":1}}"#, "it.word.c is not documented"),
    ] {
        assert!(verdict(text).starts_with(place), "{text}: {}", verdict(text));
    }
    assert!(check("no-such-command", &Value::Null).is_err());
}

/// The JSON blocks of a page of the documentation, each with the command of the heading above it.
fn examples(page: &str) -> Vec<(String, Value)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let mut command = String::new();
    let mut found = Vec::new();
    let mut parts = text.split("```");
    while let Some(prose) = parts.next() {
        let mut headings = prose.lines().rev().filter_map(|line| line.strip_prefix("## `"));
        if let Some(heading) = headings.next() {
            command = heading.trim_end_matches('`').replace(' ', "-");
        }
        if let Some(block) = parts.next().and_then(|block| block.strip_prefix("json\n")) {
            let json = serde_json::from_str(block).unwrap_or_else(|e| panic!("{command}: {e}"));
            found.push((command.clone(), json));
        }
    }
    found
}

#[test]
fn every_command_has_an_example_and_each_is_as_its_schema_says() {
    let examples = examples("json-examples.md");
    for (command, example) in &examples {
        assert_eq!(check(command, example), Ok(()), "docs/json-examples.md, `{command}`");
    }
    let shown: BTreeSet<_> = examples.into_iter().map(|(command, _)| command).collect();
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()
    };
    assert_eq!(shown, std::fs::read_dir(schemas).unwrap().map(name).collect());
}

#[test]
fn the_object_of_a_command_that_ends_early_is_as_every_schema_says() {
    let examples = examples("json.md");
    assert_eq!(examples.len(), 1);
    for command in ["deploy", "status", "local-up"] {
        assert_eq!(check(command, &examples[0].1), Ok(()));
    }
}
