//! The reasons that an image has by itself to stay: it is in use, can not be
//! read, or the policy wants it. What belongs to it follows later.

use std::collections::BTreeMap;

use super::Reason;
use crate::registry::glob::Glob;
use crate::registry::graph::{Class, Graph};
use crate::registry::in_use::InUse;
use crate::registry::policy::{Images, Policy, younger};
use crate::registry::repository::{Image, Repository};

/// The reasons that each image has by itself to stay.
pub(super) fn own_reasons(
    repository: &Repository,
    graph: &Graph<'_>,
    in_use: &InUse,
    policy: &Policy,
    now: i64,
) -> Vec<Vec<Reason>> {
    let newest = newest(repository, graph, policy);
    let each = |(at, image): (usize, &Image)| {
        let mut reasons: Vec<Reason> =
            in_use.users(&image.digest).iter().cloned().map(Reason::InUse).collect();
        if repository.hides_subject(image) {
            let why = repository.unread_reason(&image.digest).map(str::to_owned);
            reasons.push(Reason::Unread(why));
        }
        let cache = graph.class(at) == Class::Cache;
        if cache && image.is_tagged() {
            reasons.extend(policy.caches.keeps(&image.tags).then_some(Reason::Cache));
        } else if graph.has_own_tag(at) {
            reasons.extend(keeps_tagged(&policy.images, image, newest.get(&at), now));
        } else if !image.is_tagged() {
            let limit = policy.keep_untagged;
            reasons.extend(
                younger(image.pushed_at, limit, now).then_some(Reason::Young(limit.as_secs())),
            );
        } else if graph.subjects(at).is_empty() {
            // A signature, by its tag, of an image that is not there.
            reasons.extend(keeps_tagged(&policy.images, image, None, now));
        }
        reasons
    };
    repository.images().iter().enumerate().map(each).collect()
}

/// The places of the newest tagged images, from 1, as far as the policy counts.
fn newest(repository: &Repository, graph: &Graph<'_>, policy: &Policy) -> BTreeMap<usize, usize> {
    let Images::Expire { keep_last, keep_tags, .. } = &policy.images else {
        return BTreeMap::new();
    };
    let images = repository.images();
    let mut counted: Vec<usize> = (0..images.len())
        .filter(|&at| graph.class(at) == Class::Tagged)
        .filter(|&at| matching(keep_tags, &images[at]).is_none())
        .collect();
    // Without a time of push an image counts as new: it is kept when in doubt.
    counted.sort_by_key(|&at| std::cmp::Reverse(images[at].pushed_at.unwrap_or(i64::MAX)));
    counted.into_iter().take(*keep_last).enumerate().map(|(place, at)| (at, place + 1)).collect()
}

fn matching<'p>(patterns: &'p [Glob], image: &Image) -> Option<&'p Glob> {
    patterns.iter().find(|pattern| image.tags.iter().any(|tag| pattern.matches(tag)))
}

fn keeps_tagged(images: &Images, image: &Image, place: Option<&usize>, now: i64) -> Vec<Reason> {
    match images {
        Images::Keep => vec![Reason::Tagged],
        Images::Expire { keep_younger_than, keep_tags, .. } => {
            let young = keep_younger_than.filter(|limit| younger(image.pushed_at, *limit, now));
            let reasons = [
                place.map(|place| Reason::Newest(*place)),
                young.map(|limit| Reason::Young(limit.as_secs())),
                matching(keep_tags, image).map(|glob| Reason::TagPattern(glob.to_string())),
            ];
            reasons.into_iter().flatten().collect()
        }
    }
}
