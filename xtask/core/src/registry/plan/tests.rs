//! What a prune keeps and deletes, case by case. [`super::super::properties`]
//! tries random repositories.

use std::time::Duration;

use super::super::fixture::{
    NOW, URI, cache, companion, digest, image, index, layers, list, real, repository,
};
use super::super::glob::Glob;
use super::super::in_use::{Use, UserKind};
use super::*;
use crate::registry::policy::{BranchTags, Images};
use std::collections::BTreeMap;

fn prune(repository: &Repository, uses: &[&str], policy: &Policy) -> PrunePlan {
    let uses: Vec<Use> = uses
        .iter()
        .map(|image| Use {
            image: format!("{}{image}", repository.uri()),
            digest: None,
            user: User { kind: UserKind::Service, name: "web".to_owned() },
        })
        .collect();
    let in_use = InUse::resolve(repository, &uses).unwrap();
    plan(repository, &in_use, policy, NOW).unwrap()
}

fn at_once() -> Policy {
    Policy::caches_and_untagged(Duration::ZERO)
}

fn expire(keep_last: usize, days: u64, keep_tags: &[&str]) -> Policy {
    Policy {
        images: Images::Expire {
            keep_last,
            keep_younger_than: Some(Duration::from_secs(days * 86_400)),
            keep_tags: keep_tags.iter().map(|tag| Glob::new(*tag)).collect(),
        },
        ..at_once()
    }
}

fn numbers<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> Vec<u64> {
    let number = |d: &Digest| u64::from_str_radix(&d.as_str()[55..], 16).unwrap();
    digests.into_iter().map(number).collect()
}

fn deleted(plan: &PrunePlan) -> Vec<u64> {
    numbers(plan.delete.iter().map(|deletion| &deletion.digest))
}

#[test]
fn a_real_repository_loses_its_caches_and_what_lost_its_tag() {
    let repository = real();
    let plan = prune(&repository, &[], &at_once());
    let gone: Vec<(Class, &Why, usize)> =
        plan.delete.iter().map(|d| (d.class, &d.why, d.wave)).collect();
    let stale = plan.delete.iter().find(|d| d.class == Class::Untagged).unwrap();
    let child_of_stale = Why::ChildOf(stale.digest.clone());
    // The old index goes with its attestation, its image stays: the same
    // build again made a new index that lists it, too.
    let mut expected = vec![
        (Class::Cache, &Why::Untagged, 0),
        (Class::Cache, &Why::Untagged, 0),
        (Class::Untagged, &Why::Untagged, 0),
        (Class::Cache, &Why::CacheTag, 0),
        (Class::Cache, &Why::CacheTag, 0),
        (Class::Attestation, &child_of_stale, 1),
    ];
    let mut sorted = gone;
    sorted.sort_by_key(|(class, why, wave)| (*wave, *class, why.to_string()));
    expected.sort_by_key(|(class, why, wave)| (*wave, *class, why.to_string()));
    assert_eq!(sorted, expected);
    assert_eq!(plan.delete.len() + plan.keep.len(), 21);
    // Layers are shared with the images: what is freed is little more
    // than the caches' configurations and zstd copies of layers.
    let all: u64 = plan.delete.iter().map(|d| d.bytes).sum();
    assert!(plan.freed_bytes < all / 10, "{} of {all}", plan.freed_bytes);
    assert!(plan.freed_bytes > 0);
}

#[test]
fn companions_follow_their_subject_and_the_digest_in_use_keeps_all() {
    let repository = real();
    let everything = expire(0, 0, &[]);
    let all = prune(&repository, &[], &everything);
    assert_eq!(all.keep, [], "nothing in use, nothing kept");
    let first = repository.tagged("git-0001").unwrap().digest.clone();
    let kept = prune(&repository, &[&format!("@{first}")], &everything);
    let classes: Vec<Class> = kept.keep.iter().map(|k| k.class).collect();
    assert_eq!(classes.iter().filter(|c| **c == Class::Referrer).count(), 2);
    assert_eq!(kept.keep.len(), 3);
    let signature = all.delete.iter().find(|d| d.tags.iter().any(|t| t.ends_with(".sig")));
    assert_eq!(signature.unwrap().why, Why::ReferrerOf(first.clone()));
    assert_eq!(signature.unwrap().wave, 0, "before what it describes");
    assert_eq!(all.delete.iter().find(|d| d.digest == first).unwrap().wave, 1);
}

