//! MiniStack, the emulator: installation, start, end.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::process::{self, Files};
use super::{Place, fingerprint, owner};
use crate::aws::{Aws, http};
use crate::proc::{self, Env, captured};
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::argv::Argv;

const LAUNCHER: &str = include_str!("launcher.py");

/// MiniStack starts containers through this; any 7.x of it will do.
const DOCKER_CLIENT: &str = "docker>=7,<8";

/// How long a start may take. It takes a second, and more on a machine that is busy.
const START: Duration = Duration::from_secs(60);

/// The folder of everything that MiniStack keeps.
fn home(place: &Place<'_>) -> PathBuf {
    place.dir.join("ministack")
}

/// The folder of its virtual environment.
pub fn venv(place: &Place<'_>) -> PathBuf {
    home(place).join("venv")
}

/// The files of its process.
pub fn files(place: &Place<'_>) -> Files {
    Files::of(&home(place), "ministack")
}

/// The marker of a whole installation, which is written last.
fn marker(venv: &Path) -> PathBuf {
    venv.join("installed")
}

fn requirements(version: &str) -> [String; 2] {
    [format!("ministack=={version}"), DOCKER_CLIENT.to_owned()]
}

/// Whether the pinned version is installed.
pub fn installed(venv: &Path, version: &str) -> bool {
    fs::read_to_string(marker(venv)).is_ok_and(|text| text == requirements(version).join("\n"))
        && venv.join("bin/python").exists()
}

/// Asks for a Python that MiniStack runs on.
///
/// # Errors
/// [`Exit::Prerequisite`]: there is none.
pub async fn python() -> Result<String> {
    let script = "import sys; print('%d.%d.%d' % sys.version_info[:3])";
    let output = captured(Argv::new("python3").args(["-c", script]), Env::default()).await?;
    let version = output.stdout.trim().to_owned();
    if !output.ok() || !recent(&version) {
        let found = if output.ok() { version.as_str() } else { output.reason() };
        return Err(Failure::new(
            Exit::Prerequisite,
            format!("the emulator needs Python 3.10 or newer, and `python3` is: {found}"),
        )
        .hint("install one and put it on PATH first; `scripts/onboard` does on Debian and Ubuntu")
        .into());
    }
    Ok(version)
}

fn recent(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(3), Some(10))
}

/// Installs the pinned version into a virtual environment of its own. pip takes package
/// index, proxy and certificates from its own configuration.
///
/// # Errors
/// [`Exit::Prerequisite`]: the `venv` module is missing, or pip can not install it.
pub async fn install(version: &str, venv: &Path) -> Result<()> {
    if venv.exists() {
        fs::remove_dir_all(venv).with_context(|| venv.display().to_string())?;
    }
    let path = venv.display().to_string();
    let argv = Argv::new("python3").args(["-m", "venv", &path]);
    long(argv, "`scripts/onboard` installs what is missing; on Debian and Ubuntu it is the package python3-venv")
        .await?;
    let wanted = requirements(version);
    let pip = Argv::new(venv.join("bin/python").display().to_string())
        .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(wanted.iter().cloned());
    long(pip, "pip uses this machine's configuration (`pip config list`): check index, proxy and certificates")
        .await?;
    let path = marker(venv);
    fs::write(&path, wanted.join("\n")).with_context(|| path.display().to_string())
}

async fn long(argv: Argv, hint: &str) -> Result<()> {
    let shown = argv.to_string();
    let output = proc::run(argv).await?;
    if output.ok() {
        return Ok(());
    }
    // pip and venv put what went wrong at the end, on one stream or the other.
    let reason = match output.stderr.trim() {
        "" => output.stdout.trim().lines().next_back().unwrap_or("no output").to_owned(),
        _ => output.reason().to_owned(),
    };
    Err(Failure::new(Exit::Prerequisite, format!("`{shown}` failed: {reason}")).hint(hint).into())
}

