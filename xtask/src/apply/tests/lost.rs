//! `UpdateService` without an answer: what is said, and what is done.

use super::*;
use crate::aws::stand_in::CUT;
use xtask_core::exit::hint_of;

/// A deploy whose `UpdateService` arrives this often, and is never answered.
fn unanswered(arrives: usize) -> Deploy {
    Deploy::twisted(Box::new(move |cloud, operation, request, before| {
        let ours = operation == "UpdateService";
        if ours && before < arrives {
            cloud.answer(operation, request);
        }
        ours.then(|| (CUT, json!(null)))
    }))
}

#[tokio::test]
async fn a_service_that_moved_without_a_word_is_watched_like_any_other() {
    let mut deploy = unanswered(1);
    deploy.run(&[("api", NEW)], true).await.unwrap();
    assert_eq!(deploy.cloud.runs("api"), NEW);
    let said = deploy.ui.heard().join("\n");
    let wanted = "but api was moved to app:2 (deployment ecs-svc/3), so this goes on";
    assert!(said.contains("ecs:UpdateService: ") && said.contains(wanted), "{said}");
    assert_eq!(deploy.cloud.parameters.names(), Vec::<String>::new());

    let mut deploy = unanswered(1);
    let error = deploy.run(&[("api", WORSE)], true).await.unwrap_err();
    assert_eq!(exit_of(&error), Exit::RolledBack, "{error:#}");
}

#[tokio::test]
async fn a_service_that_did_not_move_is_told_from_one_that_others_moved() {
    let mut deploy = unanswered(0);
    let error = deploy.run(&[("api", NEW)], true).await.unwrap_err();
    assert_eq!(exit_of(&error), Exit::Prerequisite, "{error:#}");
    let text = error.to_string();
    assert!(text.ends_with("; api is on app:1 as before, and not on app:2"), "{text}");
    assert!(hint_of(&error).unwrap().starts_with("AWS can not be reached"), "{error:#}");
    assert_eq!(deploy.cloud.parameters.names(), Vec::<String>::new());

    let mut deploy = Deploy::twisted(Box::new(|cloud, operation, _, before| {
        if operation == "UpdateService" && before == 0 {
            cloud.deploy("api", BAD);
        }
        (operation == "UpdateService").then(|| (500, json!({ "__type": "ServerException" })))
    }));
    let error = deploy.run(&[("api", NEW)], true).await.unwrap_err();
    assert_eq!(exit_of(&error), Exit::Unexpected, "{error:#}");
    let wanted = "; api is on app:3 by now (deployment ecs-svc/3), and not on app:2";
    assert!(error.to_string().ends_with(wanted), "{error:#}");
}

#[tokio::test]
async fn when_nobody_can_tell_it_says_how_to_find_out() {
    let asked = AtomicBool::new(false);
    let mut deploy = Deploy::twisted(Box::new(move |cloud, operation, request, before| {
        if operation == "UpdateService" {
            asked.store(true, Ordering::SeqCst);
            if before == 0 {
                cloud.answer(operation, request);
            }
            return Some((CUT, json!(null)));
        }
        let cut = operation == "DescribeServices" && asked.load(Ordering::SeqCst);
        cut.then(|| (CUT, json!(null)))
    }));
    let error = deploy.run(&[("api", NEW)], true).await.unwrap_err();
    assert_eq!(exit_of(&error), Exit::Prerequisite, "{error:#}");
    assert!(error.to_string().contains("nobody knows whether api was moved to app:2"), "{error:#}");
    let hint = hint_of(&error).unwrap();
    assert!(hint.contains("xtask status") && hint.contains("xtask rollback"), "{hint}");
}

#[tokio::test]
async fn a_refusal_stays_as_it_is() {
    let denied = json!({ "__type": "AccessDeniedException", "message": "no" });
    let mut deploy = Deploy::twisted(Box::new(move |_, operation, _, _| {
        (operation == "UpdateService").then(|| (400, denied.clone()))
    }));
    let error = deploy.run(&[("api", NEW)], true).await.unwrap_err();
    assert_eq!(error.to_string(), "ecs:UpdateService: AccessDeniedException: no");
}

#[tokio::test]
async fn a_try_that_failed_is_not_made_again_once_somebody_took_over() {
    let mut deploy = Deploy::twisted(Box::new(|cloud, operation, _, before| {
        if operation != "UpdateService" || before > 0 {
            return None;
        }
        let other = json!({ "id": "f00", "who": "maria@desk", "what": "deploy of app:9",
            "since": "now", "lease-seconds": 90 });
        cloud.parameters.set("/xtask/lock/app/api", &other.to_string());
        Some((500, json!({ "__type": "ServerException" })))
    }));
    let error = deploy.run(&[("api", NEW)], true).await.unwrap_err();
    assert_eq!(exit_of(&error), Exit::Superseded, "{error:#}");
    assert!(error.to_string().contains("taken over by maria@desk"), "{error:#}");
    assert_eq!(deploy.stand_in.calls("UpdateService").len(), 1);
    assert_eq!(deploy.cloud.runs("api"), OLD, "the service was not moved after the takeover");
}

#[tokio::test]
async fn a_try_that_failed_is_made_again_under_the_lock() {
    let mut deploy = Deploy::twisted(Box::new(|_, operation, _, before| {
        (operation == "UpdateService" && before < 2)
            .then(|| (500, json!({ "__type": "ServerException" })))
    }));
    deploy.run(&[("api", NEW)], true).await.unwrap();
    assert_eq!(deploy.cloud.runs("api"), NEW);
    assert_eq!(deploy.stand_in.calls("UpdateService").len(), 3);
}
