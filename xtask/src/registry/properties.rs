//! Rules of deletion that hold for every repository, tried on random ones.
//! What must stay is worked out here a second time, from the same facts but
//! naively: by going round until nothing more is found.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::digest::Digest;
use super::fixture::{NOW, OCI_INDEX, OCI_LAYER, cache, digest, image, layers, list, repository};
use super::glob::Glob;
use super::graph::companion_tag;
use super::in_use::{InUse, Use, User, UserKind};
use super::plan::{PrunePlan, plan};
use super::policy::{Caches, Images, Policy};
use super::recheck::recheck;
use super::repository::{Image, Repository};

const KINDS: [UserKind; 5] = [
    UserKind::RunningTask,
    UserKind::StoppedTask,
    UserKind::Service,
    UserKind::Deployment,
    UserKind::TaskDefinitionRevision,
];

/// The fingerprint of an image's inputs, which is no name of it.
const MARK: &str = "in-0123456789012345678901234567890123456789";

/// One random image. It links only to images of smaller numbers, as digests do.
#[derive(Debug, Clone)]
struct Node {
    shape: Shape,
    tags: Vec<String>,
    age_hours: i64,
    subject: Option<prop::sample::Index>,
    signature_of: Option<prop::sample::Index>,
}

#[derive(Debug, Clone)]
enum Shape {
    Image(Vec<u64>),
    Cache(u64),
    CacheIndex(u64),
    Index(Vec<prop::sample::Index>),
}

fn node() -> impl Strategy<Value = Node> {
    let shape = prop_oneof![
        4 => vec(0_u64..12, 0..4).prop_map(Shape::Image),
        1 => (0_u64..12).prop_map(Shape::Cache),
        1 => (0_u64..12).prop_map(Shape::CacheIndex),
        3 => vec(any::<prop::sample::Index>(), 0..5).prop_map(Shape::Index),
    ];
    let tag = select(vec![
        "latest",
        "git-1",
        "git-2",
        "git-3",
        "v1",
        "v2",
        "buildcache",
        "buildcache-x",
        MARK,
    ]);
    let tags = vec(tag.prop_map(str::to_owned), 0..2);
    let link = || option::weighted(0.15, any::<prop::sample::Index>());
    (shape, tags, 0..200_i64, link(), link()).prop_map(
        |(shape, tags, age_hours, subject, signature_of)| Node {
            shape,
            tags,
            age_hours,
            subject,
            signature_of,
        },
    )
}

/// A repository of random images; a tag is on the image that got it last.
fn build(nodes: &[Node]) -> Repository {
    let mut taken = BTreeSet::new();
    let mut images = Vec::new();
    let mut manifests = Vec::new();
    for (at, node) in nodes.iter().enumerate().rev() {
        let number = 100 + at as u64;
        let earlier = |link: &prop::sample::Index| (at > 0).then(|| 100 + link.index(at) as u64);
        let mut manifest = match &node.shape {
            Shape::Image(blobs) => layers(&blobs.iter().map(|b| (*b, 1 << b)).collect::<Vec<_>>()),
            Shape::Cache(blob) => cache(*blob),
            Shape::CacheIndex(blob) => json!({"mediaType": OCI_INDEX, "manifests": [
                {"mediaType": OCI_LAYER, "digest": digest(*blob), "size": 1 << blob},
                {"mediaType": "application/vnd.buildkit.cacheconfig.v0", "digest": digest(50), "size": 1},
            ]}),
            Shape::Index(children) => {
                let mut children: Vec<u64> = children.iter().filter_map(earlier).collect();
                // One child that is not in the repository.
                children.push(7);
                list(&children)
            }
        };
        if let Some(subject) = node.subject.as_ref().and_then(earlier) {
            manifest["subject"] = json!({"digest": digest(subject), "size": 1});
        }
        let mut tags: Vec<String> =
            node.tags.iter().filter(|tag| taken.insert((*tag).clone())).cloned().collect();
        if let Some(subject) = node.signature_of.as_ref().and_then(earlier) {
            tags.push(format!("sha256-{}.sig", &digest(subject).as_str()[7..]));
        }
        let index = matches!(node.shape, Shape::CacheIndex(_) | Shape::Index(_));
        let media_type =
            if index { OCI_INDEX } else { "application/vnd.oci.image.manifest.v1+json" };
        images.push(Image {
            tags,
            pushed_at: Some(NOW - node.age_hours * 3600),
            manifest_media_type: Some(media_type.to_owned()),
            ..image(number, &[])
        });
        manifests.push((number, manifest));
    }
    repository(images, manifests)
}

