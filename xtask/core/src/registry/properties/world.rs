//! Random repositories: images, indexes with attestations, caches of branches, companions; and
//! who uses them.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use crate::config::{Cache, Prune, file};
use crate::plan::branch::of_branch;
use crate::plan::prune::caches;
use crate::registry::digest::Digest;
use crate::registry::fixture::{
    NOW, OCI_INDEX, OCI_LAYER, URI, cache, digest, image, layers, list, manifest,
};
use crate::registry::glob::Glob;
use crate::registry::in_use::{InUse, Use, User, UserKind};
use crate::registry::policy::{Caches, Images, Policy};
use crate::registry::repository::{Image, Repository};

const KINDS: [UserKind; 5] = [
    UserKind::RunningTask,
    UserKind::StoppedTask,
    UserKind::Service,
    UserKind::Deployment,
    UserKind::TaskDefinitionRevision,
];

/// The fingerprint of an image's inputs, which is no name of it.
pub const MARK: &str = "in-0123456789012345678901234567890123456789";

/// The caches of the configuration: ours, and one whose name looks like a branch of ours.
pub const CACHES: [&str; 2] = ["buildcache", "buildcache-staging"];

/// Branches that there may be. The third and the fourth have the same tag.
pub const BRANCHES: [&str; 8] =
    ["main", "x", "a/b", "a-b-e2480c78", "a-b", "pr-x", "staging", "staging-x"];

