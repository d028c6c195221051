//! Which branch a build is of, and the name of its cache.

use serde::Serialize;

/// At most so much of a branch's name is in the name of its cache, in characters.
pub const LONGEST_SLUG: usize = 60;
/// What the name of a pull request's branch gets in front of it.
const PULL_REQUEST: &str = "pr-";
/// Digits of the hash that tells slugs of different branches apart.
const HASH_DIGITS: usize = 8;

/// What a build is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Branch {
    /// A branch.
    Named(String),
    /// A pull request. Its branch may be of a fork and have any name, also the main branch's.
    PullRequest {
        /// The branch that is to be merged.
        head: String,
        /// The branch that it is to be merged into.
        base: String,
    },
    /// None that is known: a tag, or a commit by itself.
    Unknown,
}

impl Branch {
    /// From the environment variables of CI, and from what git has checked out.
    ///
    /// Source: GitHub's documentation, "Default environment variables". On a tag, what is checked
    /// out says nothing: anybody who may push a tag could name it so.
    pub fn of(variable: impl Fn(&str) -> Option<String>, checked_out: Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        if let Some(head) = set("GITHUB_HEAD_REF") {
            return Self::PullRequest { head, base: set("GITHUB_BASE_REF").unwrap_or_default() };
        }
        if let Some(name) = set("GITHUB_REF_NAME") {
            let branch = set("GITHUB_REF_TYPE").as_deref() == Some("branch");
            return if branch { Self::Named(name) } else { Self::Unknown };
        }
        checked_out.map_or(Self::Unknown, Self::Named)
    }
}

/// The names of the caches that a build reads, the best first, and of the one that it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Which to read.
    pub read: Vec<String>,
    /// Which to write; `None` for a build that no branch answers for.
    pub write: Option<String>,
}

impl Names {
    /// `name` is the main branch's, and of every branch where these are not told apart.
    ///
    /// Nothing but the main branch writes its cache, and it reads no other: what a branch wrote
    /// does not get into the main branch's images unreviewed.
    pub fn of(name: &str, branch: &Branch, main: Option<&str>) -> Self {
        let both = || Self { read: vec![name.to_owned()], write: Some(name.to_owned()) };
        let Some(main) = main else { return both() };
        let own = match branch {
            Branch::Named(branch) if branch == main => return both(),
            Branch::Named(branch) => of_branch(name, branch),
            Branch::PullRequest { head, .. } => of_branch(name, &format!("{PULL_REQUEST}{head}")),
            Branch::Unknown => return Self { read: vec![name.to_owned()], write: None },
        };
        let mut read = vec![own.clone()];
        if let Branch::PullRequest { base, .. } = branch
            && base != main
            && !base.is_empty()
        {
            read.push(of_branch(name, base));
        }
        read.push(name.to_owned());
        Self { read, write: Some(own) }
    }
}

/// What the names of the caches of pull requests begin with; those of branches that are called so
/// as well.
pub fn of_pull_requests(name: &str) -> String {
    format!("{name}-{PULL_REQUEST}")
}

/// The name of a branch's cache, which is a tag: `buildcache-feature`. A branch whose name can not
/// be in a tag as it is gets a hash, so that `a/b` and `a-b` have different ones.
pub fn of_branch(name: &str, branch: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if branch.chars().all(plain) && branch.len() < LONGEST_SLUG - HASH_DIGITS {
        return format!("{name}-{branch}");
    }
    let slug = branch.chars().take(LONGEST_SLUG - HASH_DIGITS - 1);
    let slug: String = slug.map(|c| if plain(c) { c } else { '-' }).collect();
    format!("{name}-{slug}-{:08x}", hash(branch))
}

/// FNV-1a, folded to 32 bits: the same on every machine and in every version.
fn hash(text: &str) -> u32 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
    let folded = (hash >> 32) as u32 ^ hash as u32;
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch(variables: &[(&str, &str)], checked_out: Option<&str>) -> Branch {
        let variable = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Branch::of(variable, checked_out.map(str::to_owned))
    }

    #[test]
    fn ci_knows_better_than_git_what_is_built() {
        let named = |name: &str| Branch::Named(name.to_owned());
        assert_eq!(branch(&[], Some("x")), named("x"));
        assert_eq!(branch(&[], None), Branch::Unknown);
        let push =
            [("GITHUB_REF_NAME", "main"), ("GITHUB_REF_TYPE", "branch"), ("GITHUB_HEAD_REF", "")];
        assert_eq!(branch(&push, None), named("main"));
        let tag = [("GITHUB_REF_NAME", "main"), ("GITHUB_REF_TYPE", "tag")];
        assert_eq!(branch(&tag, Some("main")), Branch::Unknown);
        let fork = [
            ("GITHUB_HEAD_REF", "main"),
            ("GITHUB_BASE_REF", "main"),
            ("GITHUB_REF_NAME", "main"),
            ("GITHUB_REF_TYPE", "branch"),
        ];
        let pull = Branch::PullRequest { head: "main".into(), base: "main".into() };
        assert_eq!(branch(&fork, None), pull);
    }

    #[test]
    fn only_the_main_branch_writes_its_cache_and_it_reads_no_other() {
        let names = |branch: &Branch| {
            let names = Names::of("c", branch, Some("main"));
            (names.read.join(" "), names.write.unwrap_or_default())
        };
        let told = |read: &str, write: &str| (read.to_owned(), write.to_owned());
        let pull =
            |head: &str, base: &str| Branch::PullRequest { head: head.into(), base: base.into() };
        assert_eq!(names(&Branch::Named("main".into())), told("c", "c"));
        assert_eq!(names(&Branch::Named("x".into())), told("c-x c", "c-x"));
        assert_eq!(names(&pull("main", "main")), told("c-pr-main c", "c-pr-main"));
        assert_eq!(names(&pull("x", "release")), told("c-pr-x c-release c", "c-pr-x"));
        for head in ["x", "a/b", &"long".repeat(30)] {
            assert!(names(&pull(head, "main")).1.starts_with(&of_pull_requests("c")), "{head}");
        }
        assert_eq!(names(&Branch::Unknown), told("c", ""));
        let together = Names::of("c", &Branch::Named("x".into()), None);
        assert_eq!((together.read, together.write), (vec!["c".to_owned()], Some("c".to_owned())));
    }

    #[test]
    fn every_branch_has_a_tag_of_its_own() {
        assert_eq!(of_branch("c", "feature_1.x-y"), "c-feature_1.x-y");
        let (slash, dash) = (of_branch("c", "a/b"), of_branch("c", "a-b"));
        assert_eq!((slash.as_str(), dash.as_str()), ("c-a-b-e2480c78", "c-a-b"));
        let long = of_branch("c", &"é/".repeat(100));
        assert!(long.len() <= "c-".len() + LONGEST_SLUG && long.is_ascii(), "{long}");
        assert_ne!(long, of_branch("c", &"é/".repeat(101)));
    }
}
