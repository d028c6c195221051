//! What a build was made from, kept so that the next one can say which input changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::hash::{Hash, Hasher};

/// Where it is kept, relative to the project's root.
pub const FILE: &str = "target/xtask/inputs.json";

/// Builds of different kinds that are kept, the latest of each.
const MOST: usize = 8;
/// A context of more files than this is not kept: its names alone would be megabytes.
const MOST_FILES: usize = 20_000;
/// Hexadecimal digits that are kept of a hash: enough to tell two versions of a file apart.
const DIGITS: usize = 16;

/// What a build is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Sources {
    /// The builder, whose cache this went into.
    pub builder: String,
    /// Whether the image was pushed: only then are the files known.
    pub pushed: bool,
    /// The stage that was asked for.
    pub target: Option<String>,
    /// The platforms.
    pub platforms: Vec<String>,
    /// The Dockerfile's name, for people.
    pub dockerfile: String,
    /// The Dockerfile.
    pub text: String,
    /// Build arguments, with hashes of their values.
    pub args: BTreeMap<String, String>,
    /// The images that it started from, with their digests.
    pub bases: BTreeMap<String, String>,
    /// The files of the context, with hashes; `None` where they are not known.
    pub files: Option<BTreeMap<String, String>>,
}

impl Sources {
    /// Adds build arguments.
    pub fn with_args<'a>(mut self, args: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        self.args.extend(args.map(|(name, value)| (name.to_owned(), of_argument(value))));
        self
    }

    /// The build to compare this one with: the latest of its kind that is kept. One that was
    /// pushed is compared with such a one, whose files are known.
    pub fn earlier<'a>(&self, kept: &'a [Self]) -> Option<&'a Self> {
        kept.iter().rev().find(|other| {
            (&self.builder, &self.target, &self.platforms)
                == (&other.builder, &other.target, &other.platforms)
                && (other.pushed || !self.pushed)
        })
    }
}

/// What is kept of a file's hash.
pub fn of_file(hash: Hash) -> String {
    shortened(hash)
}

fn of_argument(value: &str) -> String {
    let mut hasher = Hasher::new("argument");
    hasher.value(value);
    shortened(hasher.finish())
}

fn shortened(hash: Hash) -> String {
    hash.to_string()[..DIGITS].to_owned()
}

/// The builds of a file's text. What can not be read is not kept.
pub fn parse(text: &str) -> Vec<Sources> {
    serde_json::from_str(text).unwrap_or_default()
}

/// The file's text with one more build, in place of the one of its kind.
pub fn with(text: &str, sources: &Sources) -> String {
    let kind =
        |of: &Sources| (of.builder.clone(), of.pushed, of.target.clone(), of.platforms.clone());
    let mut kept = parse(text);
    kept.retain(|other| kind(other) != kind(sources));
    let mut sources = sources.clone();
    sources.files = sources.files.filter(|files| files.len() <= MOST_FILES);
    kept.push(sources);
    let over = kept.len().saturating_sub(MOST);
    serde_json::to_string(&kept[over..]).expect("its keys are text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(builder: &str, pushed: bool, text: &str) -> Sources {
        Sources {
            builder: builder.into(),
            pushed,
            text: text.into(),
            files: Some(BTreeMap::from([("a".into(), "1".into())])),
            ..Sources::default()
        }
    }

    #[test]
    fn each_kind_of_build_is_kept_once_and_compared_with_its_own() {
        let mut text = String::from("damaged");
        for sources in [
            sources("b", true, "one"),
            sources("b", false, "two"),
            sources("c", true, "three"),
            sources("b", true, "four"),
        ] {
            text = with(&text, &sources);
        }
        let kept = parse(&text);
        assert_eq!(kept.len(), 3);
        let earlier = |builder, pushed| {
            sources(builder, pushed, "").earlier(&kept).map(|found| found.text.as_str())
        };
        assert_eq!(earlier("b", true), Some("four"));
        assert_eq!(earlier("b", false), Some("four"), "the latest");
        assert_eq!(earlier("c", false), Some("three"));
        assert_eq!(earlier("d", true), None);
        let loaded = with(&text, &sources("b", false, "five"));
        assert_eq!(sources("b", true, "").earlier(&parse(&loaded)).unwrap().text, "four");
        for number in 0..2 * MOST {
            text = with(&text, &sources(&number.to_string(), true, ""));
        }
        assert_eq!(parse(&text).len(), MOST);
    }

    #[test]
    fn of_a_huge_context_the_files_are_not_kept_and_of_arguments_not_the_values() {
        let files = (0..=MOST_FILES).map(|number| (number.to_string(), String::new())).collect();
        let huge = Sources { files: Some(files), ..Sources::default() };
        assert_eq!(parse(&with("", &huge))[0].files, None);
        let args = Sources::default().with_args([("A", "value-of-a"), ("B", "")].into_iter());
        assert!(!with("", &args).contains("value-of-a"));
        assert_ne!(args.args["A"], args.args["B"]);
    }
}
