//! Patterns over tags: `*` is any run of characters, all else is literal.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A pattern such as `git-*` or `v*.*`. Case matters, as it does in tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Glob(String);

impl Glob {
    /// A pattern from its text; every text is one.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// Whether the whole text matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            // The earliest place is as good as any: only the end is anchored.
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn patterns_match_whole_tags() {
        for (pattern, text, expected) in [
            ("latest", "latest", true),
            ("latest", "latest2", false),
            ("git-*", "git-", true),
            ("git-*", "git-0001", true),
            ("git-*", "a-git-0001", false),
            ("*", "", true),
            ("*-rc", "1.0-rc", true),
            ("*-rc", "1.0-rc2", false),
            ("v*.*.*", "v1.2.3", true),
            ("v*.*.*", "v1.2", false),
            // Prefix and suffix may not share characters.
            ("ab*ba", "aba", false),
            ("a*b*a", "aba", true),
            ("*aa*a", "aa", false),
            ("", "", true),
            ("", "x", false),
            ("v?", "v1", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }
}
