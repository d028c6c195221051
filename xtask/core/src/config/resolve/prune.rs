//! What a prune leaves, with every value checked.

use anyhow::Result;

use super::{Place, file};
use crate::config::file::Caches;
use crate::config::{Cache, KeepTagged, Prune};

pub(super) fn prune(raw: file::Prune, cache: &Cache, place: &Place<'_>) -> Result<Prune> {
    let younger_than = raw
        .keep_younger_than
        .map(|text| place.duration("prune.keep-younger-than", &text))
        .transpose()?;
    let expires = raw.keep_last.is_some() || younger_than.is_some();
    if !expires && !raw.keep_tags.is_empty() {
        return Err(place.wrong(
            "prune.keep-tags",
            "all tagged images stay anyway",
            "set `keep-last` or `keep-younger-than` too, to let the others go; or remove it",
        ));
    }
    // The newest may be that of a deploy under way.
    if raw.keep_task_definitions == Some(0) {
        return Err(place.wrong(
            "prune.keep-task-definitions",
            "a deploy may be about to use the newest",
            "write 1 or more; without it, none are deregistered",
        ));
    }
    Ok(Prune {
        keep_revisions: raw.keep_revisions,
        keep_families: raw.keep_families,
        tagged: expires.then(|| KeepTagged {
            last: raw.keep_last.unwrap_or(0),
            younger_than,
            tags: raw.keep_tags,
        }),
        keep_untagged: place.duration("prune.keep-untagged", &raw.keep_untagged)?,
        keep_task_definitions: raw.keep_task_definitions,
        caches: caches(raw.caches, cache, place)?,
    })
}

fn caches(raw: Option<Caches>, cache: &Cache, place: &Place<'_>) -> Result<Caches> {
    match (raw, &cache.main_branch) {
        (Some(Caches::GoneBranches), None) => Err(place.wrong(
            "prune.caches",
            "no branch has a cache of its own",
            "set `branches = true` in [cache], or remove it",
        )),
        (Some(caches), _) => Ok(caches),
        (None, Some(_)) => Ok(Caches::GoneBranches),
        (None, None) => Ok(Caches::Delete),
    }
}
