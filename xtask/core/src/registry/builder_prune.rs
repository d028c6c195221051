//! Pruning a builder's cache: the command for it, and what it would take.

use std::collections::BTreeMap;
use std::time::Duration;

use super::builder_cache::{BuilderCache, CacheRecord, RecordKind};
use super::policy::younger;
use crate::units::go_duration;

/// What to prune from a builder's cache. BuildKit joins the conditions: what is
/// younger than `older_than` stays even when it is more than `max_used_space`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuilderPrune {
    /// The builder's name; the command never prunes the selected one by accident.
    pub builder: String,
    /// Also what images share, and images of frontends.
    pub all: bool,
    /// Only what no build used for so long.
    pub older_than: Option<Duration>,
    /// Only as much as brings the cache down to so many bytes.
    pub max_used_space: Option<u64>,
    /// So many bytes stay in any case.
    pub reserved_space: Option<u64>,
    /// Only as much as brings the disk to so many free bytes.
    pub min_free_space: Option<u64>,
    /// Cache mounts stay.
    pub keep_mounts: bool,
}

/// The arguments of `docker` that prune, as buildx takes them since 0.18. It
/// does not ask (`--force`): that is the caller's.
///
/// A limit of 0 is left out: to BuildKit it is the same as none.
#[must_use]
pub fn prune_args(prune: &BuilderPrune) -> Vec<String> {
    let mut args: Vec<String> =
        ["buildx", "prune", "--builder", &prune.builder, "--force"].map(str::to_owned).into();
    if prune.all {
        args.push("--all".to_owned());
    }
    if let Some(age) = prune.older_than.filter(|age| *age > Duration::ZERO) {
        args.extend(["--filter".to_owned(), format!("until={}", go_duration(age))]);
    }
    if prune.keep_mounts {
        args.extend(["--filter".to_owned(), "type!=exec.cachemount".to_owned()]);
    }
    for (flag, limit) in [
        ("--reserved-space", prune.reserved_space),
        ("--max-used-space", prune.max_used_space),
        ("--min-free-space", prune.min_free_space),
    ] {
        if let Some(bytes) = limit.filter(|bytes| *bytes > 0) {
            // Without a unit it is bytes; "2GB" would be 2 GiB to buildx.
            args.extend([flag.to_owned(), bytes.to_string()]);
        }
    }
    args
}

/// What a prune would take: the records that are eligible, and how many bytes
/// of them at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview<'c> {
    /// Eligible records, the largest first. A limit of space may spare some.
    pub records: Vec<&'c CacheRecord>,
    /// Bytes that go at most. The limit of free space is not part of it: only
    /// the builder sees its disk.
    pub bytes: u64,
}

/// Works out what a prune at `now` would take. Only the builder decides which
/// of the eligible records go first when a limit of space spares some.
#[must_use]
pub fn preview<'c>(prune: &BuilderPrune, cache: &'c BuilderCache, now: i64) -> Preview<'c> {
    let young = |record: &CacheRecord| {
        // What no build used yet has no such time, and BuildKit prunes it.
        prune
            .older_than
            .is_some_and(|age| record.last_used.is_some() && younger(record.last_used, age, now))
    };
    let special = |record: &CacheRecord| {
        record.shared || matches!(record.kind, RecordKind::Internal | RecordKind::Frontend)
    };
    let mut goes: BTreeMap<&str, bool> = cache
        .records
        .iter()
        .map(|record| {
            let stays = record.in_use
                || young(record)
                || (!prune.all && special(record))
                || (prune.keep_mounts && record.kind == RecordKind::CacheMount);
            (record.id.as_str(), !stays)
        })
        .collect();
    // A record holds its parents: they go only after it.
    let parents: BTreeMap<&str, &[String]> =
        cache.records.iter().map(|record| (record.id.as_str(), &*record.parents)).collect();
    let mut stays: Vec<&str> = goes.iter().filter(|(_, goes)| !**goes).map(|(id, _)| *id).collect();
    while let Some(id) = stays.pop() {
        for parent in parents.get(id).copied().unwrap_or_default() {
            if let Some(goes) = goes.get_mut(parent.as_str()).filter(|goes| **goes) {
                *goes = false;
                stays.push(parent);
            }
        }
    }
    let records: Vec<&CacheRecord> =
        cache.records.iter().filter(|record| goes[record.id.as_str()]).collect();
    let eligible: u64 = records.iter().map(|record| record.bytes).sum();
    // BuildKit does not count what images share.
    let total: u64 = cache.records.iter().filter(|r| !r.shared).map(|r| r.bytes).sum();
    let kept = prune.max_used_space.unwrap_or(0).max(prune.reserved_space.unwrap_or(0));
    let bytes = if kept > 0 { eligible.min(total.saturating_sub(kept)) } else { eligible };
    Preview { records: if bytes == 0 && kept > 0 { Vec::new() } else { records }, bytes }
}

