//! The repository as rows.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Area, Row, row, with_total};
use crate::registry::digest::Digest;
use crate::registry::graph::{Class, Graph, blobs, image_bytes};
use crate::registry::in_use::InUse;
use crate::registry::plan::PrunePlan;
use crate::registry::repository::Repository;

/// Caches that have a row of their own; JSON and tables stay readable.
const CACHES: usize = 20;

/// What a row sums up, in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    /// A cache, by its tags.
    Cache(String),
    /// Further caches, and those that lost their tag.
    Caches,
    /// Everything else, by what it is.
    Class(Class),
}

/// The repository by class of image, caches each by its tag, and the total; layers that images
/// share are counted once. What is reclaimable is what `prune` would delete.
#[must_use]
pub fn registry_rows(
    repository: &Repository,
    in_use: &InUse,
    prune: Option<&PrunePlan>,
) -> Vec<Row> {
    let images = repository.images();
    let groups = groups(repository);
    let deleted: HashSet<&Digest> =
        prune.iter().flat_map(|plan| &plan.delete).map(|deletion| &deletion.digest).collect();

    // Each blob with the groups that have it, and whether anything kept does.
    let mut owners: HashMap<&Digest, (u64, BTreeSet<&Group>, bool)> = HashMap::new();
    let mut rows: BTreeMap<&Group, Row> = BTreeMap::new();
    let mut total = row(Area::Registry, "total", "total".to_owned());
    for (image, group) in images.iter().zip(&groups) {
        let goes = deleted.contains(&image.digest);
        let own = match blobs(repository, image) {
            Some(blobs) => {
                for blob in blobs {
                    let owner = owners
                        .entry(&blob.digest)
                        .or_insert_with(|| (blob.size, BTreeSet::new(), false));
                    owner.1.insert(group);
                    owner.2 |= !goes;
                }
                0
            }
            None => image_bytes(repository, image),
        };
        let of_group = rows.entry(group).or_insert_with(|| group.row());
        for row in [of_group, &mut total] {
            row.count += 1;
            row.bytes += own;
            row.reclaimable += if goes { own } else { 0 };
            row.in_use += usize::from(!in_use.users(&image.digest).is_empty());
            row.last_used = row.last_used.max(image.last_pulled_at.max(image.pushed_at));
        }
    }
    for (bytes, groups, kept) in owners.values() {
        total.bytes += bytes;
        total.reclaimable += if *kept { 0 } else { *bytes };
        for (place, group) in groups.iter().enumerate() {
            let Some(row) = rows.get_mut(group) else { continue };
            row.bytes += bytes;
            row.shared += if groups.len() > 1 { *bytes } else { 0 };
            // Freed once, so told once.
            row.reclaimable += if *kept || place > 0 { 0 } else { *bytes };
        }
    }
    total.shared = owners.values().filter(|(_, groups, _)| groups.len() > 1).map(|o| o.0).sum();
    let mut rows: Vec<(&Group, Row)> = rows.into_iter().collect();
    rows.sort_by_key(|(group, _)| group.order());
    with_total(rows.into_iter().map(|(_, row)| row).collect(), total)
}

/// The group of each image.
fn groups(repository: &Repository) -> Vec<Group> {
    let (graph, images) = (Graph::new(repository), repository.images());
    let classes: Vec<Class> = (0..images.len()).map(|at| graph.class(at)).collect();
    let is_named = |at: &usize| classes[*at] == Class::Cache && images[*at].is_tagged();
    let mut named: Vec<usize> = (0..images.len()).filter(is_named).collect();
    named.sort_by_key(|&at| Reverse(images[at].pushed_at));
    let named: HashSet<usize> = named.into_iter().take(CACHES).collect();
    let of = |(at, class): (usize, &Class)| match class {
        Class::Cache if named.contains(&at) => Group::Cache(images[at].tags.join(", ")),
        Class::Cache => Group::Caches,
        class => Group::Class(*class),
    };
    classes.iter().enumerate().map(of).collect()
}

impl Group {
    fn row(&self) -> Row {
        match self {
            Self::Cache(tags) => Row {
                name: Some(tags.clone()),
                ..row(Area::Registry, word(Class::Cache), format!("build cache {tags}"))
            },
            Self::Caches => {
                row(Area::Registry, word(Class::Cache), "other build caches".to_owned())
            }
            Self::Class(class) => row(Area::Registry, word(*class), plural(*class)),
        }
    }

    /// What people look for first comes first.
    fn order(&self) -> usize {
        match self {
            Self::Class(class) => order(*class),
            Self::Cache(_) | Self::Caches => order(Class::Cache),
        }
    }
}

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

/// The class as JSON has it.
fn word(class: Class) -> &'static str {
    match class {
        Class::Tagged => "tagged-image",
        Class::IndexChild => "index-child",
        Class::Attestation => "attestation",
        Class::Referrer => "referrer",
        Class::Cache => "cache",
        Class::Untagged => "untagged-image",
    }
}
