//! The repository as rows.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Area, Row, row, with_total};
use crate::registry::digest::Digest;
use crate::registry::graph::{Class, Graph, blobs, image_bytes};
use crate::registry::in_use::InUse;
use crate::registry::plan::PrunePlan;
use crate::registry::repository::Repository;

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
    let mut total = row(Area::Registry, "total", "total".to_owned());
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
        let class =
            rows.entry(class).or_insert_with(|| row(Area::Registry, word(class), plural(class)));
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
