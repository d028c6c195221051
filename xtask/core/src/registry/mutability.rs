//! Whether a repository lets a tag move from one image to another.

use serde::Serialize;

use super::glob::Glob;

/// A repository's rule for its tags, with the tags that are excluded from it.
///
/// Source: Amazon ECR user guide, "Preventing image tags from being overwritten".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TagMutability {
    /// Whether tags can move.
    pub mutable: bool,
    /// For tags of these patterns it is the other way round.
    pub except: Vec<Glob>,
}

impl TagMutability {
    /// What a repository has that nobody configured.
    pub const MUTABLE: Self = Self { mutable: true, except: Vec::new() };

    /// Whether this tag can move.
    pub fn moves(&self, tag: &str) -> bool {
        self.mutable != self.except.iter().any(|pattern| pattern.matches(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excluded_tags_are_the_other_way_round() {
        let with = |mutable| TagMutability { mutable, except: vec![Glob::new("build*")] };
        assert!(with(false).moves("buildcache") && !with(false).moves("latest"));
        assert!(!with(true).moves("buildcache") && with(true).moves("latest"));
        assert!(TagMutability::MUTABLE.moves("x"));
    }
}
