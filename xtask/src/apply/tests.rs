//! Whole deployments: what is changed, in which order, and what is put back.

mod deploy;
mod lost;

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::*;
use deploy::Deploy;
use xtask_core::exit::exit_of;

const NEW: &str = "r.example/app@sha256:2";
const BAD: &str = "r.example/app@sha256:bad";
const WORSE: &str = "r.example/app@sha256:worse";
const OLD: &str = "r.example/app@sha256:1";

/// The operations that change something.
fn changes(deploy: &Deploy) -> Vec<String> {
    let all = deploy.stand_in.operations().into_iter();
    all.filter(|name| ["Put", "Delete", "Update"].iter().any(|verb| name.starts_with(verb)))
        .collect()
}

#[test]
fn a_token_is_user_and_password() {
    let decoded = decode_token("QVdTOnBhc3M6d29yZA==").unwrap();
    assert_eq!(decoded, ("AWS".to_owned(), "pass:word".to_owned()));
    assert!(decode_token("!").is_none() && decode_token("QVdT").is_none());
}

#[tokio::test]
async fn a_deploy_holds_its_locks_around_everything_that_it_changes() {
    let mut deploy = Deploy::new();
    deploy.run(&[("web", NEW), ("api", NEW)], true).await.unwrap();
    assert_eq!((deploy.cloud.runs("api"), deploy.cloud.runs("web")), (NEW.into(), NEW.into()));
    assert_eq!(
        changes(&deploy),
        [
            "PutParameter",
            "PutParameter",
            "UpdateService",
            "UpdateService",
            "DeleteParameter",
            "DeleteParameter"
        ]
    );
    let locks = deploy.stand_in.calls("PutParameter");
    let names: Vec<_> = locks.iter().map(|put| put["Name"].as_str().unwrap()).collect();
    assert_eq!(names, ["/xtask/lock/app/api", "/xtask/lock/app/web"], "in one order for everybody");
    assert_eq!(deploy.cloud.parameters.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_deploy_that_changes_nothing_takes_no_lock_and_waits_for_nobody() {
    let mut deploy = Deploy::new();
    deploy.cloud.parameters.set("/xtask/lock/app/api", "somebody else's");
    deploy.run(&[("api", OLD), ("web", OLD)], true).await.unwrap();
    assert!(deploy.done.unchanged());
    assert_eq!(changes(&deploy), Vec::<String>::new());
    let said = deploy.ui.heard().join("\n");
    assert!(said.contains("unchanged, app:1 runs it already"), "{said}");
    assert!(!said.contains("deploy lock"), "{said}");
}

#[tokio::test]
async fn what_failed_and_what_went_with_it_go_back_under_the_same_lock() {
    let mut deploy = Deploy::new();
    let error = deploy.run(&[("api", BAD), ("web", NEW)], true).await.unwrap_err();
    assert_eq!(exit_of(&error), Exit::RolledBack, "{error:#}");
    let text = format!("{error:#}");
    assert!(
        text.contains("said so") && text.ends_with("api is back on app:1, web is back on app:1")
    );
    assert_eq!((deploy.cloud.runs("api"), deploy.cloud.runs("web")), (OLD.into(), OLD.into()));
    let changes = changes(&deploy);
    assert_eq!(changes.iter().filter(|name| *name == "UpdateService").count(), 4);
    assert!(
        changes.ends_with(&["DeleteParameter".into(), "DeleteParameter".into()]),
        "{changes:?}"
    );
}

/// Somebody left a revision there that failed: it is not what is put back.
#[tokio::test]
async fn what_served_is_put_back_and_not_what_had_failed_before() {
    let mut deploy = Deploy::new();
    deploy.cloud.deploy("api", "r.example/app@sha256:bad-before");
    let error = deploy.run(&[("api", BAD)], true).await.unwrap_err();
    assert_eq!(exit_of(&error), Exit::RolledBack, "{error:#}");
    assert!(error.to_string().ends_with("; api is back on app:1"), "{error:#}");
    assert_eq!(deploy.cloud.runs("api"), OLD);
    assert_eq!(deploy.cloud.described(3)["tags"][0]["value"], "app:1", "it served before");
}

#[tokio::test]
async fn when_ecs_rolled_one_back_only_the_other_goes_back() {
    let mut deploy = Deploy::new();
    let error = deploy.run(&[("api", WORSE), ("web", NEW)], true).await.unwrap_err();
    assert_eq!(exit_of(&error), Exit::RolledBack, "{error:#}");
    assert!(error.to_string().ends_with("; web is back on app:1"), "{error:#}");
    let updates = deploy.stand_in.calls("UpdateService");
    let services: Vec<_> =
        updates.iter().map(|update| update["service"].as_str().unwrap()).collect();
    assert_eq!(services, ["api", "web", "web"]);
}

#[tokio::test]
async fn without_putting_back_things_stay_as_they_are() {
    let mut deploy = Deploy::new();
    let error = deploy.run(&[("api", BAD)], false).await.unwrap_err();
    assert_eq!(exit_of(&error), Exit::RolloutFailed, "{error:#}");
    assert_eq!(deploy.stand_in.calls("UpdateService").len(), 1);
    assert_eq!(deploy.cloud.parameters.names(), Vec::<String>::new(), "the lock is given back");
}

#[tokio::test]
async fn what_can_not_be_put_back_is_a_failure_that_was_not_rolled_back() {
    let mut deploy = Deploy::twisted(Box::new(|_, operation, request, _| {
        let back = request["taskDefinition"].as_str().is_some_and(|arn| arn.ends_with(":1"));
        (operation == "UpdateService" && request["service"] == "web" && back)
            .then(|| (400, json!({ "__type": "AccessDeniedException", "message": "not this one" })))
    }));
    let error = deploy.run(&[("api", WORSE), ("web", NEW)], true).await.unwrap_err();
    assert_eq!(exit_of(&error), Exit::RolloutFailed, "{error:#}");
    let text = format!("{error:#}");
    assert!(text.contains("web could not be put back on app:1: ecs:UpdateService"), "{text}");
    assert_eq!(deploy.cloud.runs("web"), NEW);
}

#[tokio::test]
async fn somebody_elses_newer_deployment_is_never_overwritten() {
    // The same revision even, but another deployment of it.
    let once = AtomicBool::new(false);
    let mut deploy = Deploy::twisted(Box::new(move |cloud, operation, request, _| {
        let watched = operation == "ListTasks" && request["serviceName"] == "web";
        if watched && !once.swap(true, Ordering::SeqCst) {
            cloud.deploy("web", NEW);
        }
        None
    }));
    let error = deploy.run(&[("web", NEW), ("api", BAD)], true).await.unwrap_err();
    let text = format!("{error:#}");
    assert_eq!(deploy.cloud.runs("web"), NEW, "{text}");
    assert_eq!(deploy.cloud.runs("api"), OLD, "{text}");
}

#[tokio::test]
async fn a_newer_deployment_that_comes_after_the_verdict_is_left_alone() {
    let mut deploy = Deploy::twisted(Box::new(|cloud, operation, request, before| {
        // The update looks twice, the watch three times; then comes the look of putting back.
        let look = operation == "DescribeServices" && request["services"][0] == "api";
        if look && before == 6 {
            cloud.deploy("api", NEW);
        }
        None
    }));
    let error = deploy.run(&[("api", BAD)], true).await.unwrap_err();
    assert_eq!(exit_of(&error), Exit::Superseded, "{error:#}");
    assert!(error.to_string().contains("which somebody else deployed"), "{error:#}");
    assert_eq!(deploy.cloud.runs("api"), NEW);
    assert_eq!(deploy.stand_in.calls("UpdateService").len(), 1);
}

#[tokio::test]
async fn who_lost_the_lock_claims_no_success_and_puts_nothing_back() {
    for image in [NEW, BAD] {
        let mut deploy = Deploy::twisted(Box::new(|cloud, operation, _, before| {
            if operation == "ListTasks" && before == 0 {
                let other = json!({ "id": "f00", "who": "maria@desk", "what": "deploy of app:9",
                    "since": "now", "lease-seconds": 90 });
                cloud.parameters.set("/xtask/lock/app/api", &other.to_string());
            }
            None
        }));
        let error = deploy.run(&[("api", image)], true).await.unwrap_err();
        let text = format!("{error:#}");
        assert_eq!(exit_of(&error), Exit::Superseded, "{text}");
        assert!(
            text.contains("was taken over by maria@desk (deploy of app:9, since now)"),
            "{text}"
        );
        assert_eq!(deploy.stand_in.calls("UpdateService").len(), 1, "{text}");
        let held = deploy.cloud.parameters.get("/xtask/lock/app/api").unwrap();
        assert!(held.contains("f00"), "the other one's lock stays: {held}");
    }
}

#[tokio::test]
async fn what_was_moved_before_the_next_update_failed_goes_back_or_is_named() {
    let refused = || {
        Deploy::twisted(Box::new(|_, operation, request, _| {
            (operation == "UpdateService" && request["service"] == "web").then(|| {
                (400, json!({ "__type": "AccessDeniedException", "message": "not this one" }))
            })
        }))
    };
    let mut deploy = refused();
    let error = deploy.run(&[("api", NEW), ("web", NEW)], true).await.unwrap_err();
    assert_eq!(exit_of(&error), Exit::Prerequisite, "{error:#}");
    assert!(error.to_string().ends_with("; api is back on app:1"), "{error:#}");
    assert_eq!((deploy.cloud.runs("api"), deploy.cloud.runs("web")), (OLD.into(), OLD.into()));

    let mut deploy = refused();
    let error = deploy.run(&[("api", NEW), ("web", NEW)], false).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("not this one") && text.contains("api had been moved to app:2"),
        "{text}"
    );
    assert_eq!(deploy.cloud.runs("api"), NEW);
}

/// ECS begins nothing new for the revision that a service is on: the verdict would be that of the
/// deployment that failed before.
#[tokio::test]
async fn the_revision_that_failed_before_is_tried_anew() {
    let mut deploy = Deploy::new();
    deploy.cloud.deploy("api", BAD);
    let error = deploy.run(&[("api", BAD)], true).await.unwrap_err();
    let updates = deploy.stand_in.calls("UpdateService");
    assert_eq!(updates[0]["forceNewDeployment"], true, "{error:#}");
    assert!(deploy.stand_in.calls("RegisterTaskDefinition").is_empty());
    let ours = deploy.done.updated["api"].target.as_ref().unwrap();
    assert_eq!(ours.deployment_id, "ecs-svc/4", "one of its own, after those of api, web and api");
    assert_eq!(deploy.cloud.runs("api"), OLD);
}

#[tokio::test]
async fn a_service_that_was_scaled_meanwhile_stays_so() {
    let mut deploy = Deploy::new();
    deploy.scaled_to = 0;
    deploy.run(&[("api", NEW)], true).await.unwrap();
    assert_eq!(deploy.stand_in.calls("UpdateService")[0].get("desiredCount"), None);
}

/// What served is not known of a service without tasks, and what its revision says is about the time
/// when that one was registered.
#[tokio::test]
async fn a_revision_does_not_inherit_what_served_before_another() {
    let idle = std::sync::Arc::new(AtomicBool::new(false));
    let now = std::sync::Arc::clone(&idle);
    let mut deploy = Deploy::twisted(Box::new(move |cloud, operation, request, _| {
        let (status, mut answer) = cloud.answer(operation, request);
        if operation == "DescribeServices" && now.load(Ordering::Relaxed) {
            let service = &mut answer["services"][0];
            service["desiredCount"] = 0.into();
            service["runningCount"] = 0.into();
        }
        Some((status, answer))
    }));
    deploy.run(&[("api", NEW)], true).await.unwrap();
    assert_eq!(deploy.cloud.described(2)["tags"][0]["value"], "app:1");
    idle.store(true, Ordering::Relaxed);
    deploy.done = Done::default();
    let other = "r.example/app@sha256:3";
    let _ = deploy.run(&[("api", other)], true).await;
    let described = deploy.cloud.described(3);
    let tags = described["tags"].as_array().unwrap();
    assert!(tags.iter().all(|tag| tag["key"] != "xtask:previous"), "{tags:?}");
}

/// Somebody pruned it while the lock was waited for.
#[tokio::test]
async fn a_service_is_not_moved_to_an_image_that_is_gone_by_now() {
    let mut deploy = Deploy::twisted(Box::new(|cloud, operation, _, _| {
        if operation == "PutParameter" {
            cloud.delete_image("sha256:2");
        }
        None
    }));
    let error = deploy.run(&[("api", NEW)], true).await.unwrap_err();
    assert_eq!(exit_of(&error), Exit::Prerequisite, "{error:#}");
    assert!(error.to_string().contains("app@sha256:2 is gone from the repository"), "{error:#}");
    assert!(deploy.stand_in.calls("UpdateService").is_empty());
    assert!(deploy.stand_in.calls("RegisterTaskDefinition").is_empty());
    assert_eq!(deploy.cloud.runs("api"), OLD);
}
