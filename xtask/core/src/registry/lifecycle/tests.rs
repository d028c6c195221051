//! Rules on small repositories, the examples of AWS's documentation among them.

use serde_json::{Value, json};

use super::*;
use crate::registry::fixture::{NOW, companion, digest, image, index, list, repository};
use crate::registry::in_use::UserKind;

/// Numbers of images with their tags; a number is an age in days, too.
type Images<'a> = &'a [(u64, &'a [&'a str])];
/// Numbers of images that go, with the priority of the rule.
type Expired<'a> = &'a [(u64, u32)];

fn rule(priority: u32, selection: &Value) -> Value {
    json!({"rulePriority": priority, "selection": selection, "action": {"type": "expire"}})
}

fn prefix(priority: u32, prefixes: &[&str], count: u32) -> Value {
    rule(
        priority,
        &json!({"tagStatus": "tagged", "tagPrefixList": prefixes,
        "countType": "imageCountMoreThan", "countNumber": count}),
    )
}

fn pattern(priority: u32, patterns: &[&str], count: u32) -> Value {
    rule(
        priority,
        &json!({"tagStatus": "tagged", "tagPatternList": patterns,
        "countType": "imageCountMoreThan", "countNumber": count}),
    )
}

fn count(priority: u32, status: &str, count: u32) -> Value {
    rule(
        priority,
        &json!({"tagStatus": status, "countType": "imageCountMoreThan", "countNumber": count}),
    )
}

fn pushed(priority: u32, status: &str, days: u32) -> Value {
    rule(
        priority,
        &json!({"tagStatus": status, "countType": "sinceImagePushed",
        "countUnit": "days", "countNumber": days}),
    )
}

fn policy(rules: &[Value]) -> LifecyclePolicy {
    LifecyclePolicy::parse(&json!({ "rules": rules }).to_string()).unwrap()
}

fn expired(rules: &[Value], images: Images<'_>) -> Vec<(u64, u32)> {
    let images = images.iter().map(|(number, tags)| image(*number, tags)).collect();
    numbers(policy(rules).simulate(&repository(images, []), &InUse::default(), NOW))
}

fn numbers(expiries: Vec<Expiry>) -> Vec<(u64, u32)> {
    let number = |d: &Digest| u64::from_str_radix(&d.as_str()[55..], 16).unwrap();
    expiries.iter().map(|expiry| (number(&expiry.digest), expiry.rule)).collect()
}

/// The examples of AWS's documentation; an image's number is its age in days.
#[test]
fn the_documented_examples_come_out_as_documented() {
    const ABC: Images<'_> =
        &[(10, &["beta-1", "prod-1"]), (9, &["beta-2", "prod-2"]), (8, &["beta-3"])];
    const ONE_TAG: Images<'_> =
        &[(12, &["beta-1"]), (11, &["beta-2"]), (10, &["beta-3"]), (9, &["prod-1"])];
    const ALPHA: Images<'_> = &[
        (12, &["alpha-1"]),
        (11, &["beta-1"]),
        (10, &["alpha-2", "beta-2"]),
        (9, &["alpha-3", "beta-3"]),
    ];
    const MIXED: Images<'_> = &[(4, &["alpha-1"]), (3, &["beta-1"]), (2, &[]), (1, &["gamma"])];
    let cases: [(&[Value], Images<'_>, Expired<'_>); 8] = [
        // B is seen by rule 1, which keeps it.
        (&[prefix(1, &["prod"], 1), prefix(2, &["beta"], 1)], ABC, &[(10, 1)]),
        (&[prefix(1, &["beta"], 1), prefix(2, &["prod"], 1)], ABC, &[(9, 1), (10, 1)]),
        (&[prefix(1, &["beta"], 1)], ONE_TAG, &[(11, 1), (12, 1)]),
        // Several prefixes: only images that have all of them.
        (&[prefix(1, &["alpha", "beta"], 1)], ALPHA, &[(10, 1)]),
        (&[pattern(1, &["alpha-*", "*-3"], 1), count(2, "any", 2)], ALPHA, &[(11, 2), (12, 2)]),
        (
            &[prefix(1, &["alpha"], 5), prefix(2, &["beta"], 5), count(3, "any", 1)],
            MIXED,
            &[(2, 3)],
        ),
        (&[count(7, "untagged", 1)], MIXED, &[]),
        (&[count(1, "any", 1)], MIXED, &[(2, 1), (3, 1), (4, 1)]),
    ];
    for (rules, images, expected) in cases {
        assert_eq!(expired(rules, images), expected, "{rules:?}");
    }
}