/// One random image. It links only to images of smaller numbers, as digests do.
#[derive(Debug, Clone)]
pub struct Node {
    shape: Shape,
    tags: Vec<String>,
    age_hours: i64,
    /// What its manifest says that it is a companion of.
    subject: Option<Index>,
    /// What ECR says of that.
    subject_by_ecr: Option<Index>,
    /// What a tag says of that, with this suffix.
    signature_of: Option<(Index, &'static str)>,
}

#[derive(Debug, Clone)]
enum Shape {
    Image(Vec<u64>),
    Attestation(u64),
    Cache(u64),
    CacheIndex(u64),
    /// Each child, and whether it is listed as an attestation.
    Index(Vec<(Index, bool)>),
}

impl Node {
    /// With the tags and the time of push of another: the rest can not change.
    pub fn like(&self, other: &Self) -> Self {
        Self { tags: other.tags.clone(), age_hours: other.age_hours, ..self.clone() }
    }
}

fn tag() -> impl Strategy<Value = String> {
    let of_images = select(vec!["latest", "git-1", "git-2", "git-3", "v1", "v2", MARK]);
    let of_caches = select(CACHES.to_vec());
    prop_oneof![
        3 => of_images.prop_map(str::to_owned),
        1 => of_caches.clone().prop_map(str::to_owned),
        3 => (of_caches, select(BRANCHES.to_vec())).prop_map(|(name, of)| of_branch(name, of)),
    ]
}

pub fn node() -> impl Strategy<Value = Node> {
    let shape = prop_oneof![
        4 => vec(0_u64..12, 0..4).prop_map(Shape::Image),
        1 => (0_u64..12).prop_map(Shape::Attestation),
        3 => (0_u64..12).prop_map(Shape::Cache),
        1 => (0_u64..12).prop_map(Shape::CacheIndex),
        3 => vec(any::<(Index, bool)>(), 0..5).prop_map(Shape::Index),
    ];
    let link = || option::weighted(0.15, any::<Index>());
    let suffix = select(vec!["", ".sig", ".att"]);
    let by_tag = option::weighted(0.15, (any::<Index>(), suffix));
    (shape, vec(tag(), 0..3), 0..200_i64, link(), link(), by_tag).prop_map(
        |(shape, tags, age_hours, subject, subject_by_ecr, signature_of)| Node {
            shape,
            tags,
            age_hours,
            subject,
            subject_by_ecr,
            signature_of,
        },
    )
}

fn attestation(blob: u64) -> Value {
    json!({ "layers": [{ "mediaType": "application/vnd.in-toto+json", "digest": digest(blob), "size": 1 << blob }] })
}

fn cache_index(blob: u64) -> Value {
    json!({ "mediaType": OCI_INDEX, "manifests": [
        { "mediaType": OCI_LAYER, "digest": digest(blob), "size": 1 << blob },
        { "mediaType": "application/vnd.buildkit.cacheconfig.v0", "digest": digest(50), "size": 1 },
    ] })
}

/// An index as BuildKit writes it, and with one child that is not in the repository.
fn index_of(children: &[(u64, bool)]) -> Value {
    let numbers: Vec<u64> = children.iter().map(|(number, _)| *number).chain([7]).collect();
    let mut index = list(&numbers);
    for (at, (_, attests)) in children.iter().enumerate() {
        if *attests {
            let child = &mut index["manifests"][at];
            child["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
            child["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
        }
    }
    index
}

/// A repository of random images; a tag is on the image that got it last.
pub fn build(uri: &str, nodes: &[Node]) -> Repository {
    let mut taken = BTreeSet::new();
    let mut images = Vec::new();
    let mut manifests = Vec::new();
    for (at, node) in nodes.iter().enumerate().rev() {
        let number = 100 + at as u64;
        let earlier = |link: &Index| (at > 0).then(|| 100 + link.index(at) as u64);
        let mut json = match &node.shape {
            Shape::Image(blobs) => layers(&blobs.iter().map(|b| (*b, 1 << b)).collect::<Vec<_>>()),
            Shape::Attestation(blob) => attestation(*blob),
            Shape::Cache(blob) => cache(*blob),
            Shape::CacheIndex(blob) => cache_index(*blob),
            Shape::Index(children) => {
                let children = children.iter();
                let children = children.filter_map(|(link, of)| Some((earlier(link)?, *of)));
                index_of(&children.collect::<Vec<_>>())
            }
        };
        if let Some(subject) = node.subject.as_ref().and_then(earlier) {
            json["subject"] = json!({ "digest": digest(subject), "size": 1 });
        }
        let mut tags: Vec<String> =
            node.tags.iter().filter(|tag| taken.insert((*tag).clone())).cloned().collect();
        let signs = node.signature_of.as_ref();
        if let Some((subject, suffix)) = signs.and_then(|(link, of)| Some((earlier(link)?, of))) {
            let tag = format!("sha256-{}{suffix}", &digest(subject).as_str()[7..]);
            // A tag without a suffix names one index of all companions.
            tags.extend(Some(tag).filter(|tag| taken.insert(tag.clone())));
        }
        let index = matches!(node.shape, Shape::CacheIndex(_) | Shape::Index(_));
        let media_type =
            if index { OCI_INDEX } else { "application/vnd.oci.image.manifest.v1+json" };
        images.push(Image {
            tags,
            pushed_at: Some(NOW - node.age_hours * 3600),
            manifest_media_type: Some(media_type.to_owned()),
            subject: node.subject_by_ecr.as_ref().and_then(earlier).map(digest),
            ..image(number, &[])
        });
        manifests.push((digest(number), manifest(&json)));
    }
    Repository::new(uri, images, manifests.into_iter().collect())
}

/// The repositories of a registry, whose names begin alike; they may have the same images.
pub fn uris() -> [String; 3] {
    ["", "-cache", "-cache/nested"].map(|suffix| format!("{URI}{suffix}"))
}

/// A service, task or revision, and the image that it names by digest or by tag.
#[derive(Debug, Clone)]
pub struct Usage {
    repository: Index,
    image: Index,
    by_tag: bool,
    kind: UserKind,
}

pub fn usages() -> impl Strategy<Value = Vec<Usage>> {
    let one = (any::<Index>(), any::<Index>(), any::<bool>(), select(KINDS.to_vec()));
    let one =
        one.prop_map(|(repository, image, by_tag, kind)| Usage { repository, image, by_tag, kind });
    vec(one, 0..6)
}

/// What is used: as ECS says it, and plainly, as repository and digest.
pub fn used(
    repositories: &[Repository],
    usages: &[Usage],
) -> (Vec<Use>, BTreeSet<(String, Digest)>) {
    let with_images: Vec<&Repository> =
        repositories.iter().filter(|of| !of.images().is_empty()).collect();
    let (mut uses, mut plainly) = (Vec::new(), BTreeSet::new());
    for usage in usages.iter().filter(|_| !with_images.is_empty()) {
        let repository = usage.repository.get(&with_images);
        let image = usage.image.get(repository.images());
        let name = match image.tags.first() {
            Some(tag) if usage.by_tag => format!("{}:{tag}", repository.uri()),
            _ => format!("{}@{}", repository.uri(), image.digest),
        };
        let user = User { kind: usage.kind, name: "x".to_owned() };
        uses.push(Use { image: name, digest: None, user });
        plainly.insert((repository.uri().to_owned(), image.digest.clone()));
    }
    (uses, plainly)
}

/// What is used of one repository.
pub fn of_one(repository: &Repository, usages: &[Usage]) -> InUse {
    let (uses, _) = used(std::slice::from_ref(repository), usages);
    InUse::resolve(repository, &uses).unwrap()
}

/// A policy, and the branches that there are where it is about them.
#[derive(Debug, Clone)]
pub struct Rules {
    pub policy: Policy,
    pub branches: Option<BTreeSet<String>>,
}

fn of_gone_branches(branches: &BTreeSet<String>) -> Caches {
    let cache = Cache {
        main_branch: Some("main".to_owned()),
        tags: CACHES.map(str::to_owned).into(),
        ..Cache::default()
    };
    let keep = Prune {
        keep_revisions: 0,
        keep_families: Vec::new(),
        tagged: None,
        keep_untagged: Duration::ZERO,
        keep_task_definitions: None,
        caches: file::Caches::GoneBranches,
    };
    caches(&keep, &cache, Some(branches))
}

pub fn rules() -> impl Strategy<Value = Rules> {
    let hours = || (0_u64..150).prop_map(|hours| Duration::from_secs(hours * 3600));
    let glob = || select(vec!["git-*", "v*", "*", "*-x", "latest"]).prop_map(Glob::new);
    let images = prop_oneof![
        Just(Images::Keep),
        (0_usize..4, option::of(hours()), vec(glob(), 0..2)).prop_map(
            |(keep_last, keep_younger_than, keep_tags)| Images::Expire {
                keep_last,
                keep_younger_than,
                keep_tags
            }
        ),
    ];
    let some = proptest::sample::subsequence(BRANCHES.to_vec(), 0..=BRANCHES.len());
    let caches = prop_oneof![
        1 => Just((Caches::Keep, None)),
        1 => Just((Caches::DeleteTags(vec![Glob::new("*")]), None)),
        1 => vec(glob(), 0..2).prop_map(|globs| (Caches::DeleteTags(globs), None)),
        3 => some.prop_map(|names| {
            let branches = names.into_iter().map(str::to_owned).collect();
            (of_gone_branches(&branches), Some(branches))
        }),
    ];
    (images, caches, hours()).prop_map(|(images, (caches, branches), keep_untagged)| Rules {
        policy: Policy { images, caches, keep_untagged },
        branches,
    })
}
