//! The caches that a build reads and writes, as the values of `--cache-from` and `--cache-to`.
//!
//! Source of the parameters: BuildKit's README, "Export cache". No credential is among them:
//! buildx takes those of GitHub Actions and of AWS out of its own environment.

use std::path::{Path, PathBuf};

use super::argv::csv;
use super::branch::{Branch, Names};
use crate::config::cache::{Bucket, Cache, Place};
use crate::config::file::{BackendKind, CacheMode, Compression};
use crate::config::{Builder, Driver};
use crate::registry::mutability::TagMutability;
use crate::units::go_duration;

/// What the caches depend on besides the configuration.
pub struct Surroundings<'a> {
    /// `registry/repository` of the environment's cache, if it can be reached.
    pub repository: Option<String>,
    /// The environment's region.
    pub region: Option<&'a str>,
    /// What is built.
    pub branch: &'a Branch,
    /// Whether the builder can write caches.
    pub exports: bool,
    /// Whether GitHub Actions' cache can be reached.
    pub gha: bool,
    /// Folders that hold a cache.
    pub local: &'a [PathBuf],
    /// What no other build has in the names of its folders.
    pub unique: &'a str,
    /// Read none.
    pub no_cache: bool,
}

/// The caches of one build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caches {
    /// Values of `--cache-from`, the best first.
    pub from: Vec<String>,
    /// Values of `--cache-to`.
    pub to: Vec<String>,
    /// Folders that take the place of others after the build.
    pub swaps: Vec<Swap>,
    /// Whether AWS's credentials are needed by buildx itself.
    pub uses_s3: bool,
}

/// A folder that a build writes, and whose place it takes when it is whole. A cache is written anew
/// because BuildKit only ever adds to one that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Where the build writes.
    pub new: PathBuf,
    /// Where the next one reads.
    pub path: PathBuf,
}

/// Whether a driver's BuildKit knows a kind of cache at all, to read or to write.
///
/// Source: builder/builder-next/controller.go of moby for the `docker` driver.
pub fn knows(driver: Driver, kind: BackendKind) -> bool {
    driver != Driver::Docker || kind != BackendKind::S3
}

/// The repository that the cache gets where none is named and the tags of the image's can not move.
pub fn own_repository(config: &Cache, images: &str, tags: &TagMutability) -> Option<String> {
    let fixed = !config.tag.is_empty() && !tags.moves(&config.tag);
    (fixed && config.repository.is_none()).then(|| format!("{images}-cache"))
}

/// The caches that a build reads and writes.
pub fn caches(config: &Cache, builder: &Builder, around: &Surroundings<'_>) -> Caches {
    let mut caches = Caches::default();
    let main = config.main_branch.as_deref();
    if let Some(repository) = around.repository.as_ref().filter(|_| !config.tag.is_empty()) {
        let names = Names::of(&config.tag, around.branch, main);
        caches.registry(repository, &names, config.mode, config.compression, true, true);
    }
    for backend in &config.backends {
        let (read, write) = (backend.read, backend.write);
        match &backend.place {
            place if !knows(builder.driver, place.kind()) => {}
            Place::Registry { reference } => {
                let (repository, tag) = split(reference);
                let names = Names::of(tag, around.branch, main);
                caches.registry(repository, &names, backend.mode, config.compression, read, write);
            }
            Place::Local { path } => {
                if read && around.local.contains(path) {
                    caches.from.push(entry("local", &[("src", &path.display().to_string())]));
                }
                if write {
                    caches.write_local(path, backend.mode, config.compression, around.unique);
                }
            }
            // GitHub keeps the branches apart itself.
            Place::Gha { .. } if !around.gha => {}
            Place::Gha { scope, timeout } => {
                let timeout = timeout.map(go_duration);
                let fields =
                    optional(&[("scope", scope.as_deref()), ("timeout", timeout.as_deref())]);
                if read {
                    caches.from.push(entry("gha", &fields));
                }
                if write {
                    caches.to.push(entry("gha", &written(&fields, backend.mode)));
                }
            }
            Place::S3(bucket) => {
                let names = Names::of(&bucket.name, around.branch, main);
                caches.s3(bucket, &names, around.region, backend.mode, read, write);
            }
        }
    }
    if !around.exports {
        caches.to.clear();
        caches.swaps.clear();
    }
    if around.no_cache {
        caches.from.clear();
    }
    caches
}

