//! Deploys against a stand-in for AWS: interrupted in every phase, and outliving credentials.

use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::deployed::{Deployed, MADE_UP, PATIENCE};
use crate::stand_in::cloud::Cloud;
use crate::stand_in::server::Asked;
use crate::support::Run;

const LOCK: &str = "/xtask/lock/app/api";

fn interrupt(child: Child, signal: &str, args: &[&str]) -> Run {
    let sent =
        std::process::Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    Run::new(args, child.wait_with_output().unwrap())
}

/// A phase of a deploy: what it deploys, what it is hung up in, and what an interruption says.
struct Phase {
    name: &'static str,
    image: &'static str,
    /// The operation, and how many of it there have been by then.
    at: (&'static str, usize),
    /// Whether that one is never answered.
    hangs: bool,
    says: &'static [&'static str],
}

const MOVED: &str = "api was moved to app:2 (deployment ecs-svc/3), and ECS goes on with that: \
                     `cargo xtask status` shows it, `cargo xtask rollback` undoes it";

const PHASES: [Phase; 6] = [
    Phase {
        name: "taking the lock",
        image: "sha256:new",
        at: ("PutParameter", 1),
        hangs: true,
        says: &[
            "the deploy lock of api may still be held: the next deploy takes it over after 1m 30s",
        ],
    },
    Phase {
        name: "registering",
        image: "sha256:new",
        at: ("RegisterTaskDefinition", 1),
        hangs: true,
        says: &["a revision may be registered, and api was not moved to it"],
    },
    Phase {
        name: "updating",
        image: "sha256:new",
        at: ("UpdateService", 1),
        hangs: true,
        says: &["asked ECS to move api to app:2: `cargo xtask status` shows whether it did"],
    },
    Phase {
        name: "watching",
        image: "sha256:slow",
        at: ("ListTasks", 10),
        hangs: false,
        says: &[MOVED],
    },
    Phase {
        name: "asking for health",
        image: "sha256:new",
        at: ("", 3),
        hangs: false,
        says: &["api runs app:2, whose checks had not ended", "`cargo xtask rollback` undoes it"],
    },
    Phase {
        name: "putting back",
        image: "sha256:bad",
        at: ("UpdateService", 2),
        hangs: true,
        says: &["asked ECS to move api to app:1: `cargo xtask status` shows whether it did"],
    },
];

#[test]
fn an_interruption_in_any_phase_says_what_state_aws_is_in() {
    std::thread::scope(|scope| {
        for phase in &PHASES {
            scope.spawn(move || interrupted_in(phase));
        }
    });
}

fn interrupted_in(phase: &'static Phase) {
    let (operation, count) = phase.at;
    let twist = move |_: &Cloud, asked: &Asked| {
        if phase.hangs && asked.operation == operation && asked.before + 1 == count {
            std::thread::sleep(PATIENCE);
        }
        None
    };
    let health = format!("{MADE_UP}[env.test.health]\nurl = \"URL/health\"\ntimeout = \"60s\"\n");
    let deployed = Deployed::new(&health, Box::new(twist));
    let args = ["deploy", "--env", "test", "--image", phase.image];
    let child = deployed.start(&args);
    deployed.await_calls(operation, count);
    let start = Instant::now();
    let mut run = interrupt(child, "INT", &args).code(130);
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{}: it waits for nobody\n{run}",
        phase.name
    );
    for says in phase.says {
        run = run.says(says);
    }
    let locks = deployed.cloud.parameters.names();
    assert!(locks.is_empty(), "{}: the lock was given back: {locks:?}\n{run}", phase.name);
    let changed = !run.stderr().contains("nothing was changed");
    assert_eq!(changed, run.stderr().contains("nothing else was changed"), "{}\n{run}", phase.name);
}

#[test]
fn an_interruption_while_waiting_says_for_whom() {
    let deployed = Deployed::new(MADE_UP, Box::new(|_, _| None));
    let other = json!({ "id": "f00", "who": "maria@desk, process 7", "what": "deploy of app:9",
        "since": "2026-01-01T00:00:00Z", "lease-seconds": 90 });
    deployed.cloud.parameters.set(LOCK, &other.to_string());
    let args = ["deploy", "--env", "test", "--image", "sha256:new"];
    let child = deployed.start(&args);
    deployed.await_calls("PutParameter", 2);
    interrupt(child, "TERM", &args).code(130).says(
        "interrupted while waiting for the deploy lock: api is being deployed by maria@desk, process 7 \
         (deploy of app:9, since 2026-01-01T00:00:00Z); nothing was changed",
    );
    assert!(deployed.cloud.parameters.get(LOCK).unwrap().contains("f00"), "it is theirs");

    let deployed = Deployed::new(MADE_UP, Box::new(|_, _| None));
    deployed.cloud.deploy("api", "r.example/app@sha256:slow");
    let child = deployed.start(&args);
    deployed.await_calls("DescribeServices", 4);
    interrupt(child, "TERM", &args).code(130).says(
        "interrupted while waiting for the end of another deployment: deployment ecs-svc/3 of api to \
         app:2 is under way; nothing was changed",
    );
    assert!(deployed.cloud.parameters.names().is_empty(), "the lock was given back");
}

