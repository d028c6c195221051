//! A command as a value: what is shown is what is run.

use std::fmt;

/// A program and its arguments. `Display` is what a user can paste into a shell.
///
/// Secrets have no place here: they go through standard input or the environment
/// of the process that runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argv {
    /// The program, looked up on `PATH`.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Environment variables that the command needs and that may be shown.
    pub env: Vec<(String, String)>,
}

impl Argv {
    /// A command without arguments.
    pub fn new(program: impl Into<String>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new() }
    }

    /// `docker` with these arguments.
    pub fn docker<I: IntoIterator<Item = S>, S: Into<String>>(args: I) -> Self {
        Self::new("docker").args(args)
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: Into<String>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a flag and its value.
    #[must_use]
    pub fn flag(self, flag: &str, value: impl Into<String>) -> Self {
        self.arg(flag).arg(value)
    }

    /// Sets an environment variable for the command.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

impl fmt::Display for Argv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quote(value))?;
        }
        f.write_str(&quote(&self.program))?;
        for arg in &self.args {
            write!(f, " {}", quote(arg))?;
        }
        Ok(())
    }
}

/// Quotes a word for a POSIX shell where it needs it.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Fields as buildx reads them, which is as CSV: a comma in a value would begin a new field.
pub fn csv(fields: &[(&str, &str)]) -> String {
    let field = |(key, value): &(&str, &str)| {
        let field = format!("{key}={value}");
        if !field.contains([',', '"', '\n', '\r']) {
            return field;
        }
        format!("\"{}\"", field.replace('"', "\"\""))
    };
    fields.iter().map(field).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_a_shell_would_read_back() {
        let argv = Argv::docker(["build", "--label", "a b", "it's", ""]).env("X", "1 2");
        assert_eq!(argv.to_string(), r"X='1 2' docker build --label 'a b' 'it'\''s' ''");
    }

    #[test]
    fn a_real_shell_reads_back_the_same_words() {
        let words = ["$HOME", "`id`", "a\\b", "x\"y", "new\nline", "*", "~", "#c", "é"];
        let line = Argv::new("printf").arg("%s\\0").args(words).to_string();
        let out = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
        let read: Vec<_> = out.stdout.split(|b| *b == 0).map(String::from_utf8_lossy).collect();
        assert_eq!(&read[..words.len()], &words);
    }

    #[test]
    fn a_path_with_a_comma_stays_one_field() {
        assert_eq!(csv(&[("id", "ca"), ("src", "/a/b.pem")]), "id=ca,src=/a/b.pem");
        assert_eq!(csv(&[("id", "ca"), ("src", "/a,b\"c")]), "id=ca,\"src=/a,b\"\"c\"");
    }
}
