//! A user's home with a Docker configuration in which there is everything, and a `docker` that
//! tells what it sees of it when `xtask` builds.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

use super::{PROVENANCE, Planted};
use crate::e2e::faults::Stage;
use crate::e2e::project::PORT;

/// The user's home.
pub struct Home {
    home: PathBuf,
    bin: PathBuf,
    before: BTreeMap<PathBuf, Vec<u8>>,
}

/// Stands before the real one. Within a build it asks the real one, in the environment that
/// `xtask` gave it, what there is: contexts, plug-ins, builders, and somebody who has the
/// credentials of another registry.
const DOCKER: &str = r#"#!/bin/bash
if [[ "$1 $2" == 'buildx build' && $DOCKER_CONFIG == *xtask-docker-* ]]; then
    {
        REAL context ls --format 'context {{.Name}} {{.Current}}'
        REAL planted
        REAL buildx ls --format 'builder {{.Name}}'
        REAL login REGISTRY < /dev/null
    } >> SEEN 2>&1
    if [[ -n $PROVENANCE ]]; then
        set -- "${@/--provenance=false/--provenance=$PROVENANCE}"
    fi
fi
exec REAL "$@"
"#;

const HELPER: &str = r#"#!/bin/bash
asked=$(cat)
echo "$1 $asked" >> ASKED
if [[ $1 == get && $asked == REGISTRY ]]; then
    echo '{"ServerURL":"REGISTRY","Username":"maria","Secret":"PLANTED"}'
elif [[ $1 == get ]]; then
    echo 'credentials not found in native keychain'
    exit 1
fi
"#;

const PLUGIN: &str = r#"#!/bin/bash
if [[ $1 == docker-cli-plugin-metadata ]]; then
    echo '{"SchemaVersion":"0.1.0","Vendor":"test","Version":"1"}'
else
    echo 'the plug-in runs'
fi
"#;

impl Home {
    /// Makes one on the stage.
    pub fn new(stage: &Stage, planted: &Planted) -> Self {
        let (home, bin) = (stage.path("home"), stage.path("bin"));
        for folder in [home.join(".docker/cli-plugins"), bin.clone()] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let other = format!("localhost:{PORT}");
        let script = |path: PathBuf, text: &str| {
            let text = text
                .replace("REAL", &real_docker().display().to_string())
                .replace("REGISTRY", &other)
                .replace("SEEN", &home.join("seen").display().to_string())
                .replace("ASKED", &home.join("asked").display().to_string())
                .replace("$PROVENANCE", &format!("${PROVENANCE}"))
                .replace("PLANTED", planted.of("credential-helper"));
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        script(bin.join("docker"), DOCKER);
        script(bin.join("docker-credential-planted"), HELPER);
        script(home.join(".docker/cli-plugins/docker-planted"), PLUGIN);
        let docker = |args: &[&str]| {
            let mut command = Command::new(real_docker());
            let run = command.args(args).env("DOCKER_CONFIG", home.join(".docker")).output();
            let run = run.unwrap();
            assert!(run.status.success(), "{args:?}: {}", String::from_utf8_lossy(&run.stderr));
        };
        let host = "host=unix:///var/run/docker.sock";
        docker(&["context", "create", "planted-context", "--docker", host]);
        let container = ["--name", "planted-builder", "--driver", "docker-container"];
        docker(&[&["buildx", "create"][..], &container].concat());
        let auth = BASE64_STANDARD.encode(format!("maria:{}", planted.of("other-registry")));
        let proxy = format!("http://maria:{}@proxy.invalid:3128", planted.of("proxy"));
        let config = json!({
            "auths": { "other.example": { "auth": auth } },
            "credsStore": "planted",
            "credHelpers": { &other: "planted" },
            "currentContext": "planted-context",
            "proxies": { "default": { "httpsProxy": proxy } },
        });
        std::fs::write(home.join(".docker/config.json"), config.to_string()).unwrap();
        // It notes which builder is the current one.
        docker(&["buildx", "ls"]);
        let before = files(&home.join(".docker"));
        Self { home, bin, before }
    }

    /// Lets a command be of this user.
    pub fn enter(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap();
        command.env("HOME", &self.home).env("PATH", format!("{}:{path}", self.bin.display()));
        command.env_remove("DOCKER_CONFIG").env_remove("DOCKER_HOST");
        command.env_remove("DOCKER_CONTEXT").env_remove("BUILDX_CONFIG");
    }

    /// Asserts that all of it was seen in a build, that none of it has changed, and that nobody
    /// was told the token.
    pub fn is_as_it_was(&self, planted: &Planted) {
        let seen = std::fs::read_to_string(self.home.join("seen")).unwrap();
        for what in [
            "context planted-context true",
            "the plug-in runs",
            "builder planted-builder",
            "Login Succeeded",
        ] {
            assert!(seen.contains(what), "{what} is not among what docker sees: {seen}");
        }
        let asked = std::fs::read_to_string(self.home.join("asked")).unwrap();
        assert!(asked.contains(&format!("get localhost:{PORT}")), "{asked}");
        assert!(!asked.contains(planted.of("ecr-token")), "the keychain was told: {asked}");
        let changed = |(path, text): &(PathBuf, Vec<u8>)| self.before.get(path) != Some(text);
        let now = files(&self.home.join(".docker"));
        assert!(self.before.keys().all(|path| now.contains_key(path)), "{now:?}");
        let changed: Vec<_> = now.into_iter().filter(changed).map(|(path, _)| path).collect();
        assert_eq!(changed, Vec::<PathBuf>::new());
    }
}

/// Every file with its content, but for buildx's own notes of when it built what.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let notes = ["buildx/refs", "buildx/activity", "buildx/.lock", "buildx/.buildNodeID"];
        if notes.iter().any(|notes| path.ends_with(notes)) {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

fn real_docker() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found =
        std::env::split_paths(&path).map(|dir| dir.join("docker")).find(|path| path.is_file());
    found.unwrap()
}
