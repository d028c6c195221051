//! Disk usage as rows of one table: the builder's cache and the registry.

mod builder;
mod repository;

use std::fmt;

use serde::Serialize;

pub use builder::builder_rows;
pub use repository::registry_rows;

use crate::units::{format_ago, format_size};

/// Where disk space is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// The builder's cache.
    Builder,
    /// The repository in the registry.
    Registry,
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Builder => "builder",
            Self::Registry => "registry",
        })
    }
}

/// One row: how much something takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Row {
    /// Where.
    pub area: Area,
    /// What, for people, in the plural; `total` for the sum of an area.
    pub what: String,
    /// The kind of record or image; `total` for the sum of an area.
    pub kind: String,
    /// The stage of the Dockerfile, the id of the cache mount, or the tags of the cache.
    pub name: Option<String>,
    /// The repository's name; of the builder's cache there is none.
    pub repository: Option<String>,
    /// How many records or images.
    pub count: usize,
    /// Bytes that they take, what several of them share counted once. In the
    /// registry rows may share layers, so that the total is less than the sum.
    pub bytes: u64,
    /// Bytes that a prune would free.
    pub reclaimable: u64,
    /// Bytes of these that something else has, too: in the builder, images of
    /// the Engine; in the registry, images of other rows.
    pub shared: u64,
    /// How many of them somebody uses.
    pub in_use: usize,
    /// When one of them was last used: by a build; in the registry, pulled or pushed.
    pub last_used: Option<i64>,
}

/// The rows as lines of text: a header, words to the left, numbers to the right.
#[must_use]
pub fn table(rows: &[Row], now: i64) -> Vec<String> {
    const RIGHT: [bool; 8] = [false, false, true, true, true, true, true, true];
    let header = ["AREA", "WHAT", "COUNT", "SIZE", "RECLAIMABLE", "SHARED", "IN USE", "LAST USED"];
    let mut cells = vec![header.map(str::to_owned).to_vec()];
    cells.extend(rows.iter().map(|row| {
        let of = row.repository.as_ref().map_or_else(String::new, |name| format!(" of {name}"));
        vec![
            row.area.to_string(),
            format!("{}{of}", row.what),
            row.count.to_string(),
            format_size(row.bytes),
            format_size(row.reclaimable),
            format_size(row.shared),
            row.in_use.to_string(),
            row.last_used.map_or_else(|| "-".to_owned(), |at| format_ago(now, at)),
        ]
    }));
    columns(&cells, &RIGHT)
}

