//! Task definitions from one deploy to the next: what of them changes, and which one comes back.

use serde_json::Value;

use crate::deployed::{Deployed, MADE_UP};
use crate::stand_in::cloud::{Cloud, READ_ONLY};
use crate::support::Run;

/// What was registered, with members that nobody knows at every depth, and with numbers in every
/// form.
const RUNNING: &str = concat!(
    r#"{"inventedTop":{"answer":42,"one":1.0,"half":2.50,"small":1.5e-7,"#,
    r#""huge":123456789012345678901234567890,"list":[[{"x":null}],-0.0]},"family":"app","#,
    r#""executionRoleArn":"arn:aws:iam::123456789012:role/start","#,
    r#""containerDefinitions":[{"inventedFirst":true,"name":"app","image":"r.example/app@sha256:1","#,
    r#""cpu":0,"environment":[{"name":"LEVEL","value":"info","inventedEntry":9007199254740993},"#,
    r#"{"value":"yes","name":"STAYS"}],"secrets":[{"name":"DB","#,
    r#""valueFrom":"arn:aws:ssm:eu-central-1:123456789012:parameter/db","inventedSecret":{}}],"#,
    r#""portMappings":[{"containerPort":8080,"inventedPort":[1.0,{"deeper":1e+2}]}],"#,
    r#""inventedContainer":{"a":{"b":[{"c":0.10}]}}},{"name":"proxy","image":"proxy:1","#,
    r#""inventedOther":[]}],"volumes":[{"name":"v","inventedVolume":18446744073709551616}],"#,
    r#""cpu":"256","memory":"512","tags":[{"key":"team","value":"stalls","inventedTag":1.0},"#,
    r#"{"key":"aws:cloudformation:stack-name","value":"x"}]}"#
);

const CHANGES: &str = r#"[env.test.environment]
LEVEL = "debug"
NEW = "1"
[env.test.secrets]
KEY = "arn:aws:ssm:eu-central-1:123456789012:parameter/key"
"#;

fn on(registered: &str, more: &str) -> Deployed {
    let cloud = Cloud::on(serde_json::from_str(registered).unwrap());
    Deployed::on(cloud, &format!("{MADE_UP}{more}"), Box::new(|_, _| None))
}

fn deploy(deployed: &Deployed, digest: &str) -> Run {
    deployed.project.run(&["deploy", "--env", "test", "--image", digest])
}

/// Replaces what is there exactly once.
#[track_caller]
fn replace(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old} in {text}");
    text.replace(old, new)
}

