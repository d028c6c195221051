//! `[cache]`: where the build cache is kept between machines.

use serde::Deserialize;

use super::Compression;

/// `[cache]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Cache {
    /// The tag of the cache manifest; empty for no registry cache.
    pub tag: String,
    /// The repository, where it is not the image's own.
    pub repository: Option<String>,
    /// `max` caches every stage, `min` only what is in the image.
    pub mode: CacheMode,
    /// Compression of its layers, where the backend lets one choose.
    pub compression: Compression,
    /// Whether each branch has a cache of its own besides the main branch's.
    pub branches: bool,
    /// The branch whose cache all others fall back to.
    pub main_branch: String,
    /// Further places.
    pub backends: Vec<Backend>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            tag: "buildcache".into(),
            repository: None,
            mode: CacheMode::Max,
            compression: Compression::Zstd,
            branches: false,
            main_branch: "main".into(),
            backends: Vec::new(),
        }
    }
}

/// What a cache export holds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum CacheMode {
    /// Every stage.
    Max,
    /// What is in the image.
    Min,
}

impl CacheMode {
    /// The name that BuildKit uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Max => "max",
            Self::Min => "min",
        }
    }
}

/// `[[cache.backends]]`: a place besides the registry's, or another registry. Which keys there
/// are hangs on `type`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Backend {
    /// What kind of place.
    #[serde(rename = "type")]
    pub kind: BackendKind,
    /// Whether builds read it.
    #[serde(default = "yes")]
    pub read: bool,
    /// Whether builds write it.
    #[serde(default = "yes")]
    pub write: bool,
    /// As in `[cache]`.
    pub mode: Option<CacheMode>,
    /// `registry`: the whole reference.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// `local`: the folder, relative to xtask.toml.
    pub path: Option<String>,
    /// `gha`: what tells caches of one repository apart.
    pub scope: Option<String>,
    /// `gha`: how long reading or writing may take.
    pub timeout: Option<String>,
    /// `s3`: the region, where it is not the environment's.
    pub region: Option<String>,
    /// `s3`: the bucket.
    pub bucket: Option<String>,
    /// `s3`: what all names of objects begin with.
    pub prefix: Option<String>,
    /// `s3`: the manifest's name.
    pub name: Option<String>,
    /// `s3`: another service than AWS's.
    pub endpoint_url: Option<String>,
    /// `s3`: the bucket goes into the path instead of the host.
    pub path_style: Option<bool>,
}

/// What kind of place a cache is kept in.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum BackendKind {
    /// A registry.
    Registry,
    /// A folder of this machine.
    Local,
    /// The cache of GitHub Actions.
    Gha,
    /// A bucket.
    S3,
}

impl BackendKind {
    /// The name that BuildKit uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Local => "local",
            Self::Gha => "gha",
            Self::S3 => "s3",
        }
    }
}

fn yes() -> bool {
    true
}