#[test]
fn policies_keep_by_number_age_and_pattern() {
    let tags = |n: u64| match n {
        4 => vec!["v1.0".to_owned()],
        n => vec![format!("git-{n}")],
    };
    let images: Vec<_> = (1..=6).map(|n| Image { tags: tags(n), ..image(n, &[]) }).collect();
    let repository = repository(images, []);
    let cases: [(Policy, Vec<u64>); 6] = [
        (at_once(), vec![]),
        (expire(0, 0, &[]), vec![6, 5, 4, 3, 2, 1]),
        (expire(2, 0, &[]), vec![6, 5, 4, 3]),
        (expire(2, 0, &["v*"]), vec![6, 5, 3]),
        // Pushed 1, 2, … days ago: three days old is not younger than three.
        (expire(1, 3, &[]), vec![6, 5, 4, 3]),
        (expire(9, 0, &[]), vec![]),
    ];
    for (policy, expected) in cases {
        assert_eq!(deleted(&prune(&repository, &[], &policy)), expected, "{policy:?}");
    }
    let plan = prune(&repository, &[":git-6"], &expire(1, 0, &["v*", "*1.0"]));
    let reasons: Vec<String> =
        plan.keep.iter().flat_map(|kept| kept.reasons.iter().map(ToString::to_string)).collect();
    assert_eq!(reasons, ["number 1 of the newest", "a tag matches v*", "used by service web"]);
}

#[test]
fn caches_go_by_tag_and_never_what_is_in_use() {
    let images = vec![
        image(1, &["buildcache"]),
        image(2, &["buildcache-old", "buildcache-older"]),
        image(3, &["buildcache-old2", "also"]),
        image(4, &[]),
        image(9, &["latest"]),
    ];
    let caches = [(1, cache(20)), (2, cache(30)), (3, cache(40)), (4, cache(50))];
    let repository = repository(images, caches);
    let with = |caches| Policy { caches, ..at_once() };
    let old = Caches::DeleteTags(vec![Glob::new("buildcache-*")]);
    assert_eq!(deleted(&prune(&repository, &[], &with(Caches::Keep))), [4]);
    assert_eq!(deleted(&prune(&repository, &[], &with(old))), [4, 2]);
    assert_eq!(deleted(&prune(&repository, &[], &at_once())), [4, 3, 2, 1]);
    assert_eq!(deleted(&prune(&repository, &[":buildcache"], &at_once())), [4, 3, 2]);
}

#[test]
fn caches_of_branches_go_when_the_branch_is_gone() {
    let images = vec![
        image(1, &["buildcache"]),
        image(2, &["buildcache-here"]),
        image(3, &["buildcache-gone"]),
        image(4, &["buildcache-gone2", "buildcache-here2"]),
        image(5, &["buildcache-pr-gone"]),
        image(6, &["buildcache-gone3", "other"]),
        // An image, not a cache; and a cache that has only the tag in common.
        image(7, &["buildcache-gone4"]),
        image(8, &["buildcachex"]),
    ];
    let caches = [1, 2, 3, 4, 5, 6, 8].map(|n| (n, cache(20 + 2 * n)));
    let repository = repository(images, caches);
    let branches = BranchTags {
        prefix: "buildcache-".into(),
        stay: ["buildcache", "buildcache-here", "buildcache-here2"].map(str::to_owned).into(),
        unknown: vec!["buildcache-pr-".into()],
    };
    let policy = Policy { caches: Caches::GoneBranches(branches), ..at_once() };
    let plan = prune(&repository, &[], &policy);
    assert_eq!(deleted(&plan), [3]);
    assert_eq!(plan.delete[0].why, Why::BranchGone);
    assert_eq!(deleted(&prune(&repository, &[":buildcache-gone"], &policy)), Vec::<u64>::new());
}

#[test]
fn untagged_images_are_left_alone_for_a_while() {
    let repository = repository(vec![image(1, &[]), image(3, &[])], []);
    let policy = Policy::caches_and_untagged(Duration::from_secs(2 * 86_400));
    assert_eq!(deleted(&prune(&repository, &[], &policy)), [3]);
    let unknown = Image { pushed_at: None, ..image(3, &[]) };
    let repository = super::super::fixture::repository(vec![unknown], []);
    assert_eq!(
        deleted(&prune(&repository, &[], &policy)),
        Vec::<u64>::new(),
        "when in doubt, kept"
    );
}

#[test]
fn nested_indexes_go_from_the_top_and_shared_children_stay() {
    // 9 -> 8 -> {7, 6}, 5 -> {6}; 5 is tagged.
    let images =
        vec![index(9, &[]), index(8, &[]), image(7, &[]), image(6, &[]), index(5, &["latest"])];
    let manifests = [
        (9, list(&[8])),
        (8, list(&[7, 6])),
        (5, list(&[6])),
        (7, layers(&[(70, 7), (71, 100)])),
        (6, layers(&[(71, 100)])),
    ];
    let repository = repository(images, manifests);
    let plan = prune(&repository, &[], &at_once());
    let waves: Vec<Vec<u64>> = plan
        .waves()
        .iter()
        .map(|wave| numbers(wave.iter().copied().flatten().map(|d| &d.digest)))
        .collect();
    assert_eq!(waves, [vec![9], vec![8], vec![7]]);
    assert_eq!(plan.freed_bytes, 7, "the layer that 6 shares stays");
    assert_eq!(
        plan.keep.iter().find(|kept| kept.digest == digest(6)).unwrap().reasons,
        [Reason::ChildOf(digest(5))]
    );
}