#[test]
fn a_held_lock_is_aborted_at_or_superseded_as_asked() {
    let deployed = Deployed::new(MADE_UP, Box::new(|_, _| None));
    let image = ["deploy", "--env", "test", "--image", "sha256:slow"];
    let first = deployed.start(&image);
    deployed.await_calls("ListTasks", 10);

    let abort = ["deploy", "--env", "test", "--image", "sha256:new", "--if-busy", "abort"];
    deployed.project.run(&abort).code(8).says("api is being deployed by ").says("--if-busy wait");
    assert_eq!(deployed.server.calls("UpdateService").len(), 1);

    let supersede = ["deploy", "--env", "test", "--image", "sha256:new", "--if-busy", "supersede"];
    deployed.project.run(&supersede).code(0).says("taking its place").prints("succeeded");
    let run = Run::new(&image, first.wait_with_output().unwrap()).code(8);
    let run = run.prints("superseded");
    assert!(
        run.stderr().contains("superseded by") || run.stderr().contains("taken over by"),
        "{run}"
    );
    assert_eq!(deployed.server.calls("UpdateService").len(), 2, "the first one put nothing back");
    assert_eq!(deployed.cloud.runs("api"), "r.example/app@sha256:new");
    assert!(deployed.cloud.parameters.names().is_empty());
}

#[test]
fn without_the_permission_for_locks_the_key_and_the_permission_are_named() {
    let denied = |_: &Cloud, asked: &Asked| {
        let text = "User: arn:aws:iam::1:role/x is not authorized to perform: ssm:GetParameter";
        asked
            .operation
            .ends_with("Parameter")
            .then(|| (400, json!({ "__type": "AccessDeniedException", "message": text })))
    };
    let args = ["deploy", "--env", "test", "--image", "sha256:new"];
    let deployed = Deployed::new(MADE_UP, Box::new(denied));
    let run = deployed.project.run(&args).code(3).says("ssm:GetParameter: AccessDeniedException");
    run.says("`parameter/xtask/lock/*`").says("`lock = false` in [env.NAME]");
    assert!(deployed.server.calls("UpdateService").is_empty());

    let off = Deployed::new(&format!("{MADE_UP}lock = false\n"), Box::new(denied));
    off.project.run(&args).code(0).prints("succeeded");
    assert!(!off.server.operations().iter().any(|name| name.ends_with("Parameter")));
}

/// The keys end in the middle of the watch, and somebody writes new ones.
#[test]
fn credentials_that_end_in_the_middle_are_read_again() {
    let (told, stale) = (Arc::new(Mutex::new(false)), Arc::new(AtomicBool::new(false)));
    let (told_too, stale_too) = (Arc::clone(&told), Arc::clone(&stale));
    let twist = move |_: &Cloud, asked: &Asked| {
        if stale_too.load(Ordering::SeqCst) && asked.authorization.contains("AKIDOLD") {
            *told_too.lock().unwrap() = true;
            let text = "The security token included in the request is expired";
            return Some((400, json!({ "__type": "ExpiredTokenException", "message": text })));
        }
        if asked.operation == "UpdateService" {
            stale_too.store(true, Ordering::SeqCst);
        }
        None
    };
    let mut deployed = Deployed::new("", Box::new(twist));
    let file = deployed.project.path("credentials");
    let keys = |id: &str| {
        let text = format!(
            "[default]\naws_access_key_id = {id}\naws_secret_access_key = x\naws_session_token = t\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    keys("AKIDOLD");
    deployed.project.set("AWS_SHARED_CREDENTIALS_FILE", &file);
    let args = ["deploy", "--env", "test", "--image", "sha256:new"];
    let child = deployed.start(&args);
    let end = Instant::now() + PATIENCE;
    while !*told.lock().unwrap() {
        assert!(Instant::now() < end, "{:?}", deployed.server.operations());
        std::thread::sleep(Duration::from_millis(10));
    }
    keys("AKIDNEW");
    let run = Run::new(&args, child.wait_with_output().unwrap()).code(0).prints("succeeded");
    let run =
        run.says("the credentials are not taken any more").says("there are credentials again");
    assert_eq!(run.stderr().matches("not taken any more").count(), 1, "once\n{run}");
    assert!(
        deployed.cloud.parameters.names().is_empty(),
        "the lock was given back with the new ones"
    );
}
