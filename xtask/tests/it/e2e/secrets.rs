//! Secrets, given in every way in which a user gives one, and looked for in everything that a
//! deploy leaves behind or shows: none is found.
//!
//! The registry asks for the token that ECR gave, as ECR's does. Each search looks for something
//! else, too, that has to be found: it shows that it searches what it is meant to.

mod home;
mod processes;
mod registry;
mod search;

use std::collections::BTreeSet;
use std::process::Command;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

use super::faults::{Fault, Rule, Stage, Turn};
use crate::support::Run;
use home::Home;
use processes::{Process, Watch};
use search::{CONTROL, Needles, unique};

const CONFIG: &str = "secrets.toml";

const DOCKERFILE: &str = r#"ARG BASE_IMAGE=scratch
FROM ${BASE_IMAGE} AS builder
ARG CONTROL
RUN --mount=type=secret,id=from-file --mount=type=secret,id=from-dotenv \
    --mount=type=secret,id=from-environment set -ex; \
    for secret in /run/secrets/from-*; do echo "$secret says $(cat $secret)" >&2; done; \
    test $(ls /run/secrets/from-* | wc -l) = 3; \
    env | grep -vi _proxy= > /environment; echo "$CONTROL" > /control
FROM ${BASE_IMAGE} AS runtime
ARG GIT_COMMIT
COPY --from=builder /environment /control /
COPY service.py /service.py
ENV VERSION=1 BEHAVIOUR=serves
CMD ["python3", "/service.py"]
EXPOSE 8080
"#;

/// The variable that turns provenance on in the `docker` that stands before the real one.
const PROVENANCE: &str = "TEST_PROVENANCE";

/// What a user has: by what it is called, and the value.
struct Planted {
    values: Vec<(&'static str, &'static str)>,
}

impl Planted {
    fn new() -> Self {
        let names = [
            CONTROL,
            "ecr-token",
            "aws-secret-key",
            "aws-session-token",
            "dotenv-asked",
            "dotenv-not-asked",
            "environment-asked",
            "environment-not-asked",
            "file",
            "git-remote",
            "proxy",
            "runtime",
            "task-environment",
            "other-registry",
            "credential-helper",
        ];
        Self { values: names.map(|name| (name, unique(name))).into() }
    }

    fn of(&self, wanted: &str) -> &'static str {
        self.values.iter().find(|(name, _)| *name == wanted).unwrap().1
    }

    /// The header by which the registry recognises who has the token.
    fn authorization(&self) -> &'static str {
        let token = BASE64_STANDARD.encode(format!("AWS:{}", self.of("ecr-token")));
        format!("Basic {token}").leak()
    }

    /// ECR gives this token, and its registry wants it from who logs in or pushes.
    fn rules(&self) -> Vec<Rule> {
        let token = self.authorization().strip_prefix("Basic ").unwrap();
        let data = json!({ "authorizationToken": token, "expiresAt": 4_000_000_000_u32 });
        let answer = json!({ "authorizationData": [data] }).to_string().leak();
        let mut rules = vec![Rule::always("ecr:GetAuthorizationToken", Fault::Says(answer))];
        let challenge = Fault::Challenge(self.authorization());
        let calls = ["GET /v2/", "POST /v2/*", "PATCH /v2/*", "PUT /v2/*"];
        rules.extend(calls.map(|call| Rule::always(call, challenge)));
        rules
    }
}

/// The project and the user's home, with a secret wherever one may be.
fn set_up(stage: &Stage, planted: &Planted) -> Home {
    let write = |name: &str, text: &str| std::fs::write(stage.path(name), text).unwrap();
    write("Dockerfile", DOCKERFILE);
    let (asked, other) = (planted.of("dotenv-asked"), planted.of("dotenv-not-asked"));
    let control = planted.of(CONTROL);
    write(".env", &format!("DOTENV_ASKED={asked}\nOTHER_API_KEY={other}\nCONTROL={control}\n"));
    write("secret-file", planted.of("file"));
    let secret = stage.aws(
        "secretsmanager.CreateSecret",
        &json!({ "Name": unique("secret"), "SecretString": planted.of("runtime") }),
    );
    let config = std::fs::read_to_string(stage.path("faults.toml")).unwrap();
    let secrets = "[[image.secrets]]\nid = \"from-file\"\nfile = \"secret-file\"\n\
                   [[image.secrets]]\nid = \"from-dotenv\"\nenv = \"DOTENV_ASKED\"\n\
                   [[image.secrets]]\nid = \"from-environment\"\nenv = \"ENVIRONMENT_ASKED\"\n\n[cache]\n";
    let arn = secret["ARN"].as_str().unwrap();
    let changes = [
        ("[cache]\n", secrets.to_owned()),
        ("mode = \"min\"", "mode = \"max\"".to_owned()),
        ("made-up-credentials = true", String::new()),
        (
            "[env.local.args]",
            format!(
                "[env.local.secrets]\nRUNTIME = \"{arn}\"\n[env.local.args]\nCONTROL = {{ env = \"CONTROL\" }}"
            ),
        ),
    ];
    let config = changes.iter().fold(config, |config, (was, is)| {
        assert!(config.contains(was), "xtask.toml has {was}");
        config.replacen(was, is, 1)
    });
    write(CONFIG, &config);
    let remote = format!("https://maria:{}@git.example/app.git", planted.of("git-remote"));
    let git = |args: &[&str]| {
        let run = Command::new("git").arg("-C").arg(stage.path("")).args(args).status().unwrap();
        assert!(run.success(), "git {args:?}");
    };
    git(&["remote", "add", "origin", &remote]);
    put_into_task_definition(stage, planted.of("task-environment"));
    Home::new(stage, planted)
}

