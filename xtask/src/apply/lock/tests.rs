//! The lock against SSM's answers.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::apply::ecs::{self, Guard};
use crate::aws::stand_in::{Parameters, StandIn};
use xtask_core::exit::{exit_of, hint_of};
use xtask_core::plan::deploy::{TaskChange, Update};

const NAME: &str = "/xtask/lock/app/api";

fn timing() -> Timing {
    Timing {
        lease: Duration::from_secs(2),
        renew: Duration::from_millis(100),
        poll: Duration::from_millis(20),
        believe: Duration::from_millis(50),
    }
}

/// SSM, and its parameters.
fn ssm() -> (StandIn, Parameters) {
    let parameters = Parameters::default();
    let answers = parameters.clone();
    let stand_in = StandIn::start(move |operation: &str, request: &serde_json::Value, _| {
        answers.answer(operation, request).unwrap()
    });
    (stand_in, parameters)
}

fn services(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn take_api(ui: &Ui, session: &Session, if_busy: IfBusy, seconds: u64) -> Result<Lock> {
    let services = services(&["api"]);
    let deadline = Duration::from_secs(seconds);
    let wanted = Wanted { cluster: "app", services: &services, if_busy, deadline, what: "deploy" };
    take(ui, session, &wanted, timing()).await
}

/// A lock whose holder was killed.
fn dead(id: &str) -> String {
    lock::value(&Holder {
        id: id.into(),
        who: "maria@desk, process 7".into(),
        what: "deploy of app@sha256:1".into(),
        since: "2026-01-01T00:00:00Z".into(),
        lease_seconds: 1,
    })
}

#[tokio::test]
async fn a_second_deploy_waits_for_the_first() {
    let (stand_in, parameters) = ssm();
    let session = stand_in.session().await;
    let first = take_api(&Ui::silent(), &session, IfBusy::Wait, 30).await.unwrap();
    let held = parameters.get(NAME).unwrap();
    let ui = Ui::silent();
    let second = take_api(&ui, &session, IfBusy::Wait, 30);
    tokio::pin!(second);
    // Longer than the lease: the first one is alive, and renews it.
    let early = tokio::time::timeout(Duration::from_millis(3500), &mut second).await;
    assert!(early.is_err(), "the first one holds it");
    assert_eq!(parameters.get(NAME).unwrap(), held, "a lock is never written again");
    assert!(first.release().await.unwrap().is_none());
    let second = second.await.unwrap();
    assert_ne!(parameters.get(NAME).unwrap(), held);
    let told = ui.heard();
    assert_eq!(told.len(), 1, "once: {told:?}");
    assert!(told[0].starts_with("api is being deployed by "), "{told:?}");
    assert!(told[0].contains(&format!("process {} (deploy, since ", std::process::id())));
    assert!(second.release().await.unwrap().is_none());
    assert_eq!(parameters.names(), Vec::<String>::new(), "nothing is left");
}

#[tokio::test]
async fn however_many_come_at_once_one_has_it_at_a_time() {
    let (stand_in, parameters) = ssm();
    let session = stand_in.session().await;
    let holding = Arc::new(AtomicUsize::new(0));
    let mut deploys = tokio::task::JoinSet::new();
    for number in 0..6 {
        let (session, holding) = (session.clone(), Arc::clone(&holding));
        deploys.spawn(async move {
            // In any order, and half of them with a second service.
            let names =
                if number % 2 == 0 { services(&["web", "api"]) } else { services(&["api"]) };
            let deadline = Duration::from_secs(60);
            let (cluster, if_busy, what) = ("app", IfBusy::Wait, "deploy");
            let wanted = Wanted { cluster, services: &names, if_busy, deadline, what };
            let lock = take(&Ui::silent(), &session, &wanted, timing()).await.unwrap();
            assert_eq!(holding.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
            tokio::time::sleep(Duration::from_millis(30)).await;
            holding.fetch_sub(1, Ordering::SeqCst);
            assert!(lock.release().await.unwrap().is_none());
        });
    }
    deploys.join_all().await;
    assert_eq!(parameters.names(), Vec::<String>::new());
    let puts = stand_in.calls("PutParameter");
    let locks: Vec<_> = puts.iter().filter(|put| put["Overwrite"] == false).collect();
    assert!(locks.len() >= 9 && locks.iter().all(|put| put["Type"] == "String"), "{locks:?}");
}

#[tokio::test]
async fn a_lock_that_nobody_renews_is_taken_over_after_its_lease() {
    let (stand_in, parameters) = ssm();
    let session = stand_in.session().await;
    parameters.set(NAME, &dead("f00"));
    parameters.set(&renewals_name(NAME, "f00"), "3");
    let ui = Ui::silent();
    let start = Instant::now();
    let lock = take_api(&ui, &session, IfBusy::Wait, 30).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "not before");
    let told = ui.heard().join("\n");
    assert!(told.contains("maria@desk, process 7 (deploy of app@sha256:1, since"), "{told}");
    assert!(told.contains("has not been heard of for 1s; taking its place"), "{told}");
    assert_eq!(parameters.get(&renewals_name(NAME, "f00")), None, "its sign of life is gone");
    lock.check("api").await.unwrap();
    assert!(lock.release().await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_no_lock_of_ours_is_a_lock_all_the_same() {
    let (stand_in, parameters) = ssm();
    parameters.set(NAME, "hands off");
    let error = take_api(&Ui::silent(), &stand_in.session().await, IfBusy::Abort, 30).await;
    let error = error.err().unwrap();
    assert!(error.to_string().contains("somebody (its text is \"hands off\""), "{error}");
    assert_eq!(parameters.get(NAME).as_deref(), Some("hands off"));
}

#[tokio::test]
async fn abort_and_the_deadline_end_it_and_say_who_holds_it() {
    let (stand_in, parameters) = ssm();
    let session = stand_in.session().await;
    let held = take_api(&Ui::silent(), &session, IfBusy::Wait, 30).await.unwrap();
    for (if_busy, exit) in [(IfBusy::Abort, Exit::Superseded), (IfBusy::Wait, Exit::DeadlinePassed)]
    {
        let error = take_api(&Ui::silent(), &session, if_busy, 0).await.err().unwrap();
        assert_eq!(exit_of(&error), exit, "{error}");
        assert!(error.to_string().starts_with("api is being deployed by "), "{error}");
        assert!(hint_of(&error).is_some());
    }
    held.check("api").await.unwrap();
    assert_eq!(parameters.names().first().map(String::as_str), Some(NAME));
}

#[tokio::test]
async fn who_is_superseded_notices_and_leaves_the_lock_alone() {
    let (stand_in, parameters) = ssm();
    let session = stand_in.session().await;
    let first = take_api(&Ui::silent(), &session, IfBusy::Wait, 30).await.unwrap();
    let second = take_api(&Ui::silent(), &session, IfBusy::Supersede, 30).await.unwrap();
    let held = parameters.get(NAME);
    let lost = tokio::time::timeout(Duration::from_secs(20), first.lost()).await.unwrap();
    let failure = lost.failure();
    assert_eq!(failure.exit, Exit::Superseded);
    assert!(failure.message.starts_with("the deploy lock of api was taken over by "));
    let error = first.check("api").await.unwrap_err();
    assert_eq!(exit_of(&error), Exit::Superseded);
    assert!(first.release().await.unwrap().is_some(), "it says that it had it no more");
    assert_eq!(parameters.get(NAME), held, "the second one still holds it");
    second.check("api").await.unwrap();
    assert!(second.release().await.unwrap().is_none());
}

#[tokio::test]
async fn a_lock_deleted_by_hand_is_taken_again_unless_somebody_was_faster() {
    let (stand_in, parameters) = ssm();
    let session = stand_in.session().await;
    let lock = take_api(&Ui::silent(), &session, IfBusy::Wait, 30).await.unwrap();
    let held = parameters.get(NAME);
    parameters.remove(NAME);
    lock.check("api").await.unwrap();
    assert_eq!(parameters.get(NAME), held);
    parameters.set(NAME, &dead("f00"));
    assert_eq!(exit_of(&lock.check("api").await.unwrap_err()), Exit::Superseded);
}

#[tokio::test]
async fn a_lost_answer_does_not_lock_us_out() {
    let parameters = Parameters::default();
    let answers = parameters.clone();
    let stand_in = StandIn::start(move |operation: &str, request: &serde_json::Value, before| {
        let answer = answers.answer(operation, request).unwrap();
        // It is created, and the SDK hears of a failure and calls again.
        if (operation, before) == ("PutParameter", 0) {
            return (500, json!({ "__type": "InternalServerError", "message": "" }));
        }
        answer
    });
    let lock = take_api(&Ui::silent(), &stand_in.session().await, IfBusy::Abort, 30).await.unwrap();
    assert!(lock.release().await.unwrap().is_none());
    assert_eq!(parameters.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_missing_permission_is_named_and_what_was_taken_is_given_back() {
    let parameters = Parameters::default();
    let answers = parameters.clone();
    let stand_in = StandIn::start(move |operation: &str, request: &serde_json::Value, _| {
        let web = request["Name"].as_str().unwrap().ends_with("/web");
        if operation == "PutParameter" && web {
            let text = "User: arn:aws:iam::1:user/x is not authorized to perform: ssm:PutParameter";
            return (400, json!({ "__type": "AccessDeniedException", "message": text }));
        }
        answers.answer(operation, request).unwrap()
    });
    let names = services(&["web", "api"]);
    let deadline = Duration::from_secs(30);
    let (cluster, if_busy, what) = ("app", IfBusy::Wait, "deploy");
    let wanted = Wanted { cluster, services: &names, if_busy, deadline, what };
    let taken = take(&Ui::silent(), &stand_in.session().await, &wanted, timing()).await;
    let error = taken.err().unwrap();
    assert_eq!(exit_of(&error), Exit::Prerequisite);
    let hint = hint_of(&error).unwrap();
    for word in ["ssm:GetParameter, ssm:PutParameter and ssm:DeleteParameter", "`lock = false`"] {
        assert!(hint.contains(word), "{hint}");
    }
    assert_eq!(parameters.names(), Vec::<String>::new(), "the lock of api was given back");
}

#[tokio::test]
async fn nothing_is_updated_without_the_lock() {
    const ARN: &str = "arn:aws:ecs:eu-central-1:123456789012:task-definition/app";
    let parameters = Parameters::default();
    let answers = parameters.clone();
    let stand_in = StandIn::start(move |operation: &str, request: &serde_json::Value, _| {
        if let Some(answer) = answers.answer(operation, request) {
            return answer;
        }
        let deployment = json!({ "id": "d-1", "status": "PRIMARY", "rolloutState": "COMPLETED",
            "taskDefinition": format!("{ARN}:7"), "desiredCount": 1, "runningCount": 1 });
        let service = json!({ "serviceName": "api", "status": "ACTIVE", "desiredCount": 1,
            "runningCount": 1, "taskDefinition": format!("{ARN}:7"), "deployments": [deployment] });
        match operation {
            "DescribeServices" => (200, json!({ "services": [service] })),
            "DescribeTaskDefinition" => {
                // The last thing that is asked before the update, and somebody takes over.
                answers.set(NAME, &dead("f00"));
                let container = json!({ "name": "app", "image": request["taskDefinition"] });
                (
                    200,
                    json!({ "taskDefinition": { "family": "app",
                    "taskDefinitionArn": request["taskDefinition"],
                    "containerDefinitions": [container] } }),
                )
            }
            _ => (200, json!({ "service": service })),
        }
    });
    let session = stand_in.session().await;
    let lock = take_api(&Ui::silent(), &session, IfBusy::Wait, 30).await.unwrap();
    let update = Update {
        cluster: "app".into(),
        service: "api".into(),
        container: "app".into(),
        change: TaskChange::Existing(format!("{ARN}:6")),
        desired_count: None,
        force: false,
    };
    let guard = Guard { lock: Some(&lock), ..Guard::default() };
    let error = ecs::update(&Ui::silent(), &session.aws(), &update, None, guard).await.unwrap_err();
    assert_eq!(exit_of(&error), Exit::Superseded, "{error}");
    assert!(error.to_string().contains("taken over by maria@desk"), "{error}");
    assert!(stand_in.calls("UpdateService").is_empty());
}

#[test]
fn what_a_holder_sends_ends_before_its_successor_believes() {
    assert!(LOOK + CALL < Timing::default().believe);
    assert!(Timing::default().believe < lock::LEASE);
}

/// Longer than the renewal waits, so that a call is under way.
fn slow(parameters: &Parameters, slow: fn(&serde_json::Value) -> bool) -> StandIn {
    let answers = parameters.clone();
    StandIn::start(move |operation: &str, request: &serde_json::Value, _| {
        if operation == "PutParameter" && slow(request) {
            std::thread::sleep(Duration::from_millis(500));
        }
        answers.answer(operation, request).unwrap()
    })
}

#[tokio::test]
async fn a_lock_that_arrives_after_an_interruption_is_given_back() {
    let parameters = Parameters::default();
    let stand_in = slow(&parameters, |_| true);
    let (aws, sent) = (stand_in.aws().await, Sent::default());
    let me = serde_json::from_str::<Holder>(&dead("f00")).unwrap();
    let create = create(&aws, NAME, &me, &sent);
    assert!(tokio::time::timeout(Duration::from_millis(200), create).await.is_err());
    let names = BTreeMap::from([("api".to_owned(), NAME.to_owned())]);
    give_back(&aws, &names, "f00", &sent).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(stand_in.calls("PutParameter").len(), 1);
    assert_eq!(parameters.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_renewal_that_is_under_way_leaves_nothing_behind() {
    let parameters = Parameters::default();
    let stand_in = slow(&parameters, |request| request["Overwrite"] == true);
    let session = stand_in.session().await;
    let lock = take_api(&Ui::silent(), &session, IfBusy::Wait, 30).await.unwrap();
    while stand_in.calls("PutParameter").len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(lock.release().await.unwrap().is_none());
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(parameters.names(), Vec::<String>::new());
}

#[tokio::test]
async fn one_lock_that_can_not_be_given_back_does_not_keep_the_others() {
    let parameters = Parameters::default();
    let answers = parameters.clone();
    let stand_in = StandIn::start(move |operation: &str, request: &serde_json::Value, _| {
        if operation == "DeleteParameter" && request["Name"] == NAME {
            return (400, json!({ "__type": "AccessDeniedException", "message": "not this one" }));
        }
        answers.answer(operation, request).unwrap()
    });
    let names = services(&["web", "api"]);
    let deadline = Duration::from_secs(30);
    let (cluster, if_busy, what) = ("app", IfBusy::Wait, "deploy");
    let wanted = Wanted { cluster, services: &names, if_busy, deadline, what };
    let session = stand_in.session().await;
    let lock = take(&Ui::silent(), &session, &wanted, timing()).await.unwrap();
    let error = lock.release().await.unwrap_err();
    assert!(error.to_string().contains("not this one"), "{error}");
    assert_eq!(parameters.names(), [NAME], "that of web was given back");
}

#[tokio::test]
async fn a_lock_that_was_taken_over_without_an_answer_is_believed_in_after_a_while_only() {
    let parameters = Parameters::default();
    parameters.set(NAME, &dead("f00"));
    let answers = parameters.clone();
    let stand_in = StandIn::start(move |operation: &str, request: &serde_json::Value, before| {
        let answer = answers.answer(operation, request).unwrap();
        // The first one finds the dead holder's lock; the next one creates ours, unheard.
        if (operation, before) == ("PutParameter", 1) {
            return (500, json!({ "__type": "InternalServerError", "message": "" }));
        }
        answer
    });
    let names = services(&["api"]);
    let (cluster, if_busy, what) = ("app", IfBusy::Supersede, "deploy");
    let wanted =
        Wanted { cluster, services: &names, if_busy, deadline: Duration::from_secs(30), what };
    let timing = Timing { believe: Duration::from_secs(2), ..timing() };
    let start = Instant::now();
    let session = stand_in.session().await;
    let lock = take(&Ui::silent(), &session, &wanted, timing).await.unwrap();
    assert!(start.elapsed() >= timing.believe, "{:?}", start.elapsed());
    assert!(lock.release().await.unwrap().is_none());
}
