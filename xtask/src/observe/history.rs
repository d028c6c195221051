//! The record of earlier builds.

use std::path::Path;

use anyhow::Result;

use crate::proc::{Env, captured};
use xtask_core::exit::{Exit, Failure};
use xtask_core::fingerprint::sources::{self, Sources};
use xtask_core::history::{self, BuildkitBuild, Record, buildkit};
use xtask_core::plan::argv::Argv;

/// What is recorded of earlier builds of a project, the oldest first. Where there is no record,
/// or none that can be read, there were no earlier builds: it is there to compare with, and no
/// command depends on it.
pub fn history(root: &Path) -> Vec<Record> {
    let text = std::fs::read(root.join(history::FILE)).unwrap_or_default();
    history::parse(&String::from_utf8_lossy(&text))
}

/// What earlier builds of a project were made from, as far as that is kept.
pub fn kept(root: &Path) -> Vec<Sources> {
    let text = std::fs::read(root.join(sources::FILE)).unwrap_or_default();
    sources::parse(&String::from_utf8_lossy(&text))
}

/// What BuildKit itself remembers of a builder's builds, the newest first.
///
/// # Errors
/// [`Exit::Prerequisite`]: the builder can not be asked, or buildx or BuildKit keeps no history.
pub async fn buildkit_history(builder: &str) -> Result<Vec<BuildkitBuild>> {
    let output = captured(history_argv(builder), Env::default()).await?;
    if !output.ok() {
        let text = format!("the builder `{builder}` tells no history: {}", output.reason());
        return Err(Failure::new(Exit::Prerequisite, text)
            .hint("it needs buildx 0.20 and BuildKit 0.19 or newer")
            .into());
    }
    Ok(buildkit::parse(&output.stdout))
}

fn history_argv(builder: &str) -> Argv {
    Argv::docker(["buildx", "history", "ls", "--builder", builder, "--format", "json"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builder_is_asked_by_its_name() {
        let line = history_argv("b").to_string();
        assert_eq!(line, "docker buildx history ls --builder b --format json");
    }

    #[test]
    fn no_record_is_no_builds() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(history(dir.path()), []);
        std::fs::create_dir_all(dir.path().join(history::FILE)).unwrap();
        assert_eq!(history(dir.path()), []);
    }
}