#[test]
fn age_is_counted_from_the_push_and_a_pattern_matches_whole_tags() {
    let images: Images<'_> = &[(13, &["prod"]), (14, &[]), (15, &["prod-1"]), (16, &[])];
    assert_eq!(expired(&[pushed(1, "untagged", 14)], images), [(16, 1)]);
    assert_eq!(expired(&[pushed(1, "any", 13)], images), [(14, 1), (15, 1), (16, 1)]);
    let exact = rule(
        1,
        &json!({"tagStatus": "tagged", "tagPatternList": ["prod"],
        "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1}),
    );
    assert_eq!(expired(&[exact], images), [(13, 1)]);
}

#[test]
fn pulls_and_the_archive_have_their_own_clocks() {
    let day = |days: i64| Some(NOW - days * DAY);
    let images = vec![
        Image { last_pulled_at: day(2), ..image(30, &["a"]) },
        image(31, &["b"]),
        Image { activated_at: day(3), last_pulled_at: day(90), ..image(32, &["back"]) },
        Image { archived_at: day(100), ..image(200, &["c"]) },
        Image { archived_at: day(10), ..image(201, &["d"]) },
    ];
    let repository = repository(images, []);
    let since = |kind: &str, class: &str, action: &str, days: u32| {
        let mut rule = rule(
            1,
            &json!({"tagStatus": "any", "storageClass": class,
            "countType": kind, "countUnit": "days", "countNumber": days}),
        );
        rule["action"]["type"] = json!(action);
        policy(&[rule]).simulate(&repository, &InUse::default(), NOW)
    };
    let archived = since("sinceImagePulled", "standard", "transition", 20);
    assert_eq!(archived[0].action, ActionKind::Transition);
    assert_eq!(numbers(archived), [(31, 1)]);
    assert_eq!(numbers(since("sinceImageTransitioned", "archive", "expire", 90)), [(200, 1)]);
}

#[test]
fn a_list_that_stays_protects_its_children_and_one_that_goes_does_not() {
    let images = |tags: &[&str]| vec![index(9, tags), image(8, &[]), image(7, &[])];
    let rules = [pushed(1, "untagged", 1)];
    let simulate = |tags: &[&str]| {
        let repository = repository(images(tags), [(9, list(&[8]))]);
        numbers(policy(&rules).simulate(&repository, &InUse::default(), NOW))
    };
    assert_eq!(simulate(&["latest"]), [(7, 1)]);
    assert_eq!(simulate(&[]), [(7, 1), (8, 1), (9, 1)]);
}

#[test]
fn what_is_in_use_and_would_go_is_found_with_its_users() {
    // 9 is a list in use that lost its tag; 8 its child; 7 its signature.
    let images = vec![index(9, &[]), image(8, &[]), image(7, &["sbom"]), image(6, &[])];
    let repository = repository(images, [(9, list(&[8])), (7, companion(9))]);
    let user = User { kind: UserKind::Service, name: "main/web".to_owned() };
    let in_use = InUse { by: [(digest(9), vec![user])].into(), missing: Vec::new() };
    let policy = policy(&[pushed(5, "untagged", 1)]);
    let all = policy.simulate(&repository, &in_use, NOW);
    assert_eq!(numbers(all), [(6, 5), (7, 5), (8, 5), (9, 5)]);
    let taken = policy.takes_in_use(&repository, &in_use, NOW);
    assert_eq!(
        taken.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "rule 5 would delete sha256:000000000000, part of an index that is in use".to_owned(),
            "rule 5 would delete sha256:000000000000, used by service main/web".to_owned(),
        ]
    );
    assert_eq!(numbers(taken), [(8, 5), (9, 5)]);
}

#[test]
fn policies_that_ecr_would_refuse_are_refused() {
    let age_without_unit =
        rule(3, &json!({"tagStatus": "any", "countType": "sinceImagePushed", "countNumber": 1}));
    let both = rule(
        4,
        &json!({"tagStatus": "tagged", "tagPrefixList": ["a"], "tagPatternList": ["b"],
        "countType": "imageCountMoreThan", "countNumber": 1}),
    );
    for (rules, says) in [
        (vec![count(1, "any", 1), prefix(2, &["a"], 1)], "rule 1 has tagStatus any"),
        (vec![count(1, "any", 1), prefix(1, &["a"], 1)], "two rules have the priority 1"),
        (vec![prefix(2, &[], 1)], "rule 2 has tagStatus tagged"),
        (vec![age_without_unit], "rule 3 counts time"),
        (vec![both], "rule 4 has tagStatus tagged"),
        (vec![count(1, "untagged", 0)], "at least 1"),
        (vec![count(1, "sometimes", 1)], "unknown variant `sometimes`"),
    ] {
        let text = json!({ "rules": rules }).to_string();
        let error = LifecyclePolicy::parse(&text).expect_err(says).to_string();
        assert!(error.starts_with("lifecycle policy: ") && error.contains(says), "{error}");
    }
    assert!(LifecyclePolicy::parse("{}").is_err());
}
