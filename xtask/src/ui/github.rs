//! GitHub Actions: groups, annotations, outputs and the job summary.
//!
//! Source: the GitHub documentation, "Workflow commands for GitHub Actions".

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// A job of GitHub Actions.
pub struct Github {
    output: Option<PathBuf>,
    summary: Option<PathBuf>,
}

impl Github {
    /// The job that this runs in, if it does.
    pub fn detect() -> Option<Self> {
        let file = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        (std::env::var("GITHUB_ACTIONS").as_deref() == Ok("true"))
            .then(|| Self { output: file("GITHUB_OUTPUT"), summary: file("GITHUB_STEP_SUMMARY") })
    }

    /// Opens a group of log lines.
    pub fn group(&self, title: &str) -> String {
        format!("::group::{}", escape(title))
    }

    /// Closes the group.
    pub fn end_group(&self) -> &'static str {
        "::endgroup::"
    }

    /// An error annotation.
    pub fn error(&self, text: &str) -> String {
        format!("::error::{}", escape(text))
    }

    /// A warning annotation.
    pub fn warning(&self, text: &str) -> String {
        format!("::warning::{}", escape(text))
    }

    /// Appends to the step's outputs and to the job summary.
    ///
    /// # Errors
    /// A file that Actions named can not be written.
    pub fn publish(&self, outputs: &[(&str, &str)], summary: &str) -> Result<()> {
        let append = |path: &PathBuf, text: &str| -> Result<()> {
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
            Ok(file.write_all(text.as_bytes())?)
        };
        if let Some(path) = &self.output {
            // A line break would let a value forge a further output.
            let line = |(name, value): &(&str, &str)| {
                format!("{name}={}\n", value.replace(['\r', '\n'], " "))
            };
            let text: String = outputs.iter().map(line).collect();
            append(path, &text).with_context(|| format!("GITHUB_OUTPUT {}", path.display()))?;
        }
        if let Some(path) = &self.summary {
            append(path, summary)
                .with_context(|| format!("GITHUB_STEP_SUMMARY {}", path.display()))?;
        }
        Ok(())
    }
}

/// Escapes the data of a workflow command.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_appended_and_can_not_be_forged() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("output");
        std::fs::write(&output, "before=1\n").unwrap();
        let github = Github { output: Some(output.clone()), summary: None };
        github.publish(&[("digest", "sha256:1\nimage=evil")], "").unwrap();
        let text = std::fs::read_to_string(output).unwrap();
        assert_eq!(text, "before=1\ndigest=sha256:1 image=evil\n");
    }

    #[test]
    fn annotations_stay_one_line() {
        let github = Github { output: None, summary: None };
        assert_eq!(github.error("a\n::set-output"), "::error::a%0A::set-output");
    }
}
