//! What was found out about base images, so that an unchanged deploy does not ask a registry
//! that may be far away, and where buildx is. It is nothing but a cache: without it, everything is
//! asked again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use xtask_core::fingerprint::Hash;
use xtask_core::fingerprint::base::Base;
use xtask_core::registry::digest::Digest;

/// How long a digest counts, in seconds: a day.
const AGE: u64 = 24 * 60 * 60;
/// Dockerfiles that are remembered, with their arguments: the latest.
const RECIPES: usize = 50;

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    recipes: Vec<Recipe>,
    digests: BTreeMap<Base, Resolved>,
    buildx: Option<String>,
}

/// Which images a Dockerfile with its arguments starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Recipe {
    hash: String,
    bases: Vec<Base>,
}

/// What a name stood for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Resolved {
    digest: Digest,
    /// Seconds since 1970.
    at: u64,
}

impl Memory {
    /// Where it is kept.
    pub fn path(root: &Path) -> PathBuf {
        root.join("target/xtask/base-images.json")
    }

    /// What is kept of it in a project. What can not be read is not remembered.
    pub fn read(root: &Path) -> Self {
        let text = std::fs::read(Self::path(root)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// The images that a recipe starts from.
    pub(super) fn bases(&self, recipe: Hash) -> Option<&[Base]> {
        let hash = recipe.to_string();
        let found = self.recipes.iter().find(|known| known.hash == hash);
        found.map(|recipe| recipe.bases.as_slice())
    }

    /// What a name stands for, if that was asked within a day.
    pub(super) fn digest(&self, base: &Base, now: u64) -> Option<&Digest> {
        let resolved = self.digests.get(base)?;
        // The clock may have been set back.
        let recent = resolved.at <= now && now - resolved.at < AGE;
        recent.then_some(&resolved.digest)
    }

    /// Where the program of the buildx plug-in was, if it is still there.
    pub(super) fn buildx(&self) -> Option<&str> {
        self.buildx.as_deref().filter(|path| Path::new(path).is_file())
    }

    /// Remembers where the program of the buildx plug-in is. Whether that was news.
    pub(super) fn learn_buildx(&mut self, path: Option<&str>) -> bool {
        let news = self.buildx.as_deref() != path;
        self.buildx = path.map(str::to_owned);
        news
    }

    /// Remembers what a name stands for.
    pub fn learn_digest(&mut self, base: &Base, digest: &Digest, at: u64) {
        self.digests.insert(base.clone(), Resolved { digest: digest.clone(), at });
        self.digests.retain(|_, known| known.at + AGE > at);
    }

    /// Remembers the images that a recipe starts from.
    pub fn learn_bases(&mut self, recipe: Hash, bases: impl IntoIterator<Item = Base>) {
        let hash = recipe.to_string();
        self.recipes.retain(|known| known.hash != hash);
        self.recipes.push(Recipe { hash, bases: bases.into_iter().collect() });
        let over = self.recipes.len().saturating_sub(RECIPES);
        self.recipes.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask_core::fingerprint::dockerfile;

    fn base(name: &str) -> Base {
        Base::parse(name).unwrap()
    }

    fn digest() -> Digest {
        format!("sha256:{}", "a".repeat(64)).parse().unwrap()
    }

    #[test]
    fn a_digest_counts_for_a_day() {
        let mut memory = Memory::default();
        memory.learn_digest(&base("a"), &digest(), 1_000_000);
        assert_eq!(memory.digest(&base("a"), 1_000_000), Some(&digest()));
        assert_eq!(memory.digest(&base("a"), 1_000_000 + AGE - 1), Some(&digest()));
        for now in [999_999, 1_000_000 + AGE] {
            assert_eq!(memory.digest(&base("a"), now), None);
        }
        memory.learn_digest(&base("b"), &digest(), 1_000_000 + AGE);
        assert_eq!(memory.digest(&base("a"), 1_000_000), None, "what is too old is forgotten");
    }

    #[test]
    fn the_latest_recipes_are_known() {
        let recipe = |number: usize| dockerfile(number.to_string().as_bytes());
        let mut memory = Memory::default();
        for number in 0..RECIPES + 2 {
            memory.learn_bases(recipe(number), [base("a")]);
        }
        assert_eq!(memory.bases(recipe(0)), None);
        assert_eq!(memory.bases(recipe(2)), Some(&[base("a")][..]));
        memory.learn_bases(recipe(2), []);
        assert_eq!(memory.bases(recipe(2)), Some(&[][..]));
    }

    #[test]
    fn buildx_is_where_it_was_only_while_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("docker-buildx");
        let program = program.to_str().unwrap();
        let mut memory = Memory::default();
        assert!(!memory.learn_buildx(None));
        assert!(memory.learn_buildx(Some(program)) && !memory.learn_buildx(Some(program)));
        assert_eq!(memory.buildx(), None);
        std::fs::write(program, "").unwrap();
        assert_eq!(memory.buildx(), Some(program));
        assert!(memory.learn_buildx(None) && memory.buildx().is_none());
    }

    #[test]
    fn what_is_damaged_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Memory::read(dir.path()), Memory::default());
        let path = Memory::path(dir.path());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut memory = Memory::default();
        memory.learn_digest(&base("a"), &digest(), 1);
        memory.learn_bases(dockerfile(b""), [base("a")]);
        let text = serde_json::to_string(&memory).unwrap();
        std::fs::write(&path, &text).unwrap();
        assert_eq!(Memory::read(dir.path()), memory);
        for damaged in [&text[..text.len() / 2], "[]", &text.replace("sha256:", "md5:")] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(Memory::read(dir.path()), Memory::default(), "{damaged}");
        }
    }
}
