//! Disk usage as rows of one table: the builder's cache and the registry.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use serde::Serialize;

use super::builder_cache::{BuilderCache, RecordKind};
use super::digest::Digest;
use super::graph::{Class, Graph, blobs, image_bytes};
use super::in_use::InUse;
use super::plan::PrunePlan;
use super::repository::Repository;
use crate::units::{format_ago, format_size};

/// Where disk space is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Row {
    /// Where.
    pub area: Area,
    /// What, in the plural; `total` for the sum of an area.
    pub what: String,
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

/// The builder's cache by kind, cache mounts each by its id, and the total.
/// Empty when there are no records.
#[must_use]
pub fn builder_rows(cache: &BuilderCache) -> Vec<Row> {
    let mut rows: BTreeMap<(&RecordKind, Option<String>), Row> = BTreeMap::new();
    let mut total = row(Area::Builder, "total".to_owned());
    for record in &cache.records {
        let mount = record.mount_id();
        let what = mount
            .as_ref()
            .map_or_else(|| record.kind.to_string(), |id| format!("cache mount {id}"));
        let kind = rows.entry((&record.kind, mount)).or_insert_with(|| row(Area::Builder, what));
        for row in [kind, &mut total] {
            row.count += 1;
            row.bytes += record.bytes;
            row.reclaimable += if record.reclaimable() { record.bytes } else { 0 };
            row.shared += if record.shared { record.bytes } else { 0 };
            row.in_use += usize::from(record.in_use);
            row.last_used = row.last_used.max(record.last_used);
        }
    }
    with_total(rows.into_values().collect(), total)
}

/// The repository by class of image and the total, layers that images share
/// counted once. What is reclaimable is what `prune` would delete.
#[must_use]
pub fn registry_rows(
    repository: &Repository,
    in_use: &InUse,
    prune: Option<&PrunePlan>,
) -> Vec<Row> {
    let graph = Graph::new(repository);
    let images = repository.images();
    let classes: Vec<Class> = (0..images.len()).map(|at| graph.class(at)).collect();
    let deleted: HashSet<&Digest> =
        prune.iter().flat_map(|plan| &plan.delete).map(|deletion| &deletion.digest).collect();

    // Each blob with the classes that have it, and whether anything kept does.
    let mut owners: HashMap<&Digest, (u64, BTreeSet<Class>, bool)> = HashMap::new();
    let mut rows: BTreeMap<Class, Row> = BTreeMap::new();
    let mut total = row(Area::Registry, "total".to_owned());
    for (image, &class) in images.iter().zip(&classes) {
        let goes = deleted.contains(&image.digest);
        let own = match blobs(repository, image) {
            Some(blobs) => {
                for blob in blobs {
                    let owner = owners
                        .entry(&blob.digest)
                        .or_insert_with(|| (blob.size, BTreeSet::new(), false));
                    owner.1.insert(class);
                    owner.2 |= !goes;
                }
                0
            }
            None => image_bytes(repository, image),
        };
        let class = rows.entry(class).or_insert_with(|| row(Area::Registry, plural(class)));
        for row in [class, &mut total] {
            row.count += 1;
            row.bytes += own;
            row.reclaimable += if goes { own } else { 0 };
            row.in_use += usize::from(!in_use.users(&image.digest).is_empty());
            row.last_used = row.last_used.max(image.last_pulled_at.max(image.pushed_at));
        }
    }
    for (bytes, classes, kept) in owners.values() {
        total.bytes += bytes;
        total.reclaimable += if *kept { 0 } else { *bytes };
        for (place, class) in classes.iter().enumerate() {
            let Some(row) = rows.get_mut(class) else { continue };
            row.bytes += bytes;
            row.shared += if classes.len() > 1 { *bytes } else { 0 };
            // Freed once, so told once.
            row.reclaimable += if *kept || place > 0 { 0 } else { *bytes };
        }
    }
    total.shared = owners.values().filter(|(_, classes, _)| classes.len() > 1).map(|o| o.0).sum();
    let mut rows: Vec<(Class, Row)> = rows.into_iter().collect();
    rows.sort_by_key(|(class, _)| order(*class));
    with_total(rows.into_iter().map(|(_, row)| row).collect(), total)
}

/// The rows as lines of text: a header, words to the left, numbers to the right.
#[must_use]
pub fn table(rows: &[Row], now: i64) -> Vec<String> {
    const RIGHT: [bool; 8] = [false, false, true, true, true, true, true, true];
    let header = ["AREA", "WHAT", "COUNT", "SIZE", "RECLAIMABLE", "SHARED", "IN USE", "LAST USED"];
    let mut cells = vec![header.map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        [
            row.area.to_string(),
            row.what.clone(),
            row.count.to_string(),
            format_size(row.bytes),
            format_size(row.reclaimable),
            format_size(row.shared),
            row.in_use.to_string(),
            row.last_used.map_or_else(|| "-".to_owned(), |at| format_ago(now, at)),
        ]
    }));
    let width = |column: usize| {
        cells.iter().map(|line: &[String; 8]| line[column].chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |line: &[String; 8]| {
        let padded = line.iter().zip(&widths).zip(RIGHT).map(|((cell, &width), right)| {
            if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    cells.iter().map(line).collect()
}

fn row(area: Area, what: String) -> Row {
    Row { area, what, count: 0, bytes: 0, reclaimable: 0, shared: 0, in_use: 0, last_used: None }
}

fn with_total(mut rows: Vec<Row>, total: Row) -> Vec<Row> {
    if !rows.is_empty() {
        rows.push(total);
    }
    rows
}

/// What people look for first comes first.
fn order(class: Class) -> usize {
    match class {
        Class::Tagged => 0,
        Class::IndexChild => 1,
        Class::Attestation => 2,
        Class::Referrer => 3,
        Class::Cache => 4,
        Class::Untagged => 5,
    }
}

fn plural(class: Class) -> String {
    match class {
        Class::Tagged => "tagged images",
        Class::IndexChild => "index children",
        Class::Attestation => "attestations",
        Class::Referrer => "referrers",
        Class::Cache => "build caches",
        Class::Untagged => "untagged images",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::builder_cache::parse_engine;
    use super::super::fixture::{NOW, cache, image, index, layers, list, real, repository};
    use super::super::plan::plan;
    use super::super::policy::Policy;
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
        let rows = builder_rows(&builder());
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
        let empty = BuilderCache { records: Vec::new(), exact: true };
        assert_eq!(builder_rows(&empty), []);
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
                ("build caches", 1, 1006, 6, 1005),
                ("untagged images", 1, 105, 100, 5),
                ("total", 5, 1136, 106, 1005),
            ]
        );
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
        let mut rows = builder_rows(&builder());
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
        let json = serde_json::to_value(&builder_rows(&builder())[1]).unwrap();
        assert_eq!(json["area"], "builder");
        assert_eq!(json["bytes"], 131_072);
        assert!(json["last-used"].as_i64().is_some());
    }
}
