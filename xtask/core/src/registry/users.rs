//! Who uses which image, as text.

use std::cmp::Reverse;

use super::graph::image_bytes;
use super::in_use::{InUse, User, UserKind};
use super::repository::{Image, Repository};
use super::usage::columns;
use crate::units::format_size;

/// Images that are shown at most; JSON has all of them.
const SHOWN: usize = 20;

/// Users of a kind that are named; more are counted.
const NAMED: usize = 2;

/// The images of a repository that are in use and by whom, as lines: what runs first, then what
/// was pushed last. Empty when nothing is.
#[must_use]
pub fn users_table(repository: &Repository, in_use: &InUse) -> Vec<String> {
    let mut used: Vec<(&Image, &[User])> = repository
        .images()
        .iter()
        .map(|image| (image, in_use.users(&image.digest)))
        .filter(|(_, users)| !users.is_empty())
        .collect();
    if used.is_empty() {
        return Vec::new();
    }
    used.sort_by_key(|(image, users)| {
        (users.iter().map(|user| user.kind).min(), Reverse(image.pushed_at))
    });
    let mut cells = vec![["IN USE", "SIZE", "TAGS", "BY"].map(str::to_owned).to_vec()];
    cells.extend(used.iter().take(SHOWN).map(|(image, users)| {
        let tags = if image.tags.is_empty() { "-".to_owned() } else { image.tags.join(", ") };
        let size = format_size(image_bytes(repository, image));
        vec![image.digest.short().to_owned(), size, tags, by(users)]
    }));
    let mut lines = columns(&cells, &[false, true, false, false]);
    if used.len() > SHOWN {
        lines.push(format!("and {} more: `--format json` has all of them", used.len() - SHOWN));
    }
    lines
}

/// The users in few words: `service app/web, 3 running tasks`.
fn by(users: &[User]) -> String {
    let kinds = [
        UserKind::Service,
        UserKind::Deployment,
        UserKind::RunningTask,
        UserKind::StoppedTask,
        UserKind::TaskDefinitionRevision,
    ];
    let mut words = Vec::new();
    for kind in kinds {
        let of: Vec<&User> = users.iter().filter(|user| user.kind == kind).collect();
        match of.len() {
            0 => {}
            named if named <= NAMED => words.extend(of.iter().map(ToString::to_string)),
            many => words.push(format!("{many} {kind}s")),
        }
    }
    words.join(", ")
}

/// Who would miss an image that is not in the repository any more: what runs, and what ECS may
/// start at any moment. Old revisions and tasks that stopped are not.
#[must_use]
pub fn missed(in_use: &InUse) -> Vec<String> {
    let at_risk = |kind: UserKind| {
        matches!(kind, UserKind::RunningTask | UserKind::Service | UserKind::Deployment)
    };
    let missed = in_use.missing.iter().filter(|missing| at_risk(missing.user.kind));
    missed
        .map(|missing| format!("{} uses {}, which is gone", missing.user, missing.image))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{URI, digest, image, layers, repository};
    use super::super::in_use::{MissingUse, Use};
    use super::*;

    fn user(kind: UserKind, name: &str) -> User {
        User { kind, name: name.to_owned() }
    }

    fn used(number: u64, kind: UserKind, name: &str) -> Use {
        let image = format!("{URI}@{}", digest(number));
        Use { image, digest: None, user: user(kind, name) }
    }

    #[test]
    fn what_runs_comes_first_and_many_users_are_counted() {
        let images = vec![image(1, &[]), image(2, &["git-2", "latest"]), image(3, &["old"])];
        let repository = repository(images, [(2, layers(&[(30, 62_000_000)]))]);
        let uses = [
            used(1, UserKind::TaskDefinitionRevision, "web:9"),
            used(2, UserKind::Service, "app/web"),
            used(2, UserKind::RunningTask, "app/1"),
            used(2, UserKind::RunningTask, "app/2"),
            used(2, UserKind::RunningTask, "app/3"),
        ];
        let in_use = InUse::resolve(&repository, &uses).unwrap();
        assert_eq!(
            users_table(&repository, &in_use),
            [
                "IN USE                  SIZE  TAGS           BY",
                "sha256:000000000000  62.0 MB  git-2, latest  service app/web, 3 running tasks",
                "sha256:000000000000      0 B  -              task definition web:9",
            ]
        );
        assert_eq!(users_table(&repository, &InUse::default()), Vec::<String>::new());
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let images = (1..=25).map(|n| image(n, &[])).collect();
        let repository = repository(images, []);
        let uses: Vec<Use> =
            (1..=25).map(|n| used(n, UserKind::TaskDefinitionRevision, "web:1")).collect();
        let in_use = InUse::resolve(&repository, &uses).unwrap();
        let lines = users_table(&repository, &in_use);
        assert_eq!((lines.len(), lines[21].starts_with("and 5 more")), (22, true));
    }

    #[test]
    fn only_what_ecs_may_start_misses_an_image() {
        let missing = |kind| MissingUse { image: "r/app:1".into(), user: user(kind, "x") };
        let kinds = [UserKind::Service, UserKind::StoppedTask, UserKind::TaskDefinitionRevision];
        let in_use = InUse { missing: kinds.map(missing).into(), ..InUse::default() };
        assert_eq!(missed(&in_use), ["service x uses r/app:1, which is gone"]);
    }
}
