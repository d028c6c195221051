//! Which branches there are: those of every remote, and those of this clone.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::beside::beside;
use super::git;
use crate::proc::{Env, Output, captured_within};
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::argv::Argv;
use xtask_core::plan::branch::Branch;

/// How long a remote may take to answer.
const LIMIT: Duration = Duration::from_secs(30);

/// The names of all branches. `main` has to be among those of the remotes: without it, they are
/// not those of this project.
///
/// # Errors
/// [`Exit::Prerequisite`]: there is no remote, or one of them does not answer. Which branches there
/// are is known wholly or not at all.
pub async fn branches(root: &Path, main: &str) -> Result<BTreeSet<String>> {
    let remotes = git(root, &["remote"]).await?;
    let remotes: Vec<String> = remotes.stdout.lines().map(str::to_owned).collect();
    if remotes.is_empty() {
        return Err(unknown("this clone has no remote", "add the one that is built from"));
    }
    let asked = remotes.iter().map(|remote| heads(root.to_owned(), remote.clone()));
    let mut names: BTreeSet<String> =
        beside(asked.collect::<Vec<_>>()).await?.into_iter().flatten().collect();
    if !names.contains(main) {
        let text = format!("no branch `{main}` is on {}", remotes.join(", "));
        return Err(unknown(&text, "set `main-branch` in [cache] of xtask.toml"));
    }
    // What is built here and not pushed yet is no branch of the remote.
    let local = git(root, &["for-each-ref", "--format=%(refname)", "refs/heads"]).await?;
    names.extend(local.stdout.lines().filter_map(|line| branch(line).map(str::to_owned)));
    let variable = |name: &str| std::env::var(name).ok();
    if let Branch::Named(current) = Branch::of(variable, git::branch(root).await?) {
        names.insert(current);
    }
    Ok(names)
}

/// The branches of a remote.
async fn heads(root: std::path::PathBuf, remote: String) -> Result<BTreeSet<String>> {
    let found = git(&root, &["ls-remote", "--heads", &remote]).await?;
    let read = |line: &str| {
        let name = line.split_once('\t').and_then(|(_, name)| branch(name)).map(str::to_owned);
        name.ok_or_else(|| unknown(&format!("{remote} answered `{line}`"), "try `git ls-remote`"))
    };
    found.stdout.lines().map(read).collect()
}

fn branch(reference: &str) -> Option<&str> {
    reference.strip_prefix("refs/heads/").filter(|name| !name.is_empty())
}

/// Runs git, which asks nobody for a password: not on the terminal, which belongs to another group
/// of processes.
async fn git(root: &Path, args: &[&str]) -> Result<Output> {
    let argv = Argv::new("git").flag("-C", root.display().to_string());
    let argv = argv.args(args.iter().copied());
    let shown = args.join(" ");
    let env = Env::default().with("GIT_TERMINAL_PROMPT", "0").with("SSH_ASKPASS_REQUIRE", "force");
    match captured_within(argv, env, LIMIT).await? {
        Some(output) if output.ok() => Ok(output),
        Some(output) => Err(unknown(
            &format!("`git {shown}`: {}", output.reason()),
            "mend that, and run it again",
        )),
        None => {
            let text = format!("`git {shown}` did not end within {} s", LIMIT.as_secs());
            Err(unknown(&text, "run it by hand to see what it waits for"))
        }
    }
}

fn unknown(text: &str, hint: &str) -> anyhow::Error {
    Failure::new(Exit::Prerequisite, text).hint(hint).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::capture;

    struct Clone(tempfile::TempDir);

    impl Clone {
        /// A repository with a commit on `main`, and `origin` beside it with these branches.
        fn new(branches: &[&str]) -> Self {
            let clone = Self(tempfile::tempdir().unwrap());
            clone.git("remote", &["init", "--quiet", "--bare"]);
            clone.git("here", &["init", "--quiet", "--initial-branch", "main"]);
            let commit = [
                "-c",
                "user.name=x",
                "-c",
                "user.email=x@x",
                "commit",
                "--quiet",
                "--allow-empty",
                "-m",
                "x",
            ];
            clone.git("here", &commit);
            clone.git("here", &["remote", "add", "origin", "../remote"]);
            for name in branches {
                clone.git(
                    "here",
                    &["push", "--quiet", "origin", &format!("main:refs/heads/{name}")],
                );
            }
            clone
        }

        fn git(&self, dir: &str, args: &[&str]) {
            let dir = self.0.path().join(dir);
            std::fs::create_dir_all(&dir).unwrap();
            let argv = Argv::new("git").flag("-C", dir.display().to_string());
            let output = capture(&argv.args(args.iter().copied()), &Env::default()).unwrap();
            assert!(output.ok(), "{args:?}: {}", output.stderr);
        }

        async fn branches(&self) -> Result<BTreeSet<String>> {
            branches(&self.0.path().join("here"), "main").await
        }

        async fn unknown(&self) -> String {
            let error = self.branches().await.unwrap_err();
            assert_eq!(xtask_core::exit::exit_of(&error), Exit::Prerequisite);
            error.to_string()
        }
    }

    fn of<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
        names.map(str::to_owned).into()
    }

    #[tokio::test]
    async fn branches_of_every_remote_and_of_this_clone_count() {
        let clone = Clone::new(&["main", "feature/a"]);
        clone.git("here", &["branch", "local-only"]);
        clone.git("here", &["tag", "v1"]);
        clone.git("here", &["push", "--quiet", "origin", "v1"]);
        let found = clone.branches().await.unwrap();
        assert!(of(["feature/a", "local-only", "main"]).is_subset(&found), "{found:?}");
        assert!(!found.contains("v1"));
        clone.git("other", &["init", "--quiet", "--bare"]);
        clone.git("here", &["remote", "add", "other", "../other"]);
        clone.git("here", &["push", "--quiet", "other", "main:refs/heads/theirs"]);
        assert!(clone.branches().await.unwrap().contains("theirs"));
    }

    #[tokio::test]
    async fn without_every_remote_nothing_is_known() {
        let clone = Clone::new(&["main"]);
        clone.git("here", &["remote", "add", "gone", "../gone"]);
        let text = clone.unknown().await;
        assert!(text.starts_with("`git ls-remote --heads gone`: "), "{text}");
        clone.git("here", &["remote", "remove", "gone"]);
        clone.git("here", &["remote", "remove", "origin"]);
        assert_eq!(clone.unknown().await, "this clone has no remote");
        // Another project's, or nothing was pushed yet.
        assert_eq!(Clone::new(&["trunk"]).unknown().await, "no branch `main` is on origin");
        assert_eq!(Clone::new(&[]).unknown().await, "no branch `main` is on origin");
        let nowhere = tempfile::tempdir().unwrap();
        assert!(branches(nowhere.path(), "main").await.is_err());
    }
}
