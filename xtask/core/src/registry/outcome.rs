//! What a deletion came to, when not all of it was done.

use std::collections::BTreeSet;

use super::digest::Digest;
use super::graph::Graph;
use super::plan;
use super::repository::Repository;

/// What must stay because these could not be deleted: they themselves, the children of an
/// index that is still there, and what else belongs to them. ECR refuses some of it by
/// itself, but not all.
#[must_use]
pub fn needed_by(repository: &Repository, failed: &BTreeSet<Digest>) -> BTreeSet<Digest> {
    if failed.is_empty() {
        return BTreeSet::new();
    }
    let graph = Graph::new(repository);
    let start = failed.iter().filter_map(|digest| repository.position(digest));
    let kept = graph.closure(start, |_, _, _| {});
    let images = repository.images().iter().zip(kept);
    images.filter(|(_, kept)| *kept).map(|(image, _)| image.digest.clone()).collect()
}

/// Bytes that are free when these are deleted: of blobs that nothing else has.
#[must_use]
pub fn freed(repository: &Repository, deleted: &BTreeSet<Digest>) -> u64 {
    let kept: Vec<bool> =
        repository.images().iter().map(|image| !deleted.contains(&image.digest)).collect();
    plan::freed_bytes(repository, &kept)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{digest, image, index, layers, list, repository};
    use super::*;

    fn of<const N: usize>(numbers: [u64; N]) -> BTreeSet<Digest> {
        numbers.map(digest).into()
    }

    #[test]
    fn children_of_an_index_that_is_still_there_stay() {
        let images = vec![index(9, &[]), image(1, &[]), image(2, &[]), image(3, &[])];
        let repository = repository(images, [(9, list(&[1, 2]))]);
        assert_eq!(needed_by(&repository, &of([9])), of([1, 2, 9]));
        assert_eq!(needed_by(&repository, &of([3])), of([3]));
        assert_eq!(needed_by(&repository, &of([])), of([]));
    }

    #[test]
    fn only_what_was_deleted_is_free() {
        let images = vec![image(1, &[]), image(2, &[])];
        let manifests = [(1, layers(&[(30, 1000), (31, 5)])), (2, layers(&[(30, 1000), (32, 7)]))];
        let repository = repository(images, manifests);
        let one = freed(&repository, &of([1]));
        assert!((5..1000).contains(&one), "{one}");
        assert!(freed(&repository, &of([1, 2])) > 1000);
        assert_eq!(freed(&repository, &of([])), 0);
    }
}