impl Caches {
    /// ECR takes a cache only as an image manifest, which BuildKit writes by default since 0.21.
    fn registry(
        &mut self,
        repository: &str,
        names: &Names,
        mode: CacheMode,
        compression: Compression,
        read: bool,
        write: bool,
    ) {
        let reference = |tag: &str| format!("{repository}:{tag}");
        if read {
            let entries =
                names.read.iter().map(|tag| entry("registry", &[("ref", &reference(tag))]));
            self.from.extend(entries);
        }
        if let Some(tag) = names.write.as_ref().filter(|_| write) {
            let reference = reference(tag);
            let mut fields = written(&[("ref", &reference)], mode);
            fields.splice(2..2, oci(compression));
            self.to.push(entry("registry", &fields));
        }
    }

    fn write_local(
        &mut self,
        path: &Path,
        mode: CacheMode,
        compression: Compression,
        unique: &str,
    ) {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".new-{unique}"));
        let new = path.with_file_name(name);
        let dest = new.display().to_string();
        let mut fields = written(&[("dest", &dest)], mode);
        fields.splice(2..2, oci(compression));
        self.to.push(entry("local", &fields));
        self.swaps.push(Swap { new, path: path.to_owned() });
    }

    fn s3(
        &mut self,
        bucket: &Bucket,
        names: &Names,
        region: Option<&str>,
        mode: CacheMode,
        read: bool,
        write: bool,
    ) {
        self.uses_s3 = true;
        let style = bucket.path_style.then_some("true");
        let fields = |name| {
            optional(&[
                ("region", bucket.region.as_deref().or(region)),
                ("bucket", Some(bucket.bucket.as_str())),
                ("prefix", bucket.prefix.as_deref()),
                ("name", Some(name)),
                ("endpoint_url", bucket.endpoint_url.as_deref()),
                ("use_path_style", style),
            ])
        };
        if read {
            self.from.extend(names.read.iter().map(|name| entry("s3", &fields(name))));
        }
        if let Some(name) = names.write.as_ref().filter(|_| write) {
            self.to.push(entry("s3", &written(&fields(name), mode)));
        }
    }
}

/// The manifest and the layers, for the kinds that let one choose.
fn oci(compression: Compression) -> [(&'static str, &'static str); 3] {
    [("image-manifest", "true"), ("oci-mediatypes", "true"), ("compression", compression.as_str())]
}

/// What every export says: how much of the build, and that a cache which can not be written does
/// not fail a build that went well.
fn written<'a>(fields: &[(&'a str, &'a str)], mode: CacheMode) -> Vec<(&'a str, &'a str)> {
    let (first, rest) = fields.split_at(1.min(fields.len()));
    let mut all = first.to_vec();
    all.push(("mode", mode.as_str()));
    all.extend_from_slice(rest);
    all.push(("ignore-error", "true"));
    all
}

fn optional<'a>(fields: &[(&'a str, Option<&'a str>)]) -> Vec<(&'a str, &'a str)> {
    fields.iter().filter_map(|(key, value)| Some((*key, (*value)?))).collect()
}

fn entry(kind: &str, fields: &[(&str, &str)]) -> String {
    let mut all = vec![("type", kind)];
    all.extend_from_slice(fields);
    csv(&all)
}

/// `registry/repository` and the tag of a reference; without a tag, it is BuildKit's `latest`.
pub fn split(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (reference, "latest"),
    }
}

#[cfg(test)]
mod tests;
