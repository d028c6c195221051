//! The rules of ARCHITECTURE.md, as tests.

use std::path::{Path, PathBuf};

/// Every source file of the crate, with its path below `src`.
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    visit(&root, &mut files);
    assert!(files.len() > 50, "the sources are found");
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        (name, std::fs::read_to_string(path).unwrap())
    };
    files.iter().map(read).collect()
}

/// Code without its tests and comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Lines that hold one of these words, in files that `applies` picks.
fn offenders(applies: impl Fn(&str) -> bool, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in sources() {
        if !applies(&name) || name.contains("/tests/") || name.ends_with("/tests.rs") {
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
fn what_decides_is_pure() {
    let pure = |name: &str| {
        ["plan/", "rollout/", "progress/", "registry/"].iter().any(|dir| name.starts_with(dir))
    };
    let words = [
        "tokio",
        "aws_",
        "crate::aws",
        "crate::proc",
        "crate::ui",
        "std::process",
        "std::net",
        "std::fs",
        "std::env",
        "SystemTime",
        "Instant::now",
        "xshell",
        "duct",
    ];
    assert_eq!(offenders(pure, &words), Vec::<String>::new());
}

#[test]
fn only_ui_prints() {
    let words = ["println!", "print!(", "eprint!(", "io::stdout()", "io::stderr()"];
    let other = |name: &str| !name.starts_with("ui/");
    assert_eq!(offenders(other, &words), Vec::<String>::new());
}

#[test]
fn only_proc_starts_processes() {
    let words = ["xshell::", "duct::", "std::process::Command", "Command::new("];
    assert_eq!(offenders(|name| !name.starts_with("proc/"), &words), Vec::<String>::new());
}

#[test]
fn only_apply_and_local_change_aws() {
    let words = [
        ".update_service()",
        ".create_repository()",
        ".batch_delete_image()",
        "RegisterTaskDefinition",
        "ExecuteChangeSet",
        "PutSecretValue",
        ".put_image()",
    ];
    let other = |name: &str| !name.starts_with("apply/") && !name.starts_with("local/");
    let found: Vec<_> =
        offenders(other, &words).into_iter().filter(|line| !line.starts_with("plan/")).collect();
    assert_eq!(found, Vec::<String>::new());
}
