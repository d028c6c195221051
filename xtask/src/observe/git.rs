//! The commit that is built.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::proc::{Env, capture};
use xtask_core::plan::argv::Argv;

/// The state of the work tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Git {
    /// The commit's full hash.
    pub commit: String,
    /// Whether tracked or new files differ from it.
    pub dirty: bool,
}

impl Git {
    /// The tag of an image built from this: `git-` and twelve digits.
    pub fn tag(&self) -> String {
        let short = self.commit.get(..12).unwrap_or(&self.commit);
        format!("git-{short}{}", if self.dirty { "-dirty" } else { "" })
    }

    /// How the image names its own version.
    pub fn version(&self) -> String {
        format!("{}{}", self.commit, if self.dirty { "-dirty" } else { "" })
    }
}

/// Reads the commit of the project, or `None` outside a git repository and before the first
/// commit.
///
/// # Errors
/// `git` can not be started.
pub async fn git(root: &Path) -> Result<Option<Git>> {
    let git = |args: &[&str]| {
        let argv = Argv::new("git").flag("-C", root.display().to_string());
        let argv = argv.args(args.iter().copied());
        let run = tokio::task::spawn_blocking(move || capture(&argv, &Env::default()));
        async { run.await? }
    };
    // Without optional locks `git status` does not get in the way of a git that runs beside it.
    let status = git(&["--no-optional-locks", "status", "--porcelain", "--untracked-files=normal"]);
    let head = git(&["rev-parse", "--verify", "--quiet", "HEAD"]);
    let (head, status) = tokio::try_join!(head, status)?;
    if !head.ok() || !status.ok() {
        return Ok(None);
    }
    let commit = head.stdout.trim().to_owned();
    Ok(Some(Git { commit, dirty: !status.stdout.trim().is_empty() }))
}

/// The branch that is checked out; `None` outside a git repository and for a commit by itself.
///
/// # Errors
/// `git` can not be started.
pub async fn branch(root: &Path) -> Result<Option<String>> {
    let argv = Argv::new("git").flag("-C", root.display().to_string());
    let argv = argv.args(["symbolic-ref", "--quiet", "--short", "HEAD"]);
    let output = tokio::task::spawn_blocking(move || capture(&argv, &Env::default())).await??;
    Ok(output.ok().then(|| output.stdout.trim().to_owned()))
}
