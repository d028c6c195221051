//! `UpdateService` without an answer: what is said, and what is done.

use super::*;
use crate::aws::stand_in::CUT;
use crate::exit::hint_of;

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