/// As another tool may have left it: a secret as a plain variable.
fn put_into_task_definition(stage: &Stage, value: &str) {
    let arn = stage.service()["taskDefinition"].clone();
    let mut definition =
        stage.ecs("DescribeTaskDefinition", &json!({ "taskDefinition": arn }))["taskDefinition"]
            .clone();
    let container = &mut definition["containerDefinitions"][0];
    if !container["environment"].is_array() {
        container["environment"] = json!([]);
    }
    let variable = json!({ "name": "LEGACY_TOKEN", "value": value });
    container["environment"].as_array_mut().unwrap().push(variable);
    let registered = stage.ecs("RegisterTaskDefinition", &definition)["taskDefinition"].clone();
    let update = json!({
        "cluster": "loppestars", "service": "loppestars",
        "taskDefinition": registered["taskDefinitionArn"],
    });
    stage.ecs("UpdateService", &update);
}

/// A command with every secret in its environment that is given there.
fn command(stage: &Stage, planted: &Planted, home: &Home, args: &[&str]) -> Command {
    let mut command = stage.command(args);
    command.env("XTASK_CONFIG", CONFIG);
    home.enter(&mut command);
    command.env("AWS_ACCESS_KEY_ID", "000000000000");
    for (name, planted) in [
        ("AWS_SECRET_ACCESS_KEY", planted.of("aws-secret-key")),
        ("AWS_SESSION_TOKEN", planted.of("aws-session-token")),
        ("ENVIRONMENT_ASKED", planted.of("environment-asked")),
        ("OTHER_SECRET", planted.of("environment-not-asked")),
        ("HTTPS_PROXY", &format!("http://maria:{}@proxy.invalid:3128", planted.of("proxy"))),
    ] {
        command.env(name, planted);
    }
    command
}

fn run(stage: &Stage, planted: &Planted, home: &Home, args: &[&str]) -> Run {
    Run::new(args, command(stage, planted, home, args).output().unwrap())
}

#[test]
fn a_deploy_tells_nobody_a_secret() {
    let stage = Turn::take();
    let planted = Planted::new();
    let home = set_up(&stage, &planted);
    let needles = Needles::new(&planted.values, &stage.path("needles"));
    stage.proxy.set(planted.rules());
    let only_control = BTreeSet::from([CONTROL]);
    let said = |run: &Run| needles.of((run.stdout() + &run.stderr()).as_bytes());

    // Before it is done.
    for args in [&["deploy", "--dry-run", "-vv"][..], &["deploy", "--dry-run", "--format", "json"]]
    {
        let run = run(&stage, &planted, &home, args).code(0);
        assert_eq!(said(&run), only_control, "{run}");
    }

    // While it is done.
    let watch = Watch::start();
    let run_deploy = run(&stage, &planted, &home, &["deploy", "-vv"]);
    let processes = watch.end();
    let run_deploy = run_deploy.code(0).prints("succeeded");
    let log = std::fs::read_to_string(stage.path("target/xtask/build.log")).unwrap();
    for name in ["file", "dotenv", "environment"] {
        let said = format!("/run/secrets/from-{name} says ***\n");
        assert!(log.contains(&said), "the step has its secrets: {log}");
    }
    assert_eq!(said(&run_deploy), only_control, "{run_deploy}");
    nobody_sees(&stage, &needles, &processes);
    home.is_as_it_was(&planted);

    // What it leaves.
    let folders =
        ["target/xtask", "run", "tmp", "home/.docker/buildx"].map(|name| stage.path(name));
    assert_eq!(needles.below(&folders, "ministack"), only_control);
    stage.nothing_is_left();
    let digest = digest(&run_deploy);
    for reference in [digest.as_str(), "buildcache"] {
        let found = registry::search(&needles, reference);
        assert_eq!(found.layers, only_control, "{reference}");
        assert!(found.archives > 1 && found.documents.is_subset(&only_control), "{found:?}");
    }

    // What is asked for afterwards.
    for args in [
        &["status", "-vv"][..],
        &["status", "--format", "json"],
        &["doctor", "-vv"],
        &["doctor", "--format", "json"],
        &["history"],
    ] {
        let run = run(&stage, &planted, &home, args);
        assert!(said(&run).is_subset(&only_control), "{run}");
    }

    // The same with provenance, which names build arguments.
    let args = ["build", "--push", "--force", "-vv", "--format", "json"];
    let mut with_provenance = command(&stage, &planted, &home, &args);
    with_provenance.env(PROVENANCE, "mode=max");
    let report = Run::new(&args, with_provenance.output().unwrap()).code(0).json();
    let mut found = registry::search(&needles, report["digest"].as_str().unwrap());
    assert!(found.attestations > 0, "{found:?}");
    // BuildKit takes the proxy of the user's configuration for a build argument, and writes that
    // down: one more reason why `xtask` asks for no provenance.
    found.documents.remove("proxy");
    assert_eq!((&found.layers, &found.documents), (&only_control, &only_control));
}

