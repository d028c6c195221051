//! A private Docker configuration that holds the registry's token while it is needed.
//!
//! The user's own configuration is never written to. A copy of it goes into a directory that
//! only we can read, in memory where the machine has a place for that, so that contexts,
//! plug-ins, proxies, credential helpers and builders keep working. The directory is removed
//! on every way out; should we be killed, a guard that waits for our end removes it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::proc::{Env, Guard, Input, stream};
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::argv::Argv;

/// How often a login is tried.
const TRIES: u32 = 3;

/// After the first try; longer after each further one.
const PAUSE: Duration = Duration::from_secs(1);

/// What a user has who never logged in anywhere.
const NO_CONFIG: &str = "{}";

/// The private configuration. Dropping it removes it.
pub struct DockerConfig {
    env: Env,
    dir: TempDir,
    // Only there to be dropped with it.
    _guard: Guard,
}

impl DockerConfig {
    /// Makes one from the user's.
    ///
    /// # Errors
    /// No directory can be made, or the user's configuration can not be read.
    pub fn create(registry: &str) -> Result<Self> {
        let user = user_config_dir();
        let place = private_place();
        let dir = tempfile::Builder::new()
            .prefix("xtask-docker-")
            .tempdir_in(&place)
            .with_context(|| format!("no private directory in {}", place.display()))?;
        let guard = Guard::removes(dir.path())?;
        let text = match &user {
            Some(user) => user_config(&user.join("config.json"))?,
            None => NO_CONFIG.to_owned(),
        };
        let config = private_config(&text, registry, user.as_deref())?;
        std::fs::write(dir.path().join("config.json"), config.to_string())?;
        let mut env = Env::default().with("DOCKER_CONFIG", dir.path().display().to_string());
        if let Some(user) = &user {
            let contexts = user.join("contexts");
            if contexts.is_dir() {
                std::os::unix::fs::symlink(&contexts, dir.path().join("contexts"))?;
            }
            if std::env::var_os("BUILDX_CONFIG").is_none() {
                env = env.with("BUILDX_CONFIG", user.join("buildx").display().to_string());
            }
        }
        Ok(Self { env, dir, _guard: guard })
    }

    /// What makes `docker` use it.
    pub fn env(&self) -> Env {
        self.env.clone()
    }

    /// Logs in; the password goes through standard input. What may pass is tried again.
    ///
    /// # Errors
    /// [`Exit::PushFailed`]: the registry does not take it, or can not be reached.
    /// [`Exit::Prerequisite`]: there is no room for the token.
    pub fn login(&self, registry: &str, user: &str, password: &str) -> Result<()> {
        let argv = login_argv(registry, user);
        let mut tries = 0;
        loop {
            tries += 1;
            let password = Input::Bytes(password.as_bytes().to_vec());
            let output = stream(&argv, &self.env, None, password, |_| {})?;
            if output.ok() {
                return Ok(());
            }
            if tries == TRIES || !may_pass(output.reason()) {
                return Err(refused(registry, output.reason(), self.dir.path()).into());
            }
            std::thread::sleep(PAUSE * tries);
        }
    }
}

/// Whether a login that failed for this reason may go well a moment later. The words are those
/// of Go's network library and of the Docker Engine.
fn may_pass(reason: &str) -> bool {
    let ends = ["EOF", "connection reset by peer", "connection refused", "broken pipe"];
    let busy = ["failed with status: 5", "failed with status: 429"];
    ends.iter().any(|end| reason.ends_with(end)) || busy.iter().any(|busy| reason.contains(busy))
}

fn refused(registry: &str, reason: &str, dir: &Path) -> Failure {
    let text = format!("login to {registry} failed: {reason}");
    if reason.contains("Error saving credentials") {
        let place = dir.parent().unwrap_or(dir).display();
        return Failure::new(Exit::Prerequisite, text)
            .hint(format!("make room in {place}, or name another folder with XDG_RUNTIME_DIR"));
    }
    Failure::new(Exit::PushFailed, text).hint(
        "check that the registry can be reached and that the role may use \
         ecr:GetAuthorizationToken",
    )
}

/// The command that logs in.
pub fn login_argv(registry: &str, user: &str) -> Argv {
    Argv::docker(["login", "--username", user, "--password-stdin", registry])
}

/// The user's configuration as ours: with its plug-ins, and with a plain store for our
/// registry, so that the token does not end in the user's keychain.
fn private_config(text: &str, registry: &str, user: Option<&Path>) -> Result<Value> {
    let mut config: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        Failure::new(Exit::Usage, format!("the Docker configuration is not JSON: {error}"))
            .hint("mend config.json in ~/.docker, or name another folder with DOCKER_CONFIG")
    })?;
    // Docker reads `null` as if the key were not there, and so do we: a token that ends in the
    // user's keychain because of it would stay there.
    config.retain(|_, value| !value.is_null());
    let odd = |key: &str| {
        Failure::new(
            Exit::Usage,
            format!("`{key}` of the Docker configuration is not as it has to be"),
        )
        .hint("mend it in config.json, or name another folder with DOCKER_CONFIG")
    };
    if let Some(auths) = config.get_mut("auths") {
        auths.as_object_mut().ok_or_else(|| odd("auths"))?.remove(registry);
    }
    let helpers = config.entry("credHelpers").or_insert_with(|| json!({}));
    let helpers = helpers.as_object_mut().ok_or_else(|| odd("credHelpers"))?;
    helpers.insert(registry.to_owned(), json!(""));
    if let Some(user) = user {
        let plugins = user.join("cli-plugins").display().to_string();
        let dirs = config.entry("cliPluginsExtraDirs").or_insert_with(|| json!([]));
        let dirs = dirs.as_array_mut().ok_or_else(|| odd("cliPluginsExtraDirs"))?;
        dirs.push(json!(plugins));
    }
    Ok(Value::Object(config))
}

