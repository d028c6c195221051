//! The caches that are meant, with every value checked.

use std::path::PathBuf;
use std::time::Duration;

use super::file::{self, BackendKind, CacheMode, Compression};

/// Where the build cache is kept between machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// The tag of the cache in the environment's registry; empty for none.
    pub tag: String,
    /// Its repository, where that was named.
    pub repository: Option<String>,
    /// What an export holds.
    pub mode: CacheMode,
    /// Compression of its layers.
    pub compression: Compression,
    /// The main branch, where each branch has a cache of its own.
    pub main_branch: Option<String>,
    /// The tags of every cache of the file, this one's among them: none of them is a branch's.
    pub tags: Vec<String>,
    /// Further places.
    pub backends: Vec<Backend>,
}

impl Default for Cache {
    fn default() -> Self {
        let file = file::Cache::default();
        Self {
            tags: vec![file.tag.clone()],
            tag: file.tag,
            repository: None,
            mode: file.mode,
            compression: file.compression,
            main_branch: None,
            backends: Vec::new(),
        }
    }
}

/// A further place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Where.
    pub place: Place,
    /// Whether builds read it.
    pub read: bool,
    /// Whether builds write it.
    pub write: bool,
    /// What an export holds.
    pub mode: CacheMode,
}

/// Where a cache is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a registry.
    Registry {
        /// The whole reference, with a tag.
        reference: String,
    },
    /// In a folder of this machine.
    Local {
        /// Its absolute path.
        path: PathBuf,
    },
    /// In the cache of GitHub Actions.
    Gha {
        /// What tells caches of one repository apart.
        scope: Option<String>,
        /// How long reading or writing may take; BuildKit's default is ten minutes.
        timeout: Option<Duration>,
    },
    /// In a bucket.
    S3(Bucket),
}

/// A bucket of S3, or of a service that speaks its language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub bucket: String,
    /// Its region; `None` for the environment's.
    pub region: Option<String>,
    /// What all names of objects begin with.
    pub prefix: Option<String>,
    /// The manifest's name.
    pub name: String,
    /// The service, if it is not AWS's.
    pub endpoint_url: Option<String>,
    /// Whether the bucket goes into the path instead of the host.
    pub path_style: bool,
}

impl Place {
    /// What kind of place it is.
    pub fn kind(&self) -> BackendKind {
        match self {
            Self::Registry { .. } => BackendKind::Registry,
            Self::Local { .. } => BackendKind::Local,
            Self::Gha { .. } => BackendKind::Gha,
            Self::S3(_) => BackendKind::S3,
        }
    }
}
