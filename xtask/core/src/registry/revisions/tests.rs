//! What goes and what stays, case by case and for every family that there can be.

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::super::in_use::UserKind;
use super::*;

const FAMILIES: [&str; 2] = ["app", "app-2"];

fn arn(family: &str, number: u64) -> String {
    format!("arn:aws:ecs:eu-central-1:123456789012:task-definition/{family}:{number}")
}

fn user(name: &str) -> User {
    User { kind: UserKind::Service, name: name.to_owned() }
}

fn active(numbers: impl IntoIterator<Item = u64>) -> Vec<Revision> {
    numbers.into_iter().map(|n| Revision::parse(&arn("app", n)).unwrap()).collect()
}

fn names(revisions: &[Revision]) -> Vec<String> {
    revisions.iter().map(ToString::to_string).collect()
}

/// `app:1` to `app:12`; a service is on 5, which came after 3, and the stack made 2.
fn twelve() -> Revisions {
    Revisions {
        active: active([3, 1, 2, 12, 4, 5, 6, 7, 8, 9, 10, 11]),
        in_use: [(arn("app", 5), [user("c/web")].into())].into(),
        previous: [("app:3".to_owned(), ["app:5".to_owned()].into())].into(),
        of_stack: [arn("app", 2)].into(),
    }
}

#[test]
fn what_is_used_went_before_it_or_is_new_stays() {
    let plan = plan(&twelve(), 3);
    assert_eq!(names(&plan.deregister), ["app:1", "app:4", "app:6", "app:7", "app:8", "app:9"]);
    let kept: Vec<String> = plan.keep.iter().map(ToString::to_string).collect();
    assert_eq!(
        kept,
        [
            "app:12  number 1 of the newest",
            "app:11  number 2 of the newest",
            "app:10  number 3 of the newest",
            "app:5  used by service c/web",
            "app:3  a rollback of app:5 goes back to it",
            "app:2  of the CloudFormation stack",
        ]
    );
    assert_eq!(plan.to_string(), "deregister 6 of 12 revisions of app");
}

#[test]
fn the_same_number_of_another_family_region_or_account_is_another_one() {
    let mut revisions = twelve();
    let other = arn("app", 5).replace("eu-central-1", "us-east-1");
    revisions.in_use =
        [(other, [user("c/web")].into()), (arn("app-2", 6), [user("x")].into())].into();
    revisions.previous.clear();
    revisions.of_stack.clear();
    assert_eq!(plan(&revisions, 3).deregister.len(), 9);
}

#[test]
fn revisions_are_told_by_number_and_not_by_text() {
    let plan = plan(&Revisions { active: active([9, 10, 100]), ..Revisions::default() }, 2);
    assert_eq!(names(&plan.deregister), ["app:9"]);
    for text in ["", "app", "app:x", "x/app:"] {
        assert_eq!(Revision::parse(text), None, "{text}");
    }
}

#[test]
fn what_changed_meanwhile_stays_and_is_told() {
    let first = plan(&twelve(), 3);
    let mut now = twelve();
    // 1 was deregistered, a deploy went from 4 to 6, and there is a newer one.
    now.active.retain(|revision| revision.revision != 1);
    now.active.extend(active([13]));
    now.in_use.insert(arn("app", 6), [user("c/web")].into());
    now.previous.insert("app:4".into(), ["app:6".to_owned()].into());
    let (plan, changes) = recheck(&first, &now, 3);
    assert_eq!(names(&plan.deregister), ["app:7", "app:8", "app:9"], "10 was not to go");
    let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        [
            "app:1 was deregistered meanwhile",
            "app:4 stays: a rollback of app:6 goes back to it meanwhile",
            "app:6 stays: used by service c/web meanwhile",
        ]
    );
}

/// Random families with services, tasks and stacks, some of which name what is not active.
fn revisions() -> impl Strategy<Value = Revisions> {
    let one = || (select(FAMILIES.to_vec()), 1_u64..20);
    let of = |(family, number): (&str, u64)| format!("{family}:{number}");
    (
        btree_set(one(), 0..30),
        vec((one(), select(vec!["c/web", "c/worker", "d/web"])), 0..6),
        vec((one(), one()), 0..6),
        vec(one(), 0..3),
    )
        .prop_map(move |(active, used, previous, stack)| {
            let mut revisions = Revisions {
                active: active
                    .iter()
                    .map(|(family, n)| Revision::parse(&arn(family, *n)).unwrap())
                    .collect(),
                of_stack: stack.iter().map(|(family, n)| arn(family, *n)).collect(),
                ..Revisions::default()
            };
            for ((family, number), by) in used {
                revisions.in_use.entry(arn(family, number)).or_default().insert(user(by));
            }
            for (to, from) in previous {
                revisions.previous.entry(of(to)).or_default().insert(of(from));
            }
            revisions
        })
}

/// Whether a revision has to stay, from the words of the documentation.
fn must_stay(revisions: &Revisions, revision: &Revision, newest: usize) -> bool {
    let newer = revisions
        .active
        .iter()
        .filter(|other| other.family == revision.family && other.revision > revision.revision);
    revisions.in_use.contains_key(&revision.arn)
        || revisions.previous.contains_key(&format!("{}:{}", revision.family, revision.revision))
        || revisions.of_stack.contains(&revision.arn)
        || newer.count() < newest
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    /// Nothing that is used, may be gone back to or is among the newest goes, and everything else
    /// does, each once.
    #[test]
    fn exactly_what_nothing_needs_is_deregistered(revisions in revisions(), newest in 1_usize..6) {
        let plan = plan(&revisions, newest);
        let goes: BTreeSet<&Revision> = plan.deregister.iter().collect();
        prop_assert_eq!(goes.len(), plan.deregister.len());
        for revision in &revisions.active {
            let stays = must_stay(&revisions, revision, newest);
            prop_assert_eq!(!goes.contains(revision), stays, "{}", revision);
            prop_assert_eq!(plan.keep.iter().any(|kept| kept.revision == *revision), stays);
        }
        prop_assert_eq!(plan.deregister.len() + plan.keep.len(), revisions.active.len());
        prop_assert!(plan.keep.iter().all(|kept| !kept.reasons.is_empty()));
    }

    /// A second look never adds to a plan, and what it leaves nothing needs now.
    #[test]
    fn a_second_look_only_takes_away(
        before in revisions(), after in revisions(), newest in 1_usize..6,
    ) {
        let first = plan(&before, newest);
        let (again, changes) = recheck(&first, &after, newest);
        for revision in &again.deregister {
            prop_assert!(first.deregister.contains(revision));
            prop_assert!(after.active.contains(revision) && !must_stay(&after, revision, newest));
        }
        prop_assert_eq!(again.deregister.len() + changes.len(), first.deregister.len());
        for change in &changes {
            let gone = !after.active.contains(&change.revision);
            prop_assert_eq!(change.reasons.is_empty(), gone);
        }
    }
}