/// Services, tasks and revisions, which name images by digest or by tag.
fn uses() -> impl Strategy<Value = Vec<(prop::sample::Index, bool, UserKind)>> {
    vec((any::<prop::sample::Index>(), any::<bool>(), select(KINDS.to_vec())), 0..5)
}

fn resolve(repository: &Repository, uses: &[(prop::sample::Index, bool, UserKind)]) -> InUse {
    let uses: Vec<Use> = uses
        .iter()
        .filter(|_| !repository.images().is_empty())
        .map(|(which, by_tag, kind)| {
            let image = which.get(repository.images());
            let image = match image.tags.first() {
                Some(tag) if *by_tag => format!("{}:{tag}", repository.uri()),
                _ => format!("{}@{}", repository.uri(), image.digest),
            };
            Use { image, digest: None, user: User { kind: *kind, name: "x".to_owned() } }
        })
        .collect();
    InUse::resolve(repository, &uses).unwrap()
}

fn policy() -> impl Strategy<Value = Policy> {
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
    let caches = prop_oneof![
        Just(Caches::Keep),
        Just(Caches::DeleteTags(vec![Glob::new("*")])),
        vec(glob(), 0..2).prop_map(Caches::DeleteTags)
    ];
    (images, caches, hours()).prop_map(|(images, caches, keep_untagged)| Policy {
        images,
        caches,
        keep_untagged,
    })
}

/// The subjects that an image names, there or not.
fn subjects(repository: &Repository, image: &Image) -> Vec<Digest> {
    let manifest = repository.manifest(&image.digest).unwrap();
    let by_tag = image.tags.iter().filter_map(|tag| companion_tag(tag));
    manifest.subject().cloned().into_iter().chain(by_tag).collect()
}

/// Whether the policy alone keeps an image, from the words of its documentation.
fn kept_by_policy(repository: &Repository, image: &Image, policy: &Policy) -> bool {
    let present = |digest: &Digest| repository.image(digest).is_some();
    let age = Duration::from_secs((NOW - image.pushed_at.unwrap()).unsigned_abs());
    let cache = repository.manifest(&image.digest).unwrap().is_cache();
    let companion = !subjects(repository, image).is_empty();
    let tags: Vec<&String> = image.tags.iter().filter(|tag| *tag != MARK).collect();
    let named = tags.iter().any(|tag| companion_tag(tag).is_none());
    if cache && !tags.is_empty() {
        return match &policy.caches {
            Caches::Keep => true,
            Caches::DeleteTags(globs) => {
                image.tags.iter().any(|tag| !globs.iter().any(|glob| glob.matches(tag)))
            }
        };
    }
    if tags.is_empty() {
        return age < policy.keep_untagged;
    }
    if !named && subjects(repository, image).iter().any(present) {
        return false;
    }
    match &policy.images {
        Images::Keep => true,
        Images::Expire { keep_last, keep_younger_than, keep_tags } => {
            let matches = |other: &Image| {
                other.tags.iter().any(|tag| keep_tags.iter().any(|glob| glob.matches(tag)))
            };
            let counts = |other: &Image| {
                other.tags.iter().any(|tag| tag != MARK)
                    && !matches(other)
                    && subjects(repository, other).is_empty()
                    && !repository.manifest(&other.digest).unwrap().is_cache()
            };
            let newer = repository.images().iter().filter(|other| {
                counts(other)
                    && (other.pushed_at > image.pushed_at
                        || (other.pushed_at == image.pushed_at && other.digest < image.digest))
            });
            matches(image)
                || keep_younger_than.is_some_and(|limit| age < limit)
                || (named && !companion && newer.count() < *keep_last)
        }
    }
}

/// Everything that must stay.
fn must_stay(repository: &Repository, in_use: &InUse, policy: &Policy) -> BTreeSet<Digest> {
    let mut stays: BTreeSet<Digest> = repository
        .images()
        .iter()
        .filter(|image| {
            in_use.by.contains_key(&image.digest) || kept_by_policy(repository, image, policy)
        })
        .map(|image| image.digest.clone())
        .collect();
    loop {
        let before = stays.len();
        for image in repository.images() {
            let manifest = repository.manifest(&image.digest).unwrap();
            let subjects = subjects(repository, image);
            if subjects.iter().any(|subject| stays.contains(subject)) {
                stays.insert(image.digest.clone());
            }
            if stays.contains(&image.digest) {
                let children = manifest.children().iter().map(|child| child.digest.clone());
                stays.extend(
                    children.chain(subjects).filter(|digest| repository.image(digest).is_some()),
                );
            }
        }
        if stays.len() == before {
            return stays;
        }
    }
}