/// The user's configuration as it is, or an empty one where there is none.
fn user_config(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(NO_CONFIG.to_owned()),
        Err(error) => Err(Failure::new(
            Exit::Usage,
            format!("the Docker configuration {} can not be read: {error}", path.display()),
        )
        .hint("make it a file that you may read, or name another folder with DOCKER_CONFIG")
        .into()),
    }
}

fn user_config_dir() -> Option<PathBuf> {
    let named = std::env::var_os("DOCKER_CONFIG").filter(|path| !path.is_empty());
    let dir = named
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".docker")))?;
    // Ours links to it from elsewhere.
    std::path::absolute(dir).ok()
}

/// Where a file stays in memory, if the machine has such a place.
fn private_place() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    runtime
        .into_iter()
        .chain([PathBuf::from("/dev/shm")])
        .find(|place| tempfile::tempfile_in(place).is_ok())
        .unwrap_or_else(std::env::temp_dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask_core::exit::exit_of;

    #[test]
    fn the_users_configuration_is_carried_over_and_the_keychain_is_not_written() {
        let text = r#"{"auths":{"r.example":{"auth":"old"},"other":{"auth":"x"}},
            "credsStore":"desktop","currentContext":"remote","cliPluginsExtraDirs":["/opt/p"]}"#;
        let config = private_config(text, "r.example", Some(Path::new("/home/u/.docker"))).unwrap();
        assert_eq!(config["credHelpers"]["r.example"], "");
        assert_eq!(config["credsStore"], "desktop");
        assert_eq!(config["currentContext"], "remote");
        assert_eq!(config["auths"], json!({"other": {"auth": "x"}}));
        assert_eq!(config["cliPluginsExtraDirs"], json!(["/opt/p", "/home/u/.docker/cli-plugins"]));
    }

    #[test]
    fn a_configuration_that_can_not_be_read_is_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        assert_eq!(user_config(&path).unwrap(), "{}");
        std::fs::create_dir(&path).unwrap();
        let error = user_config(&path).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Usage);
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }

    #[test]
    fn null_is_absent_and_anything_odd_is_refused() {
        let text = r#"{"credsStore":"desktop","credHelpers":null,"cliPluginsExtraDirs":null}"#;
        let config = private_config(text, "r.example", Some(Path::new("/u"))).unwrap();
        assert_eq!(config["credHelpers"]["r.example"], "");
        assert_eq!(config["cliPluginsExtraDirs"], json!(["/u/cli-plugins"]));
        for odd in [r#"{"credHelpers":[]}"#, r#"{"auths":1}"#, r#"{"cliPluginsExtraDirs":""}"#] {
            let error = private_config(odd, "r.example", Some(Path::new("/u"))).unwrap_err();
            assert_eq!(xtask_core::exit::exit_of(&error), Exit::Usage, "{odd}");
        }
    }

    #[test]
    fn nothing_is_left_when_it_is_dropped() {
        let config = DockerConfig::create("r.example").unwrap();
        let env = config.env().0;
        let (_, path) = env.iter().find(|(name, _)| name == "DOCKER_CONFIG").unwrap();
        let path = PathBuf::from(path);
        assert!(path.join("config.json").is_file());
        drop(config);
        assert!(!path.exists());
    }

    #[test]
    fn a_refusal_is_told_from_what_may_pass() {
        for reason in [
            "Error response from daemon: Get \"http://r.example/v2/\": EOF",
            "Error response from daemon: login attempt to http://r.example/v2/ failed with \
             status: 500 Internal Server Error",
        ] {
            assert!(may_pass(reason), "{reason}");
        }
        let denied = "Error response from daemon: login attempt to http://r.example/v2/ failed \
                      with status: 401 Unauthorized";
        assert!(!may_pass(denied));
        assert_eq!(refused("r.example", denied, Path::new("/run/x")).exit, Exit::PushFailed);
        let full = refused(
            "r.example",
            "Error saving credentials: write /run/x/config.json1: no space left on device",
            Path::new("/run/x"),
        );
        assert_eq!(full.exit, Exit::Prerequisite);
        assert!(full.hint.unwrap().starts_with("make room in /run, "));
    }

    #[test]
    fn the_password_is_not_an_argument() {
        let argv = login_argv("r.example", "AWS").to_string();
        assert_eq!(argv, "docker login --username AWS --password-stdin r.example");
    }
}
