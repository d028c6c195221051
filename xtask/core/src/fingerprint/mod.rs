//! The fingerprint of what an image is made from: equal inputs, equal fingerprint, on every
//! machine and from every commit. Pure: what goes in was read by `observe::inputs`.
//!
//! It goes into the repository as a tag of the image, so that whether the image of these inputs
//! is there already is one question.

pub mod base;
pub mod chain;
pub mod context;
mod hash;
pub mod instructions;
pub mod provenance;
pub mod sources;
pub mod taken;
mod telltale;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::registry::digest::Digest;
use base::Base;
pub use hash::Hash;
use hash::Hasher;

/// What goes into a fingerprint, and how. Whoever changes either raises it: two versions of
/// this tool must not mean different inputs by the same fingerprint.
const SCHEME: u64 = 1;

/// Hexadecimal digits of a fingerprint in its tag: 160 bits.
const DIGITS: usize = 40;

/// What an image is made from, besides the images it starts from.
///
/// The commit is not part of it, since it says where an image comes from and not what is in it.
/// Nor are the values of build secrets: the same sources give the same image whoever's
/// credentials fetched them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// The context, after the ignore file.
    pub context: Hash,
    /// The Dockerfile, which counts also where the ignore file leaves it out.
    pub dockerfile: Hash,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// The stage, when it is not the last.
    pub target: Option<String>,
    /// Platforms, in the order in which an index lists them.
    pub platforms: Vec<String>,
    /// How the image is written, such as its compression: buildx's `--output`.
    pub output: String,
    /// What timestamps are clamped to.
    pub source_date_epoch: Option<u64>,
    /// Ids of the build secrets that are there.
    pub secrets: BTreeSet<String>,
}

/// The images that a build starts from or copies from, each with the digest that its name
/// stands for.
pub type Bases = BTreeMap<Base, Digest>;

impl Inputs {
    /// The fingerprint.
    pub fn fingerprint(&self, bases: &Bases) -> Fingerprint {
        let mut hasher = Hasher::new("inputs");
        hasher.number(SCHEME);
        hasher.hash(self.recipe());
        hasher.hash(self.context);
        hasher.value(&self.output);
        hasher.maybe(self.source_date_epoch.map(u64::to_be_bytes));
        hasher.list(self.secrets.iter());
        hasher.number(bases.len() as u64);
        for (base, digest) in bases {
            hasher.value(base.to_string());
            hasher.value(digest.as_str());
        }
        Fingerprint(hasher.finish())
    }

    /// What decides which images the build starts from.
    pub fn recipe(&self) -> Hash {
        recipe(self.dockerfile, &self.args, self.target.as_deref(), &self.platforms)
    }
}

/// As [`Inputs::recipe`], before the context was read.
pub fn recipe(
    dockerfile: Hash,
    args: &BTreeMap<String, String>,
    target: Option<&str>,
    platforms: &[String],
) -> Hash {
    let mut hasher = Hasher::new("recipe");
    hasher.number(SCHEME);
    hasher.hash(dockerfile);
    hasher.number(args.len() as u64);
    for (name, value) in args {
        hasher.value(name);
        hasher.value(value);
    }
    hasher.maybe(target);
    hasher.list(platforms.iter());
    hasher.finish()
}

/// The hash of a Dockerfile's text.
pub fn dockerfile(text: &[u8]) -> Hash {
    let mut hasher = Hasher::new("dockerfile");
    hasher.value(text);
    hasher.finish()
}

/// A fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(Hash);

impl Fingerprint {
    /// The tag of the image that was made from these inputs.
    pub fn tag(self) -> String {
        let hash = self.0.to_string();
        format!("{PREFIX}{}", &hash[..DIGITS])
    }

    /// Enough of it to tell two builds of one commit apart.
    pub fn short(self) -> String {
        self.0.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tag())
    }
}

const PREFIX: &str = "in-";

/// Whether a tag is a fingerprint: one that we gave, and nobody calls the image by.
pub fn is_tag(tag: &str) -> bool {
    let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    tag.strip_prefix(PREFIX).is_some_and(|hex| hex.len() == DIGITS && hex.bytes().all(lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(letter: char) -> Digest {
        format!("sha256:{}", letter.to_string().repeat(64)).parse().unwrap()
    }

    fn inputs() -> Inputs {
        Inputs {
            context: dockerfile(b"context"),
            dockerfile: dockerfile(b"FROM a"),
            args: BTreeMap::from([("A".into(), "1".into()), ("B".into(), String::new())]),
            target: None,
            platforms: vec!["linux/amd64".into()],
            output: "type=image".into(),
            source_date_epoch: None,
            secrets: BTreeSet::from(["ca".into()]),
        }
    }

    fn bases() -> Bases {
        BTreeMap::from([(Base::parse("a").unwrap(), digest('a'))])
    }

    #[test]
    fn every_input_counts() {
        let changes: [fn(&mut Inputs); 14] = [
            |i| i.context = dockerfile(b"other"),
            |i| i.dockerfile = dockerfile(b"FROM b"),
            |i| i.args.clear(),
            |i| drop(i.args.insert("A".into(), "2".into())),
            |i| drop(i.args.insert("C".into(), String::new())),
            |i| i.args = BTreeMap::from([("A".into(), "1B".into())]),
            |i| i.target = Some(String::new()),
            |i| i.target = Some("runtime".into()),
            |i| i.platforms.push("linux/arm64".into()),
            |i| i.platforms = vec!["linux/arm64".into()],
            |i| i.output.push_str(",compression=zstd"),
            |i| i.source_date_epoch = Some(0),
            |i| i.secrets.clear(),
            |i| i.secrets.extend(["b".into()]),
        ];
        let mut seen = vec![inputs().fingerprint(&bases()).tag()];
        for change in changes {
            let mut inputs = inputs();
            change(&mut inputs);
            seen.push(inputs.fingerprint(&bases()).tag());
        }
        let other_base = BTreeMap::from([(Base::parse("b").unwrap(), digest('a'))]);
        let other_digest = BTreeMap::from([(Base::parse("a").unwrap(), digest('b'))]);
        let mut two = bases();
        two.extend(other_base.clone());
        for bases in [other_base, other_digest, two, Bases::new()] {
            seen.push(inputs().fingerprint(&bases).tag());
        }
        let distinct: BTreeSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len());
    }

    #[test]
    fn the_scheme_is_what_it_was() {
        // When this fails, what goes into a fingerprint has changed: raise SCHEME.
        let tag = inputs().fingerprint(&bases()).tag();
        assert_eq!((SCHEME, tag.as_str()), (1, "in-eaa51cf4b998b1a81dfaac7b7936ae176b420054"));
    }

    #[test]
    fn its_tag_is_told_from_others() {
        let tag = inputs().fingerprint(&bases()).tag();
        assert!(is_tag(&tag) && tag.len() == 43);
        for other in ["in-", "in-progress", "git-0123456789ab", &tag[1..], &format!("{tag}0")] {
            assert!(!is_tag(other), "{other}");
        }
    }
}
