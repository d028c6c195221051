//! The builder's cache as rows.

use std::collections::{BTreeMap, HashMap};

use super::{Area, Row, row, with_total};
use crate::registry::builder_cache::{BuilderCache, CacheRecord, RecordKind};
use crate::registry::stages::Stages;

/// What a row of the builder's cache sums up, in the order of the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    /// Layers of a stage of the Dockerfile, by its place there.
    Stage(usize),
    /// Layers of the images that stages start from.
    BaseImages,
    /// Layers that came from a cache in a registry or elsewhere.
    Imported,
    /// Other layers: of earlier Dockerfiles, and of other projects.
    Layers,
    /// A cache mount, by its id.
    Mount(String),
    /// Other kinds of records.
    Kind(RecordKind),
}

/// The builder's cache by kind, layers by stage of the Dockerfile as far as that can be told,
/// cache mounts each by its id, and the total. Empty when there are no records.
#[must_use]
pub fn builder_rows(cache: &BuilderCache, stages: Option<&Stages>) -> Vec<Row> {
    let none = Stages::default();
    let stages = stages.unwrap_or(&none);
    let groups = groups(cache, stages);
    let told = groups
        .iter()
        .any(|group| matches!(group, Group::Stage(_) | Group::BaseImages | Group::Imported));
    let mut rows: BTreeMap<&Group, Row> = BTreeMap::new();
    let mut total = row(Area::Builder, "total", "total".to_owned());
    for (record, group) in cache.records.iter().zip(&groups) {
        let of_group = rows.entry(group).or_insert_with(|| empty(group, stages, told));
        for row in [of_group, &mut total] {
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

/// The group of each record.
fn groups(cache: &BuilderCache, stages: &Stages) -> Vec<Group> {
    let mut groups: Vec<Group> =
        cache.records.iter().map(|record| by_itself(record, stages)).collect();
    // The Engine says nothing of a base image that it had already: only what is built on it does.
    let places: HashMap<&str, usize> =
        cache.records.iter().enumerate().map(|(at, record)| (record.id.as_str(), at)).collect();
    for at in 0..groups.len() {
        if !matches!(groups[at], Group::Stage(_)) {
            continue;
        }
        for parent in &cache.records[at].parents {
            let Some(&parent) = places.get(parent.as_str()) else { continue };
            let record = &cache.records[parent];
            if record.description.is_empty() && groups[parent] == Group::Layers {
                groups[parent] = Group::BaseImages;
            }
        }
    }
    groups
}

fn by_itself(record: &CacheRecord, stages: &Stages) -> Group {
    if let Some(id) = record.mount_id() {
        return Group::Mount(id);
    }
    if record.kind != RecordKind::Layer {
        return Group::Kind(record.kind.clone());
    }
    match stages.of(&record.description) {
        Some(stage) => Group::Stage(stage),
        None if record.description.starts_with("pulled from ") => Group::BaseImages,
        None if record.description.starts_with("imported ") => Group::Imported,
        None => Group::Layers,
    }
}

/// The row of a group. `told` is whether some layers are told apart from others.
fn empty(group: &Group, stages: &Stages, told: bool) -> Row {
    let (kind, name, what) = match group {
        Group::Stage(at) => {
            let name = stages.names()[*at].clone();
            ("layer", Some(name.clone()), format!("layers of stage {name}"))
        }
        Group::BaseImages => ("base-image", None, "layers of base images".to_owned()),
        Group::Imported => ("imported", None, "layers from a cache".to_owned()),
        Group::Layers if told => ("layer", None, "other layers".to_owned()),
        Group::Layers => ("layer", None, "layers".to_owned()),
        Group::Mount(id) => ("cache-mount", Some(id.clone()), format!("cache mount {id}")),
        Group::Kind(kind) => (kind.word(), None, kind.to_string()),
    };
    Row { name, ..row(Area::Builder, kind, what) }
}