/// MiniStack's settings, which are environment variables.
///
/// Source: the README of MiniStack.
pub async fn settings(place: &Place<'_>) -> Result<Vec<(String, String)>> {
    let home = home(place);
    let at = |name: &str| home.join(name).display().to_string();
    let mut settings: Vec<(String, String)> = [
        ("BIND_HOST", place.address.ip().to_string()),
        ("GATEWAY_PORT", place.address.port().to_string()),
        ("MINISTACK_ACCOUNT_ID", place.environment.account.clone()),
        ("MINISTACK_REGION", place.environment.region.clone()),
        // Part of the label of its containers.
        ("MINISTACK_HOSTNAME", place.name()),
        // Listeners on further ports that nothing here needs.
        ("IOT_MTLS_ENABLED", "0".into()),
        ("SFTP_ENABLED", "0".into()),
        ("S3_DATA_DIR", at("s3")),
        ("STATE_DIR", at("state")),
        ("TMPDIR", at("tmp")),
        ("PYTHONUNBUFFERED", "1".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    // The engine of the `docker` command's context, which only that command knows.
    if std::env::var_os("DOCKER_HOST").is_none() {
        let format = "{{.Endpoints.docker.Host}}";
        let argv = Argv::docker(["context", "inspect", "--format", format]);
        let output = captured(argv, Env::default()).await?;
        if output.ok() && !output.stdout.trim().is_empty() {
            settings.push(("DOCKER_HOST".into(), output.stdout.trim().into()));
        }
    }
    Ok(settings)
}

/// Stands for the settings, the version and the launcher.
pub fn fingerprint(settings: &[(String, String)], version: &str) -> u64 {
    let settings = settings.iter().flat_map(|(name, value)| [name.as_str(), value]);
    fingerprint::of(settings.chain([version, LAUNCHER]))
}

/// The label of the containers that it starts.
pub fn label(place: &Place<'_>) -> String {
    format!("ministack.instance={}:{}", place.name(), place.address.port())
}

/// Starts MiniStack and waits until it is ready. Returns its process's id.
///
/// # Errors
/// [`Exit::Prerequisite`]: something else listens there, or it does not start.
pub async fn start(place: &Place<'_>, aws: &Aws) -> Result<i32> {
    port_is_free(place, aws).await?;
    let home = home(place);
    for folder in ["s3", "state", "tmp"] {
        let folder = home.join(folder);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let launcher = home.join("launcher.py");
    fs::write(&launcher, LAUNCHER).with_context(|| launcher.display().to_string())?;
    let settings = settings(place).await?;
    let print = fingerprint(&settings, &place.emulator.version);
    let python = venv(place).join("bin/python").display().to_string();
    let argv = Argv::new(python).arg(launcher.display().to_string());
    let files = files(place);
    let (record, process) = process::start(&argv, &Env(settings), &home, &files, print)?;
    let begin = Instant::now();
    loop {
        if ready(place, aws).await {
            return Ok(record.pid);
        }
        let ended = process.ended()?;
        if ended || begin.elapsed() > START {
            let what = if ended { "ended" } else { "is not ready" };
            let text = format!("MiniStack {what}; its last line: {}", process::tail(&files.log));
            process::stop(&files, Duration::from_secs(2)).await?;
            return Err(Failure::new(Exit::Prerequisite, text)
                .hint(format!("its log is {}", files.log.display()))
                .into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether it has started.
pub async fn ready(place: &Place<'_>, aws: &Aws) -> bool {
    let url = format!("{}/_ministack/ready", place.url());
    let answer = http::get(&aws.http, &url, &BTreeMap::new(), Duration::from_secs(2)).await;
    answer.is_ok_and(|answer| answer.status == 200)
}

/// The version of the MiniStack that answers, if one does.
pub async fn version(place: &Place<'_>, aws: &Aws) -> Option<String> {
    let url = format!("{}/_ministack/health", place.url());
    let answer = http::get(&aws.http, &url, &BTreeMap::new(), Duration::from_secs(2)).await.ok()?;
    let health: Value = serde_json::from_str(&answer.body).ok()?;
    health["version"].as_str().map(str::to_owned)
}

/// Ends it: lets it remove its containers first, which it does not do on SIGTERM. Returns
/// whether it ran.
///
/// # Errors
/// It does not end.
pub async fn stop(place: &Place<'_>, aws: &Aws) -> Result<bool> {
    let files = files(place);
    if process::running(&files)?.is_some() {
        let url = format!("{}/_ministack/reset", place.url());
        // One that hangs is ended all the same, and its containers are removed by their label.
        let _ = http::post(&aws.http, &url, Duration::from_secs(30)).await;
    }
    process::stop(&files, Duration::from_secs(10)).await
}

/// Sees that nobody else listens where it is going to.
///
/// # Errors
/// [`Exit::Prerequisite`]: somebody does.
pub async fn port_is_free(place: &Place<'_>, aws: &Aws) -> Result<String> {
    if owner::try_port(place.address) != owner::Port::Taken {
        return Ok(format!("{} is free", place.address));
    }
    let who = match version(place, aws).await {
        Some(version) => {
            format!("a MiniStack {version} that `local up` of this project did not start")
        }
        None => "something else".to_owned(),
    };
    let (process, kill) = match owner::of(place.address) {
        Some(owner) => {
            let pid = owner.split(' ').next().unwrap_or_default().to_owned();
            (format!(", process {owner}"), format!("end it (`kill {pid}`)"))
        }
        None => (String::new(), format!("end it (`lsof -i :{}` finds it)", place.address.port())),
    };
    let name = &place.environment.name;
    Err(Failure::new(
        Exit::Prerequisite,
        format!("{who} listens on {}{process}", place.address),
    )
    .hint(format!(
        "{kill}, or set another port in `endpoint-url`, `registry` and the URLs of [env.{name}] in xtask.toml"
    ))
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_counts_when_it_is_whole_and_of_that_version() {
        let dir = tempfile::tempdir().unwrap();
        let venv = dir.path();
        fs::create_dir(venv.join("bin")).unwrap();
        fs::write(venv.join("bin/python"), "").unwrap();
        assert!(!installed(venv, "1.2"), "half-installed: no marker");
        fs::write(marker(venv), requirements("1.2").join("\n")).unwrap();
        assert!(installed(venv, "1.2"));
        assert!(!installed(venv, "1.3"));
        fs::remove_file(venv.join("bin/python")).unwrap();
        assert!(!installed(venv, "1.2"), "its Python is gone");
    }

    #[test]
    fn old_pythons_are_told_from_recent_ones() {
        assert!(recent("3.10.0") && recent("3.13.5") && recent("4.0"));
        assert!(!recent("3.9.18") && !recent("2.7") && !recent("") && !recent("x"));
    }

    #[test]
    fn every_setting_counts() {
        let one = [("A".to_owned(), "1".to_owned())];
        let two = [("A".to_owned(), "2".to_owned())];
        assert_ne!(fingerprint(&one, "1"), fingerprint(&two, "1"));
        assert_ne!(fingerprint(&one, "1"), fingerprint(&one, "2"));
    }
}