#[test]
fn a_deploy_registers_what_runs_to_the_last_byte_but_for_what_it_changes() {
    let deployed = on(RUNNING, CHANGES);
    deploy(&deployed, "sha256:2").code(0).prints("succeeded");
    let mut expected = replace(RUNNING, "app@sha256:1", "app@sha256:2");
    expected = replace(&expected, r#""value":"info""#, r#""value":"debug""#);
    let new = r#""name":"STAYS"},{"name":"NEW","value":"1"}"#;
    expected = replace(&expected, r#""name":"STAYS"}"#, new);
    let key = r#""inventedSecret":{}},{"name":"KEY","valueFrom":"arn:aws:ssm:eu-central-1:123456789012:parameter/key"}"#;
    expected = replace(&expected, r#""inventedSecret":{}}"#, key);
    let reserved = r#"{"key":"aws:cloudformation:stack-name","value":"x"}"#;
    let ours =
        r#"{"key":"xtask:previous","value":"app:1"},{"key":"xtask:image","value":"sha256:2"}"#;
    expected = replace(&expected, reserved, ours);
    // ECS told of more than can be registered, and the stand-in takes none of that.
    let described = deployed.cloud.described(1)["taskDefinition"].clone();
    let told = READ_ONLY.iter().filter(|member| !described[**member].is_null());
    assert_eq!(told.count(), 7);
    for member in READ_ONLY {
        assert!(!expected.contains(&format!("\"{member}\"")), "{member}");
    }
    assert_eq!(deployed.server.bodies("RegisterTaskDefinition"), [expected.as_str()]);

    // And once more, from what was registered.
    deploy(&deployed, "sha256:3").code(0).prints("succeeded");
    let expected = expected.replace("sha256:2", "sha256:3");
    let expected = replace(&expected, r#""value":"app:1""#, r#""value":"app:2""#);
    assert_eq!(deployed.server.bodies("RegisterTaskDefinition")[1], expected);
}

/// Another tool deploys in between: what it registered is the base of the next one, and what is
/// declared comes back.
#[test]
fn what_another_tool_registered_is_shown_and_built_upon() {
    let declared = "[env.test.environment]\nLEVEL = \"debug\"\n";
    let deployed = Deployed::new(&format!("{MADE_UP}{declared}"), Box::new(|_, _| None));
    deploy(&deployed, "sha256:a").code(0);
    let status = || deployed.project.run(&["status", "--env", "test"]).code(0).stdout();
    assert!(!status().contains("a deploy would change"), "{}", status());

    deployed.cloud.deploy("api", "r.example/app@sha256:theirs");
    let drift = "  a deploy would change  + containers.app.environment.LEVEL  debug\n";
    assert!(status().contains(drift), "{}", status());
    deploy(&deployed, "sha256:b").code(0).says("+ containers.app.environment.LEVEL  debug");
    let described = deployed.cloud.described(4);
    let container = &described["taskDefinition"]["containerDefinitions"][0];
    assert_eq!(container["image"], "r.example/app@sha256:b");
    assert_eq!(container["environment"][0]["value"], "debug");
    assert_eq!(previous(&deployed, 4).as_deref(), Some("app:3"), "theirs served");
    assert!(!status().contains("a deploy would change"), "{}", status());
}

/// Another tool copies the tags of what runs: what they say is not true of its revision.
#[test]
fn a_tag_that_was_copied_does_not_say_what_ran_before() {
    let deployed = Deployed::new(MADE_UP, Box::new(|_, _| None));
    for digest in ["sha256:a", "sha256:b"] {
        deploy(&deployed, digest).code(0);
    }
    deployed.cloud.deploy_copy("api", "r.example/app@sha256:theirs");
    assert_eq!(previous(&deployed, 4).as_deref(), Some("app:2"), "copied");
    let back = ["rollback", "--env", "test"];
    deployed.project.run(&back).code(0).says("api goes back from app:4 to app:3");
    assert_eq!(deployed.cloud.revision("api"), 3);
    deployed.project.run(&back).code(0).says("api goes back from app:3 to app:2: it served");

    // What is registered over it says it of itself again.
    deployed.cloud.deploy_copy("api", "r.example/app@sha256:theirs-again");
    deploy(&deployed, "sha256:c").code(0);
    deployed.project.run(&back).code(0).says("api goes back from app:6 to app:5: it served");
}

/// What a revision says of the one before it.
fn previous(deployed: &Deployed, number: usize) -> Option<String> {
    let described = deployed.cloud.described(number);
    let tags = described["tags"].as_array().unwrap();
    let of: Vec<&Value> = tags.iter().filter(|tag| tag["key"] == "xtask:previous").collect();
    assert!(of.len() <= 1, "{tags:?}");
    of.first().map(|tag| tag["value"].as_str().unwrap().to_owned())
}

#[track_caller]
fn runs(deployed: &Deployed, number: usize) {
    assert_eq!(deployed.cloud.revision("api"), number);
}

#[test]
fn a_chain_of_deploys_goes_back_over_what_ran_and_over_nothing_else() {
    let deployed = Deployed::new(MADE_UP, Box::new(|_, _| None));
    let rollback =
        |args: &[&str]| deployed.project.run(&[&["rollback", "--env", "test"], args].concat());
    deploy(&deployed, "sha256:a").code(0);
    deploy(&deployed, "sha256:b").code(0);
    // Revision 4 fails and is put back.
    deploy(&deployed, "sha256:bad-c").code(6).says("api is back on app:3");
    runs(&deployed, 3);
    assert_eq!(
        [1, 2, 3, 4].map(|number| previous(&deployed, number)),
        [None, Some("app:1".into()), Some("app:2".into()), Some("app:3".into())]
    );

    rollback(&[]).code(0).says("api goes back from app:3 to app:2: it served when app:3 was");
    runs(&deployed, 2);
    rollback(&[]).code(0).says("api goes back from app:2 to app:1");
    runs(&deployed, 1);
    // Nothing says what was before the first one.
    rollback(&[]).code(3).says("api is on app:1, and there is no earlier revision");

    // What is new came after 1, whatever the numbers between them are.
    deploy(&deployed, "sha256:d").code(0);
    runs(&deployed, 5);
    assert_eq!(previous(&deployed, 5).as_deref(), Some("app:1"));

    rollback(&["--to", "3"]).code(0).says("`--to` says so");
    runs(&deployed, 3);
    deploy(&deployed, "sha256:e").code(0);
    assert_eq!(previous(&deployed, 6).as_deref(), Some("app:3"), "6 took the place of 3, not of 5");

    // One that failed and was left in place never served.
    let left = ["deploy", "--env", "test", "--image", "sha256:bad-f", "--no-rollback"];
    deployed.project.run(&left).code(7);
    deploy(&deployed, "sha256:g").code(0);
    assert_eq!(previous(&deployed, 8).as_deref(), Some("app:6"));
    rollback(&[]).code(0);
    runs(&deployed, 6);

    // The same image again is no new revision, also when forced.
    let forced = ["deploy", "--env", "test", "--image", "sha256:e", "--force"];
    deployed.project.run(&forced).code(0);
    runs(&deployed, 6);
    assert_eq!(previous(&deployed, 6).as_deref(), Some("app:3"));

    // An image that is gone can not start.
    let before = deployed.server.calls("UpdateService").len();
    deployed.cloud.delete_image("sha256:b");
    let refused = "app:3 has an image that is gone from `app`: sha256:b";
    rollback(&[]).code(3).says(refused).says("choose another revision with `--to`");
    rollback(&["--to", "3"]).code(3).says(refused);
    rollback(&["--to", "99"]).code(3).says("there is no revision app:99");
    assert_eq!(deployed.server.calls("UpdateService").len(), before);
    rollback(&["--to", "2"]).code(0);
    runs(&deployed, 2);
}