#[cfg(test)]
mod tests {
    use super::super::builder_cache::parse_buildctl;
    use super::super::fixture::{DAY, NOW};
    use super::*;

    fn args(prune: &BuilderPrune) -> String {
        prune_args(&BuilderPrune { builder: "loppestars".to_owned(), ..prune.clone() }).join(" ")
    }

    #[test]
    fn the_command_has_what_buildx_takes() {
        let prune = BuilderPrune::default();
        assert_eq!(args(&prune), "buildx prune --builder loppestars --force");
        let everything = BuilderPrune { all: true, ..prune.clone() };
        assert_eq!(args(&everything), "buildx prune --builder loppestars --force --all");
        let careful = BuilderPrune {
            older_than: Some(Duration::from_secs(7 * 86_400)),
            keep_mounts: true,
            reserved_space: Some(500_000_000),
            max_used_space: Some(2_000_000_000),
            min_free_space: Some(1 << 30),
            ..prune.clone()
        };
        assert_eq!(
            args(&careful),
            "buildx prune --builder loppestars --force --filter until=168h0m0s \
             --filter type!=exec.cachemount --reserved-space 500000000 \
             --max-used-space 2000000000 --min-free-space 1073741824"
        );
        let zeros = BuilderPrune {
            older_than: Some(Duration::ZERO),
            reserved_space: Some(0),
            max_used_space: Some(0),
            ..prune
        };
        assert_eq!(args(&zeros), "buildx prune --builder loppestars --force");
    }

    /// base <- deps <- app, a shared layer, a mount, a frontend, one in use.
    fn cache() -> BuilderCache {
        let record = |id: &str, kind: &str, size: u64, days: i64, parent: &str| {
            let parents: Vec<&str> = parent.split_whitespace().collect();
            let last_used = (days >= 0).then(|| {
                // The fixture's NOW is 2027-01-15T08:00:00Z.
                format!("2027-01-{:02}T08:00:00Z", 15 - days)
            });
            serde_json::json!({"id": id, "recordType": kind, "size": size, "mutable": false,
                "inUse": id == "busy", "shared": id == "shared", "parents": parents,
                "lastUsedAt": last_used})
        };
        let records = serde_json::json!([
            record("base", "regular", 1000, 9, ""),
            record("deps", "regular", 500, 9, "base"),
            record("app", "regular", 10, 1, "deps"),
            record("old", "regular", 70, 9, "base"),
            record("shared", "regular", 300, 9, ""),
            record("mount", "exec.cachemount", 200, 9, ""),
            record("frontend", "frontend", 40, 9, ""),
            record("busy", "regular", 5, 9, ""),
            record("unused", "source.local", 3, -1, ""),
        ]);
        parse_buildctl(records.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_preview_says_what_would_go() {
        let cache = cache();
        assert_eq!(
            cache.records.iter().find(|r| r.id == "app").unwrap().last_used,
            Some(NOW - DAY)
        );
        let prune = BuilderPrune::default();
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        let cases = [
            (prune.clone(), "base deps mount old app unused", 1783),
            (
                BuilderPrune { all: true, ..prune.clone() },
                "base deps shared mount old frontend app unused",
                2123,
            ),
            // app is young and holds deps and base.
            (BuilderPrune { older_than: days(7), ..prune.clone() }, "mount old unused", 273),
            (
                BuilderPrune { older_than: days(7), keep_mounts: true, ..prune.clone() },
                "old unused",
                73,
            ),
            (BuilderPrune { older_than: days(10), ..prune.clone() }, "unused", 3),
            // 1828 bytes are not shared.
            (
                BuilderPrune { max_used_space: Some(1800), ..prune.clone() },
                "base deps mount old app unused",
                28,
            ),
            (BuilderPrune { reserved_space: Some(5000), ..prune.clone() }, "", 0),
        ];
        for (prune, ids, bytes) in cases {
            let preview = preview(&prune, &cache, NOW);
            let found: Vec<&str> = preview.records.iter().map(|r| r.id.as_str()).collect();
            assert_eq!((found.join(" ").as_str(), preview.bytes), (ids, bytes), "{prune:?}");
        }
    }
}