#[test]
fn batches_hold_at_most_a_hundred() {
    let repository = repository((1..=250).map(|n| image(n, &[])).collect(), []);
    let plan = prune(&repository, &[], &at_once());
    let sizes: Vec<usize> = plan.waves()[0].iter().map(|batch| batch.len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
    assert_eq!(plan.waves().len(), 1);
}

#[test]
fn an_index_that_can_not_be_read_stops_everything() {
    let images = || vec![index(1, &["latest", "git-1"]), image(2, &[])];
    let unread = [(digest(1), "throttled".to_owned())];
    let repository = repository(images(), []).with_unread(unread.into_iter().collect());
    let error = plan(&repository, &InUse::default(), &at_once(), NOW).unwrap_err().to_string();
    assert!(error.contains(digest(1).as_str()), "{error}");
    assert!(error.contains("(git-1, latest): throttled"), "{error}");
    assert!(error.starts_with(&format!("nothing was deleted from {URI}")), "{error}");
    // A media type that nobody knows may hide children as well.
    let mut strange = images();
    strange[0].manifest_media_type = Some("application/vnd.new".to_owned());
    let repository = super::super::fixture::repository(strange, []);
    assert!(plan(&repository, &InUse::default(), &at_once(), NOW).is_err());
}

#[test]
fn an_image_that_can_not_be_read_stays_if_it_could_be_a_companion() {
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let images = vec![
        image(1, &[]),
        Image { manifest_media_type: Some(docker.to_owned()), ..image(2, &[]) },
    ];
    let repository = Repository::new(URI, images, BTreeMap::new());
    let plan = prune(&repository, &[], &at_once());
    assert_eq!(deleted(&plan), [2]);
    assert_eq!(plan.freed_bytes, 1000);
    assert_eq!(plan.keep[0].reasons, [Reason::Unread(None)]);
}

#[test]
fn a_companion_with_a_name_of_its_own_keeps_its_subject() {
    let images = vec![image(1, &["sbom-v1"]), image(2, &[]), image(3, &[]), image(4, &[])];
    let repository = repository(images, [(1, companion(2)), (3, companion(4))]);
    assert_eq!(deleted(&prune(&repository, &[], &at_once())), [3, 4]);
    // Without its name it goes with the rest.
    assert_eq!(deleted(&prune(&repository, &[], &expire(0, 0, &[]))), [3, 1, 4, 2]);
}

#[test]
fn a_signature_of_nothing_goes_only_when_tagged_images_do() {
    let tag = format!("sha256-{}.sig", &digest(77).as_str()[7..]);
    let repository = repository(vec![image(1, &[&tag])], []);
    assert_eq!(deleted(&prune(&repository, &[], &at_once())), Vec::<u64>::new());
    let plan = prune(&repository, &[], &expire(5, 0, &[]));
    assert_eq!(plan.delete[0].why, Why::SubjectGone);
}

#[test]
fn what_ecr_says_of_a_subject_counts() {
    let signature = Image { subject: Some(digest(2)), ..image(3, &[]) };
    let images = vec![image(2, &["latest"]), signature];
    let repository = repository(images, []);
    let plan = prune(&repository, &[], &at_once());
    assert_eq!(plan.keep[1].reasons, [Reason::ReferrerOf(digest(2))]);
}

#[test]
fn twenty_thousand_images_are_planned_at_once() {
    // Every fourth is an index of the three after it; all have five layers,
    // most of them shared.
    const IMAGES: u64 = 20_000;
    let images = (0..IMAGES).map(|n| {
        let tag = format!("git-{n}");
        let at = Some(NOW - i64::try_from(n).unwrap() * 60);
        if n % 4 == 0 {
            Image { pushed_at: at, ..index(n, &[&tag]) }
        } else {
            Image { pushed_at: at, ..image(n, &[]) }
        }
    });
    let manifests = (0..IMAGES).map(|n| {
        let json = match n % 4 {
            0 => list(&[n + 1, n + 2, n + 3]),
            _ => layers(&[
                (1 << 40, 9),
                (1 << 41, 9),
                (1 << 42, 9),
                ((1 << 43) + n, 7),
                ((1 << 44) + n, 1),
            ]),
        };
        (n, json)
    });
    let repository = repository(images.collect(), manifests);
    let revisions: Vec<String> = (0..500).map(|n| format!(":git-{}", n * 40)).collect();
    let revisions: Vec<&str> = revisions.iter().map(String::as_str).collect();
    let plan = prune(&repository, &revisions, &expire(100, 0, &[]));
    // 500 in use, 100 newest of which 10 are in use; with three children each.
    assert_eq!(plan.keep.len(), (500 + 100 - 10) * 4);
    let batches: Vec<usize> = plan.waves().iter().map(Vec::len).collect();
    assert_eq!(batches, [45, 133], "4,410 indexes, then 13,230 children");
    assert_eq!(plan.freed_bytes, 13_230 * 8);
}