fn deleted(plan: &PrunePlan) -> BTreeSet<Digest> {
    plan.delete.iter().map(|deletion| deletion.digest.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    /// Nothing reachable from what is in use or kept goes, and everything else does.
    #[test]
    fn exactly_what_nothing_needs_goes(
        nodes in vec(node(), 0..14), uses in uses(), policy in policy(),
    ) {
        let repository = build(&nodes);
        let in_use = resolve(&repository, &uses);
        let plan = plan(&repository, &in_use, &policy, NOW).unwrap();
        let stays = must_stay(&repository, &in_use, &policy);
        let all: BTreeSet<Digest> =
            repository.images().iter().map(|image| image.digest.clone()).collect();
        prop_assert_eq!(deleted(&plan), &all - &stays);
        let kept: BTreeSet<Digest> = plan.keep.iter().map(|kept| kept.digest.clone()).collect();
        prop_assert_eq!(kept, stays);
        prop_assert!(plan.keep.iter().all(|kept| !kept.reasons.is_empty()));
    }

    /// Parents go before children and companions before subjects, each image
    /// once, in batches that one call takes.
    #[test]
    fn the_order_of_deletion_is_one_that_ecr_accepts(
        nodes in vec(node(), 0..14), policy in policy(),
    ) {
        let repository = build(&nodes);
        let plan = plan(&repository, &InUse::default(), &policy, NOW).unwrap();
        let mut gone = BTreeSet::new();
        for wave in plan.waves() {
            let before = gone.clone();
            for deletion in wave.iter().copied().flatten() {
                for other in repository.images() {
                    let lists = repository.manifest(&other.digest).unwrap().children().iter()
                        .any(|child| child.digest == deletion.digest);
                    let describes = subjects(&repository, other).contains(&deletion.digest);
                    if (lists || describes) && other.digest != deletion.digest {
                        prop_assert!(before.contains(&other.digest));
                    }
                }
                prop_assert!(gone.insert(deletion.digest.clone()));
            }
            prop_assert!(wave.iter().all(|batch| (1..=100).contains(&batch.len())));
        }
        prop_assert_eq!(gone, deleted(&plan));
    }

    /// The same facts in any order give the same plan.
    #[test]
    fn a_plan_is_deterministic(
        nodes in vec(node(), 0..14), uses in uses(), policy in policy(), seed in any::<u64>(),
    ) {
        let repository = build(&nodes);
        let mut shuffled = repository.images().to_vec();
        shuffled.sort_by_key(|image| image.digest.as_str().bytes().fold(seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }));
        let manifests = repository.images().iter().map(|image| {
            (image.digest.clone(), repository.manifest(&image.digest).unwrap().clone())
        });
        let again = Repository::new(repository.uri(), shuffled, manifests.collect());
        let one = plan(&repository, &resolve(&repository, &uses), &policy, NOW).unwrap();
        let other = plan(&again, &resolve(&again, &uses), &policy, NOW).unwrap();
        prop_assert_eq!(one, other);
    }

    /// A second look never adds to a plan, and what it leaves nothing needs:
    /// not even what changed, appeared or came into use in between.
    #[test]
    fn a_second_look_only_takes_away(
        nodes in vec(node(), 0..14),
        changes in vec(option::weighted(0.2, node()), 14),
        added in vec(node(), 0..3),
        before in uses(), after in uses(), policy in policy(),
    ) {
        let first = build(&nodes);
        let plan = plan(&first, &resolve(&first, &before), &policy, NOW).unwrap();
        // Tags, times of push and what is new change; manifests can not.
        let mut later: Vec<Node> = nodes.iter().zip(&changes).map(|(node, change)| match change {
            Some(change) => Node { tags: change.tags.clone(), age_hours: change.age_hours, ..node.clone() },
            None => node.clone(),
        }).collect();
        later.extend(added);
        let second = build(&later);
        let in_use = resolve(&second, &after);
        let again = recheck(&plan, &second, &in_use).unwrap();
        let left = deleted(&again.plan);
        prop_assert!(left.is_subset(&deleted(&plan)));
        for image in second.images().iter().filter(|image| !left.contains(&image.digest)) {
            let children = second.manifest(&image.digest).unwrap().children();
            for needed in children.iter().map(|child| &child.digest).chain(&subjects(&second, image)) {
                prop_assert!(!left.contains(needed));
            }
        }
        for digest in &left {
            prop_assert!(in_use.users(digest).is_empty());
            let (was, is) = (first.image(digest).unwrap(), second.image(digest).unwrap());
            prop_assert_eq!((&was.tags, was.pushed_at), (&is.tags, is.pushed_at));
            prop_assert!(subjects(&second, is).iter().all(|s| left.contains(s) || second.image(s).is_none()));
        }
        let reported: BTreeSet<Digest> = again.changes.iter().map(|(d, _)| d.clone()).collect();
        prop_assert_eq!(&deleted(&plan) - &left, reported);
    }
}
