//! Processes beside the emulator: stand-ins of services that are not AWS's.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Component, Path};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::process::{self, Files};
use super::{Place, fingerprint, owner};
use crate::proc::{Env, captured};
use xtask_core::config::Companion;
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::argv::Argv;

/// How long a start may take.
const START: Duration = Duration::from_secs(20);

/// A companion with its placeholders filled in.
#[derive(Clone, Debug)]
pub struct Concrete {
    /// Its name.
    pub name: String,
    /// Its command.
    pub argv: Argv,
    /// Where it listens.
    pub listens: SocketAddr,
}

/// Fills in the placeholders of the environment's companions.
///
/// # Errors
/// [`Exit::Usage`]: a value in xtask.toml is wrong. [`Exit::Prerequisite`]: the engine does not
/// say what its network is.
pub async fn concrete(place: &Place<'_>) -> Result<Vec<Concrete>> {
    let companions = &place.emulator.companions;
    let needed = companions.iter().any(|c| format!("{c:?}").contains("{gateway}"));
    let gateway = if needed { gateway().await? } else { String::new() };
    companions.iter().map(|companion| fill_in(companion, &gateway, place)).collect()
}

fn fill_in(companion: &Companion, gateway: &str, place: &Place<'_>) -> Result<Concrete> {
    let name = &companion.name;
    let wrong = |what: &str, hint: &str| {
        let section = format!("env.{}.emulator.companions", place.environment.name);
        Failure::new(
            Exit::Usage,
            format!("{}: {section} `{name}`: {what}", place.config.path.display()),
        )
        .hint(hint)
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(wrong("the name is no name of a file", "use letters, digits and `-`").into());
    }
    let mut words = companion.command.iter().map(|word| word.replace("{gateway}", gateway));
    let Some(program) = words.next() else {
        return Err(wrong("`command` is empty", "write the program and its arguments").into());
    };
    let listens = companion.listens.replace("{gateway}", gateway);
    let listens: SocketAddr = listens.parse().map_err(|_| {
        wrong(
            &format!("`listens` is `{listens}`"),
            "write \"{gateway}:PORT\" or \"127.0.0.1:PORT\"",
        )
    })?;
    if listens.ip().is_unspecified() {
        return Err(wrong("it would be reachable from outside", "listen on `{gateway}`").into());
    }
    for seed in &companion.seed {
        if !below_target(Path::new(&seed.to)) {
            return Err(
                wrong(&format!("`to` is `{}`", seed.to), "write a path below `target/`").into()
            );
        }
    }
    Ok(Concrete { name: name.clone(), argv: Argv::new(program).args(words), listens })
}

fn below_target(path: &Path) -> bool {
    let mut parts = path.components();
    parts.next() == Some(Component::Normal("target".as_ref()))
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// The address under which containers reach this machine. Where the engine runs in a virtual
/// machine, that address is the machine's, and what listens on 127.0.0.1 here is reached.
async fn gateway() -> Result<String> {
    let format = "{{range .IPAM.Config}}{{.Gateway}} {{end}}";
    let argv = Argv::docker(["network", "inspect", "bridge", "--format", format]);
    let output = captured(argv, Env::default()).await?;
    if !output.ok() {
        return Err(Failure::new(
            Exit::Prerequisite,
            format!("the engine does not say what its network `bridge` is: {}", output.reason()),
        )
        .hint("see `docker network inspect bridge`; `scripts/onboard` starts an engine")
        .into());
    }
    let first = output.stdout.split_whitespace().find(|word| !word.contains(':'));
    let here = first.and_then(|gateway| {
        let address = SocketAddr::new(gateway.parse().ok()?, 0);
        (owner::try_port(address) == owner::Port::Free).then_some(gateway)
    });
    Ok(here.unwrap_or("127.0.0.1").to_owned())
}

/// The files of a companion's process.
pub fn files(place: &Place<'_>, name: &str) -> Files {
    Files::of(&place.dir.join("companions"), name)
}

/// Whether it runs and answers: its process's id.
///
/// # Errors
/// Its record can not be read.
pub fn running(place: &Place<'_>, companion: &Concrete) -> Result<Option<i32>> {
    let record = process::running(&files(place, &companion.name))?;
    Ok(record.filter(|_| answers(companion.listens)).map(|record| record.pid))
}

/// Sees that it runs with these environment variables. Returns its process's id, and whether
/// it was started now.
///
/// # Errors
/// [`Exit::Prerequisite`]: something else listens there, or it does not start.
pub async fn run(
    place: &Place<'_>,
    companion: &Concrete,
    env: &[(String, String)],
) -> Result<(i32, bool)> {
    seed(place, &companion.name)?;
    let files = files(place, &companion.name);
    let words = std::iter::once(&companion.argv.program).chain(&companion.argv.args);
    let variables = env.iter().flat_map(|(name, value)| [name, value]);
    let settings = fingerprint::of(words.chain(variables));
    if let Some(record) = process::running(&files)? {
        if record.settings == settings && answers(companion.listens) {
            return Ok((record.pid, false));
        }
        process::stop(&files, Duration::from_secs(5)).await?;
    }
    let (name, address) = (&companion.name, companion.listens);
    if owner::try_port(address) == owner::Port::Taken {
        let who = owner::of(address).map_or_else(String::new, |owner| format!(": process {owner}"));
        return Err(Failure::new(
            Exit::Prerequisite,
            format!("{name} can not listen on {address}, something else does{who}"),
        )
        .hint("end that, or set another port in xtask.toml, also in what refers to it")
        .into());
    }
    let (record, process) =
        process::start(&companion.argv, &Env(env.to_vec()), &place.config.root, &files, settings)?;
    let begin = Instant::now();
    while !answers(address) {
        let ended = process.ended()?;
        if ended || begin.elapsed() > START {
            let what = if ended { "ended" } else { "does not listen" };
            let text = format!("{name} {what}; its last line: {}", process::tail(&files.log));
            process::stop(&files, Duration::from_secs(2)).await?;
            return Err(Failure::new(Exit::Prerequisite, text)
                .hint(format!(
                    "its command is `{}`, its log {}",
                    companion.argv,
                    files.log.display()
                ))
                .into());
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    Ok((record.pid, true))
}

fn answers(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
}

fn seed(place: &Place<'_>, name: &str) -> Result<()> {
    let root = &place.config.root;
    let companion = place.emulator.companions.iter().find(|companion| companion.name == name);
    for seed in companion.into_iter().flat_map(|companion| &companion.seed) {
        let (from, to) = (root.join(&seed.from), root.join(&seed.to));
        let text = fs::read(&from).map_err(|error| {
            Failure::new(Exit::Usage, format!("{}: {error}", from.display()))
                .hint(format!("mend `seed` of `{name}` in {}", place.config.path.display()))
        })?;
        if fs::read(&to).is_ok_and(|there| there == text) {
            continue;
        }
        let folder = to.parent().context("a file has no folder")?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        fs::write(&to, text).with_context(|| to.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_stay_below_target() {
        assert!(below_target(Path::new("target/xtask/storage/a.jpg")));
        for path in ["/etc/passwd", "api/x", "target/../x", "../target/x", ""] {
            assert!(!below_target(Path::new(path)), "{path}");
        }
    }
}
