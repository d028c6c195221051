//! The caches: which keys go with which kind of place, and what they mean.

use std::path::Path;

use anyhow::Result;

use super::{Place, file, is_http};
use crate::config::cache::{self, Backend, Bucket, Cache};
use crate::config::file::BackendKind;
use crate::plan::cache::split;

/// The longest tag that a registry takes (OCI distribution specification, "Pulling manifests"),
/// less what the names of branches add.
const LONGEST_TAG: usize = 128 - 1 - crate::plan::branch::LONGEST_SLUG;

pub(super) fn cache(raw: file::Cache, root: &Path, place: &Place<'_>) -> Result<Cache> {
    let starts = raw.tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if !raw.tag.is_empty()
        && (!starts || !raw.tag.chars().all(plain) || raw.tag.len() > LONGEST_TAG)
    {
        return Err(place.wrong(
            "cache.tag",
            "it is no tag",
            "write letters, digits, `_`, `.` and `-`, such as \"buildcache\"; or \"\" for no \
             registry cache",
        ));
    }
    if raw.branches && raw.main_branch.is_empty() {
        return Err(place.wrong("cache.main-branch", "it is empty", "name the main branch"));
    }
    let mode = raw.mode;
    Ok(Cache {
        tag: raw.tag,
        repository: raw.repository,
        mode,
        compression: raw.compression,
        main_branch: raw.branches.then_some(raw.main_branch),
        tags: Vec::new(),
        backends: raw
            .backends
            .into_iter()
            .map(|raw| {
                Ok(Backend {
                    read: raw.read,
                    write: raw.write,
                    mode: raw.mode.unwrap_or(mode),
                    place: self::place(raw, root, place)?,
                })
            })
            .collect::<Result<_>>()?,
    })
}

/// The tags of these caches, and of further places in registries: what begins with one of them
/// and is not that tag belongs to a branch.
pub(super) fn tags<'a>(caches: impl Iterator<Item = &'a file::Cache>) -> Vec<String> {
    let of = |cache: &'a file::Cache| {
        let references = cache.backends.iter().filter_map(|backend| backend.reference.as_deref());
        let further = references.map(|reference| split(reference).1);
        std::iter::once(cache.tag.as_str()).chain(further)
    };
    let tags: std::collections::BTreeSet<&str> =
        caches.flat_map(of).filter(|tag| !tag.is_empty()).collect();
    tags.into_iter().map(str::to_owned).collect()
}

fn place(raw: file::Backend, root: &Path, place: &Place<'_>) -> Result<cache::Place> {
    let kind = raw.kind.as_str();
    let key = |name: &str| format!("cache.backends.{name}");
    if !raw.read && !raw.write {
        return Err(place.wrong(
            &key("read"),
            "it is neither read nor written",
            "set `read` or `write`, or remove it",
        ));
    }
    let others = [
        ("ref", BackendKind::Registry, raw.reference.is_some()),
        ("path", BackendKind::Local, raw.path.is_some()),
        ("scope", BackendKind::Gha, raw.scope.is_some()),
        ("timeout", BackendKind::Gha, raw.timeout.is_some()),
        ("region", BackendKind::S3, raw.region.is_some()),
        ("bucket", BackendKind::S3, raw.bucket.is_some()),
        ("prefix", BackendKind::S3, raw.prefix.is_some()),
        ("name", BackendKind::S3, raw.name.is_some()),
        ("endpoint-url", BackendKind::S3, raw.endpoint_url.is_some()),
        ("path-style", BackendKind::S3, raw.path_style.is_some()),
    ];
    if let Some((name, of, _)) = others.iter().find(|(_, of, set)| *set && *of != raw.kind) {
        return Err(place.wrong(
            &key(name),
            &format!("it is for `type = \"{}\"`, and this is `{kind}`", of.as_str()),
            "remove it, or mend `type`",
        ));
    }
    let needed = |name: &str, value: Option<String>, hint: &str| {
        value
            .filter(|value| !value.is_empty())
            .ok_or_else(|| place.wrong(&key(name), &format!("`type = \"{kind}\"` needs it"), hint))
    };
    Ok(match raw.kind {
        BackendKind::Registry => cache::Place::Registry {
            reference: needed(
                "ref",
                raw.reference,
                "write it such as \"registry/repository:tag\"",
            )?,
        },
        BackendKind::Local => {
            let path = needed("path", raw.path, "name a folder, such as \"target/cache\"")?;
            // `components` leaves out what says nothing: the folder's name is needed.
            let path: std::path::PathBuf = root.join(path).components().collect();
            if root.starts_with(&path) || path.file_name().is_none() {
                return Err(place.wrong(
                    &key("path"),
                    "the folder is replaced with each build, and the project is in it",
                    "name a folder of its own, such as \"target/cache\"",
                ));
            }
            cache::Place::Local { path }
        }
        BackendKind::Gha => cache::Place::Gha {
            scope: raw.scope,
            timeout: raw.timeout.map(|text| place.limit(&key("timeout"), &text)).transpose()?,
        },
        BackendKind::S3 => {
            if raw.endpoint_url.as_deref().is_some_and(|url| !is_http(url)) {
                return Err(place.wrong(
                    &key("endpoint-url"),
                    "not an http:// or https:// URL",
                    "write it such as \"https://s3.example.com\"",
                ));
            }
            if let Some(url) = &raw.endpoint_url {
                let seen = "it is an argument of `docker buildx build`, which `ps` shows";
                let hint = "leave the credentials out: buildx finds AWS's by itself";
                place.shown(&key("endpoint-url"), url, seen, hint)?;
            }
            cache::Place::S3(Bucket {
                bucket: needed("bucket", raw.bucket, "name the bucket")?,
                region: raw.region,
                prefix: raw.prefix,
                name: raw.name.unwrap_or_else(|| "buildcache".into()),
                endpoint_url: raw.endpoint_url,
                path_style: raw.path_style.unwrap_or(false),
            })
        }
    })
}
