//! What is looked for, and the search, which is `grep`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// What every search has to find, where there is something to find: it shows that it can.
pub const CONTROL: &str = "control";

/// A value that nothing else has.
pub fn unique(what: &str) -> &'static str {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("planted-{what}-{}", now.as_nanos()).leak()
}

/// What is looked for, by what it is called.
pub struct Needles {
    names: BTreeMap<String, String>,
    /// All forms, a line each.
    file: PathBuf,
}

impl Needles {
    /// These values, as they are and in base64, which is written into a file.
    pub fn new(values: &[(&str, &str)], file: &Path) -> Self {
        let mut names = BTreeMap::new();
        for (name, value) in values {
            let basic = BASE64_STANDARD.encode(format!("AWS:{value}"));
            let forms = [(*value).to_owned(), BASE64_STANDARD.encode(value), basic];
            names.extend(forms.map(|form| (form, (*name).to_owned())));
        }
        let lines: Vec<&str> = names.keys().map(String::as_str).collect();
        std::fs::write(file, lines.join("\n")).unwrap();
        Self { names, file: file.to_owned() }
    }

    /// The names of what is in these bytes.
    pub fn of(&self, bytes: &[u8]) -> BTreeSet<&str> {
        self.piped("cat", bytes)
    }

    /// As [`Self::of`], of what this program makes of the bytes.
    pub fn piped(&self, program: &str, bytes: &[u8]) -> BTreeSet<&str> {
        let script =
            format!("set -o pipefail; {program} | {{ grep -aoFf \"$1\" || test $? = 1; }}");
        let mut shell = Command::new("bash")
            .args(["-c", &script, "bash"])
            .arg(&self.file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = shell.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(bytes).unwrap());
            shell.wait_with_output().unwrap()
        });
        assert!(output.status.success(), "{script}");
        self.named(&output.stdout)
    }

    /// The names of what is in any file below these folders, but for what is below `except`.
    pub fn below(&self, folders: &[PathBuf], except: &str) -> BTreeSet<&str> {
        let output = Command::new("grep")
            .args(["-raohF", &format!("--exclude-dir={except}"), "-f"])
            .arg(&self.file)
            .args(folders)
            .output()
            .unwrap();
        assert!(output.status.code() < Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        self.named(&output.stdout)
    }

    fn named(&self, found: &[u8]) -> BTreeSet<&str> {
        let found = std::str::from_utf8(found).unwrap();
        found.lines().map(|form| self.names[form].as_str()).collect()
    }
}