/// Cells as lines, those of a column under each other; `right` tells the columns of numbers.
pub(super) fn columns(cells: &[Vec<String>], right: &[bool]) -> Vec<String> {
    let width = |column: usize| cells.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..right.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |line: &Vec<String>| {
        let padded = line.iter().zip(&widths).zip(right).map(|((cell, &width), right)| {
            if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    cells.iter().map(line).collect()
}

fn row(area: Area, kind: &str, what: String) -> Row {
    Row {
        area,
        what,
        kind: kind.to_owned(),
        name: None,
        repository: None,
        count: 0,
        bytes: 0,
        reclaimable: 0,
        shared: 0,
        in_use: 0,
        last_used: None,
    }
}

fn with_total(mut rows: Vec<Row>, total: Row) -> Vec<Row> {
    if !rows.is_empty() {
        rows.push(total);
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::builder_cache::{BuilderCache, parse_engine};
    use super::super::fixture::{NOW, cache, image, index, layers, list, real, repository};
    use super::super::in_use::InUse;
    use super::super::plan::{PrunePlan, plan};
    use super::super::policy::Policy;
    use super::super::repository::Repository;
    use super::super::stages::Stages;
    use super::*;

    fn builder() -> BuilderCache {
        parse_engine(include_bytes!("testdata/system-df.json")).unwrap()
    }

    fn prune(repository: &Repository) -> PrunePlan {
        let policy = Policy::caches_and_untagged(Duration::ZERO);
        plan(repository, &InUse::default(), &policy, NOW).unwrap()
    }

    #[test]
    fn the_builder_s_rows_add_up_to_its_total() {
        let rows = builder_rows(&builder(), None);
        let what: Vec<(&str, usize)> =
            rows.iter().map(|row| (row.what.as_str(), row.count)).collect();
        assert_eq!(
            what,
            [
                ("layers", 11),
                ("cache mount /root/.cache/pip", 1),
                ("cache mount /var/cache/apt", 1),
                ("cache mount apt-lists", 1),
                ("local sources", 2),
                ("total", 16),
            ]
        );
        let (total, parts) = rows.split_last().unwrap();
        assert_eq!(total.bytes, parts.iter().map(|row| row.bytes).sum::<u64>());
        assert_eq!(total.bytes, builder().records.iter().map(|record| record.bytes).sum::<u64>());
        assert_eq!(total.reclaimable, total.bytes, "nothing was being built");
        assert!(total.shared > 4_160_350 && total.shared < total.bytes);
        assert_eq!(
            (rows[1].kind.as_str(), rows[1].name.as_deref()),
            ("cache-mount", Some("/root/.cache/pip"))
        );
        let empty = BuilderCache { records: Vec::new(), exact: true };
        assert_eq!(builder_rows(&empty, None), []);
    }

    #[test]
    fn layers_are_told_apart_by_stage_as_far_as_that_goes() {
        let record = |id: &str, description: &str, parent: &str, size: u64| {
            json!({ "ID": id, "Type": "regular", "Description": description, "Size": size,
                "Parents": if parent.is_empty() { json!(null) } else { json!([parent]) } })
        };
        let cache = parse_engine(
            json!({ "BuildCache": [
                record("a", "", "", 100),
                record("b", "mount / from exec /bin/sh -c make x", "a", 20),
                record("c", "[app 1/1] COPY --from=base /x /x", "b", 3),
                record("d", "[app 1/1] COPY --from=base /y /y", "b", 4),
                record("e", "pulled from docker.io/library/debian:13", "", 50),
                record("f", "imported sha256:12", "", 6),
                record("g", "", "", 7),
            ] })
            .to_string()
            .as_bytes(),
        );
        let cache = cache.unwrap();
        let stages =
            Stages::parse("FROM x AS base\nRUN make x\nFROM base AS app\nCOPY --from=base /x /x");
        let rows = builder_rows(&cache, Some(&stages));
        let short: Vec<(&str, &str, Option<&str>, u64)> = rows
            .iter()
            .map(|r| (r.what.as_str(), r.kind.as_str(), r.name.as_deref(), r.bytes))
            .collect();
        assert_eq!(
            short,
            [
                ("layers of stage base", "layer", Some("base"), 20),
                ("layers of stage app", "layer", Some("app"), 3),
                ("layers of base images", "base-image", None, 150),
                ("layers from a cache", "imported", None, 6),
                ("other layers", "layer", None, 11),
                ("total", "total", None, 190),
            ]
        );
    }

    #[test]
    fn layers_are_counted_once() {
        // Two children share layer 30; the cache has it as well, and shares 31
        // with an untagged image.
        let images = vec![
            index(9, &["latest"]),
            image(8, &[]),
            image(7, &[]),
            image(6, &["buildcache"]),
            image(5, &[]),
        ];
        let mut buildcache = cache(31);
        buildcache["layers"] = layers(&[(30, 1000), (31, 5)])["layers"].clone();
        let manifests = [
            (9, list(&[8, 7])),
            (8, layers(&[(30, 1000), (40, 10)])),
            (7, layers(&[(30, 1000), (41, 20)])),
            (6, buildcache),
            (5, layers(&[(31, 5), (42, 100)])),
        ];
        let repository = repository(images, manifests);
        let plan = prune(&repository);
        let rows = registry_rows(&repository, &InUse::default(), Some(&plan));
        let short: Vec<(&str, usize, u64, u64, u64)> = rows
            .iter()
            .map(|r| (r.what.as_str(), r.count, r.bytes, r.reclaimable, r.shared))
            .collect();
        assert_eq!(
            short,
            [
                ("tagged images", 1, 0, 0, 0),
                ("index children", 2, 1030, 0, 1000),
                // A configuration has 1 byte. Layer 31 is freed once.
                ("build cache buildcache", 1, 1006, 6, 1005),
                ("untagged images", 1, 105, 100, 5),
                ("total", 5, 1136, 106, 1005),
            ]
        );
    }

    #[test]
    fn caches_are_told_apart_by_tag_the_newest_ones() {
        let tag = |n| format!("buildcache-{n}");
        let images = (1..=25).map(|n| image(n, &[&tag(n)])).chain([image(26, &[])]).collect();
        let repository = repository(images, (1..=26).map(|n| (n, cache(100 + 2 * n))));
        let rows = registry_rows(&repository, &InUse::default(), None);
        assert_eq!(rows.len(), 20 + 1 + 1);
        let of = |what: &str| rows.iter().find(|row| row.what == what).unwrap();
        let newest = of("build cache buildcache-1");
        assert_eq!(
            (newest.name.as_deref(), newest.count, newest.bytes),
            (Some("buildcache-1"), 1, 11)
        );
        assert_eq!((of("other build caches").count, of("other build caches").bytes), (6, 66));
        assert!(rows.iter().all(|row| row.what != "build cache buildcache-21"));
        assert_eq!(rows.iter().filter(|row| row.kind == "cache").count(), 21);
    }

    #[test]
    fn what_is_reclaimable_is_what_the_plan_frees() {
        let repository = real();
        let plan = prune(&repository);
        let rows = registry_rows(&repository, &InUse::default(), Some(&plan));
        let (total, parts) = rows.split_last().unwrap();
        assert_eq!(total.reclaimable, plan.freed_bytes);
        assert_eq!(parts.iter().map(|row| row.reclaimable).sum::<u64>(), plan.freed_bytes);
        assert_eq!(total.count, 21);
        // A base layer of a megabyte in gzip and in zstd, and little else.
        assert!((2_169_000..2_190_000).contains(&total.bytes), "{}", total.bytes);
        let without = registry_rows(&repository, &InUse::default(), None);
        assert!(without.iter().all(|row| row.reclaimable == 0));
    }

    #[test]
    fn the_table_is_aligned() {
        let mut rows = builder_rows(&builder(), None);
        rows.retain(|row| row.what != "layers");
        rows[0].last_used = None;
        let lines = table(&rows, 1_795_387_200);
        assert_eq!(
            lines[..3],
            [
                "AREA     WHAT                          COUNT     SIZE  RECLAIMABLE   SHARED  IN USE  LAST USED",
                "builder  cache mount /root/.cache/pip      1   131 kB       131 kB      0 B       0          -",
                "builder  cache mount /var/cache/apt        1   311 kB       311 kB      0 B       0     1m ago",
            ]
        );
        assert!(lines.iter().all(|line| line.len() == lines[0].len()));
        assert_eq!(table(&[], NOW).len(), 1);
    }

    #[test]
    fn rows_are_bytes_in_json() {
        let json = serde_json::to_value(&builder_rows(&builder(), None)[1]).unwrap();
        assert_eq!(json["area"], "builder");
        assert_eq!(json["bytes"], 131_072);
        assert!(json["last-used"].as_i64().is_some());
    }
}
