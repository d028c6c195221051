//! The rules of ARCHITECTURE.md, as tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Every source file of both crates, with its path: `src/cli.rs`, `core/src/units.rs`.
fn sources() -> Vec<(String, String)> {
    fn visit(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for src in ["src", "core/src"] {
        let before = files.len();
        visit(&root.join(src), &mut files);
        assert!(files.len() > before + 50, "the sources are found");
    }
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        (name, std::fs::read_to_string(path).unwrap())
    };
    files.iter().map(read).collect()
}

/// Code without what is compiled only for tests, and without comments.
fn code(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    while let Some((number, line)) = lines.next() {
        let start = line.trim_start();
        if start.starts_with("#[cfg(test)]") {
            let indent = &line[..line.len() - start.len()];
            lines.by_ref().find(|(_, line)| ends_item(line, indent));
        } else if !start.starts_with("//") {
            found.push((number, line));
        }
    }
    found
}

/// Whether an item of this indentation ends with this line, as rustfmt writes it.
fn ends_item(line: &str, indent: &str) -> bool {
    let Some(own) = line.strip_prefix(indent).filter(|own| !own.starts_with(' ')) else {
        return false;
    };
    own.starts_with('}') || own.ends_with(';') || (own.contains('{') && own.ends_with('}'))
}

/// Lines that hold one of these words, in files that `applies` picks.
fn offenders(applies: impl Fn(&str) -> bool, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in sources() {
        let for_tests = ["/tests/", "/tests.rs", "aws/stand_in"];
        if !applies(&name) || for_tests.iter().any(|part| name.contains(part)) {
            continue;
        }
        for (number, line) in code(&text) {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{name}:{number}: {}", line.trim()));
            }
        }
    }
    found
}

#[test]
fn only_what_is_for_tests_is_passed_over() {
    let text = "\
a
#[cfg(test)]
mod x;
#[cfg(test)]
mod y {}
// b
impl C {
    #[cfg(test)]
    #[must_use]
    fn d(
        e: u8,
    ) -> u8 {
        e;
    }
    f
}
#[cfg(test)]
mod tests {
    fn g() {
    }
}
h";
    let found: Vec<_> = code(text).into_iter().map(|(_, line)| line.trim()).collect();
    assert_eq!(found, ["a", "impl C {", "f", "}", "h"]);
    assert_eq!(code(text).last(), Some(&(22, "h")));
}

/// What needs no SDK, no runtime and no process is a crate of its own, so that the compiler keeps
/// it so: as long as its dependencies bring none.
#[test]
fn what_decides_depends_on_no_sdk_and_no_runtime() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let lock: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let mut needs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock["package"].as_array().unwrap() {
        let of = package.get("dependencies").and_then(toml::Value::as_array);
        let names = of.into_iter().flatten().filter_map(|name| name.as_str()?.split(' ').next());
        needs.entry(package["name"].as_str().unwrap()).or_default().extend(names);
    }
    assert!(needs["xtask"].contains(&"tokio"), "it would be seen");
    let (mut found, mut waiting) = (BTreeSet::new(), vec!["xtask-core"]);
    while let Some(name) = waiting.pop() {
        if found.insert(name) {
            waiting.extend(&needs[name]);
        }
    }
    let not = |name: &&&str| {
        name.starts_with("aws-") || ["tokio", "clap", "xshell", "duct", "xtask"].contains(*name)
    };
    assert_eq!(found.iter().filter(not).collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn what_decides_is_pure() {
    let pure = |name: &str| name.starts_with("core/src/") && !name.starts_with("core/src/config/");
    let words = ["std::process", "std::net", "std::fs", "std::env", "SystemTime", "Instant::now"];
    assert_eq!(offenders(pure, &words), Vec::<String>::new());
}

#[test]
fn only_ui_prints() {
    let words = ["println!", "print!(", "eprint!(", "io::stdout()", "io::stderr()"];
    let other = |name: &str| !name.starts_with("src/ui/");
    assert_eq!(offenders(other, &words), Vec::<String>::new());
}

#[test]
fn only_proc_starts_processes() {
    let words = ["xshell::", "duct::", "std::process::Command", "Command::new("];
    assert_eq!(offenders(|name| !name.starts_with("src/proc/"), &words), Vec::<String>::new());
}

#[test]
fn only_apply_and_local_change_aws() {
    let words = [
        ".update_service()",
        ".create_repository()",
        ".batch_delete_image()",
        ".deregister_task_definition()",
        "RegisterTaskDefinition",
        "ExecuteChangeSet",
        "PutSecretValue",
        ".put_image()",
        "CreateChangeSet",
        "DeleteChangeSet",
        "DeleteStack",
    ];
    let others = ["src/apply/", "src/local/", "core/src/plan/"];
    let other = |name: &str| !others.iter().any(|dir| name.starts_with(dir));
    assert_eq!(offenders(other, &words), Vec::<String>::new());
}

/// Only a type has a schema (docs/schema), and only what has one is printed.
#[test]
fn what_is_printed_as_json_is_a_type() {
    let prints = |name: &str| {
        let of_tests = name == "src/cmd/schema.rs";
        !of_tests
            && ["src/cmd/", "src/ui/", "src/report.rs"].iter().any(|start| name.starts_with(start))
    };
    let words = ["json!", "serde_json::Value", "serde_json::Map", "use serde_json"];
    assert_eq!(offenders(prints, &words), Vec::<String>::new());
}

/// `pub` is for other modules, `pub(super)` for those of one's own folder.
#[test]
fn visibility_is_said_in_one_way() {
    let words = ["pub(crate)", "pub(in "];
    assert_eq!(offenders(|_| true, &words), Vec::<String>::new());
}

/// The keys and the words of every report are in kebab-case. What is written in another
/// program's format says so by another attribute.
#[test]
fn reports_are_in_kebab_case() {
    let mut found = Vec::new();
    for (name, text) in sources() {
        let code = code(&text);
        for (index, (number, line)) in code.iter().enumerate() {
            if !(line.contains("#[derive(") && line.contains("Serialize")) {
                continue;
            }
            let head: Vec<&str> = code[index + 1..]
                .iter()
                .map(|(_, line)| line.trim())
                .take_while(|line| line.starts_with("#["))
                .collect();
            let item: Vec<&str> = code[index + 1 + head.len()..]
                .iter()
                .map(|(_, line)| *line)
                .take_while(|line| !line.starts_with('}'))
                .collect();
            let head = head.join(" ");
            let another = ["transparent", "into = ", "camelCase"];
            if !another.iter().any(|word| head.contains(word)) && !is_kebab_case(&head, &item) {
                found.push(format!("{name}:{number}: {}", item[0].trim()));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

/// Whether all names of a type, whose first line is its declaration, come out in kebab-case.
fn is_kebab_case(attributes: &str, item: &[&str]) -> bool {
    let fields = item.iter().filter_map(|line| {
        let name = line.trim_start().split_once(": ")?.0.rsplit(' ').next()?;
        (!line.contains("//") && !line.contains('#')).then_some(name)
    });
    let two_words = fields.into_iter().any(|name| name.contains('_'));
    let says = |attribute: &str| attributes.contains(&format!("{attribute} = \"kebab-case\""));
    match item[0].contains("enum ") {
        true => says("rename_all") && (!two_words || says("rename_all_fields")),
        false => !two_words || says("rename_all"),
    }
}