/// What processes show: their arguments to everybody, their environment to the same user.
fn nobody_sees(stage: &Stage, needles: &Needles, all: &BTreeSet<Process>) {
    let commands: Vec<&str> = all.iter().map(|process| process.command.as_str()).collect();
    assert_eq!(needles.of(commands.join("\n").as_bytes()), BTreeSet::from([CONTROL]));
    let mark = format!("XDG_RUNTIME_DIR={}", stage.path("run").display());
    // What the user has set is everywhere below; what was only read, nowhere but where it is used.
    let given = [
        "aws-secret-key",
        "aws-session-token",
        "environment-asked",
        "environment-not-asked",
        "proxy",
    ];
    let ours: Vec<_> = all.iter().filter(|process| process.environment.contains(&mark)).collect();
    let builds = ours.iter().filter(|process| {
        process.command.contains("buildx build") && process.command.contains("--secret")
    });
    let mut builds: BTreeSet<u32> = builds.map(|process| process.pid).collect();
    assert!(!builds.is_empty(), "the build is seen");
    // And what it starts: plug-ins, credential helpers.
    loop {
        let started = ours.iter().filter(|process| builds.contains(&process.parent));
        let all: BTreeSet<u32> = builds.iter().copied().chain(started.map(|p| p.pid)).collect();
        if all == builds {
            break;
        }
        builds = all;
    }
    let mut seen = BTreeSet::new();
    for process in ours {
        let mut found = needles.of(process.environment.as_bytes());
        found.retain(|name| !given.contains(name));
        if builds.contains(&process.pid) {
            seen.append(&mut found);
        }
        assert_eq!(found, BTreeSet::new(), "{}", process.command);
    }
    assert_eq!(seen, BTreeSet::from(["dotenv-asked"]), "a build gets its secret");
    // Nor do steps of the build and containers get what the user has set.
    let others: Vec<&str> = all
        .iter()
        .filter(|process| !process.environment.contains(&mark))
        .map(|process| process.environment.as_str())
        .collect();
    let mut found = needles.of(others.join("\n").as_bytes());
    // The service's own; and docker gives steps the proxy of the user's configuration.
    let own = ["runtime", "task-environment", "proxy", CONTROL];
    found.retain(|name| !own.contains(name));
    assert_eq!(found, BTreeSet::new());
}

fn digest(run: &Run) -> String {
    let text = run.stdout() + &run.stderr();
    let start = text.find("loppestars@sha256:").unwrap() + "loppestars@".len();
    text[start..start + "sha256:".len() + 64].to_owned()
}

#[test]
fn a_deploy_that_is_killed_leaves_no_token() {
    let stage = Turn::take();
    let planted = Planted::new();
    let token = planted.authorization().strip_prefix("Basic ").unwrap();
    for call in ["PUT /v2/loppestars/blobs/uploads/*", "PUT /v2/loppestars/manifests/*", "GET /v2/"]
    {
        let mut rules = vec![Rule::always(call, Fault::Hang)];
        rules.extend(planted.rules());
        stage.proxy.set(rules);
        stage.version("serves");
        let deploy = stage.start(&["deploy", "--format", "json"]);
        // The first faults are the token and the login.
        stage.proxy.wait_for(call);
        let has_token = || {
            let run = std::fs::read_dir(stage.path("run")).unwrap();
            let mut texts =
                run.map(|dir| std::fs::read_to_string(dir.unwrap().path().join("config.json")));
            texts.any(|text| text.is_ok_and(|text| text.contains(token)))
        };
        assert_eq!(has_token(), call != "GET /v2/", "{call}: as long as it is needed");
        deploy.signal("KILL");
        let run = deploy.end();
        assert!(!run.stderr().contains(planted.of("ecr-token")), "{run}");
        stage.nothing_is_left();
    }
}
