//! Brings the local stand-in up.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::companion::{self, Concrete};
use super::{Place, base_image, lock, ministack, process, secret};
use crate::apply::infra::{carry_out, propose, settled};
use crate::aws::{self, Aws, Session};
use crate::interrupt::remember;
use crate::observe::engine::{engine, first_local_image};
use crate::observe::preflight::{Check, well};
use crate::observe::stack;
use crate::ui::Ui;
use xtask_core::event::Event;
use xtask_core::exit::Failure;
use xtask_core::plan::argv::Argv;
use xtask_core::plan::local::{self as plan, Facts, Running, Step, Track, Wanted};

/// Brings up what does not run yet.
///
/// # Errors
/// Something is missing on this machine, or a step fails; what runs by then goes on.
pub async fn up(ui: &Ui, place: &Place<'_>) -> Result<()> {
    let _lock = lock::hold(ui, &place.dir).await?;
    let aws = aws::connect(place.environment).await;
    let (facts, companions) = observe(ui, place, &aws).await?;
    let steps = plan::up(&facts, &wanted(place, &companions));
    let state = format!(
        "what was started goes on: `cargo xtask local up --env {0}` finishes it, \
         `cargo xtask local down --env {0}` ends it",
        place.environment.name
    );
    remember("local", state);
    let up = Up { ui, place, aws: &aws, companions: &companions, of: steps.len() };
    let mut values = BTreeMap::new();
    // Both come to their end, also when one fails: nothing goes on unseen.
    let (emulator, image) = tokio::join!(
        async { up.track(&steps, Track::Emulator, &mut BTreeMap::new()).await },
        async { up.track(&steps, Track::Image, &mut BTreeMap::new()).await }
    );
    both(emulator, image)?;
    up.track(&steps, Track::Then, &mut values).await
}

/// Both ends, or what failed of them.
fn both(emulator: Result<()>, image: Result<()>) -> Result<()> {
    match (emulator, image) {
        (Err(emulator), Err(image)) => {
            let heading = "the emulator does not run, and there is no base image";
            Err(Failure::several(heading, &[emulator, image])
                .hint("what was started goes on; `cargo xtask local up` goes on from there")
                .into())
        }
        (emulator, image) => emulator.and(image),
    }
}

async fn observe(ui: &Ui, place: &Place<'_>, aws: &Aws) -> Result<(Facts, Vec<Concrete>)> {
    let record = process::running(&ministack::files(place))?;
    let port = async {
        match record {
            Some(_) => Ok(format!("{} is ours", place.address)),
            None => ministack::port_is_free(place, aws).await,
        }
    };
    let (engine, python, port) = tokio::join!(engine(), ministack::python(), port);
    let engine = engine.map(|engine| engine.version);
    well(
        ui,
        vec![Check::new("engine", engine), Check::new("python", python), Check::new("port", port)],
    )?;
    let names: Vec<String> = match &place.emulator.base_image {
        Some(base) => vec![base.official.clone(), base.made.clone()],
        None => Vec::new(),
    };
    let (companions, base_image, settings) = tokio::join!(
        companion::concrete(place),
        first_local_image(&names),
        ministack::settings(place)
    );
    let version = &place.emulator.version;
    let print = ministack::fingerprint(&settings?, version);
    let emulator = match record {
        None => Running::No,
        Some(record) if record.settings == print && ministack::ready(place, aws).await => {
            Running::Yes
        }
        Some(_) => Running::Outdated,
    };
    let facts = Facts {
        installed: ministack::installed(&ministack::venv(place), version),
        emulator,
        base_image: names.is_empty() || base_image?.is_some(),
    };
    Ok((facts, companions?))
}

fn wanted(place: &Place<'_>, companions: &[Concrete]) -> Wanted {
    let emulator = place.emulator;
    Wanted {
        version: emulator.version.clone(),
        url: place.url(),
        venv: ministack::venv(place),
        base_image: emulator.base_image.as_ref().map(|base| {
            let make = Argv::new(place.config.root.join(&base.script).display().to_string());
            (base.official.clone(), base.made.clone(), make.arg(&base.made))
        }),
        stack: place
            .environment
            .infra
            .as_ref()
            .map(|infra| (infra.file.stack.clone(), infra.file.template.clone())),
        secret: emulator
            .secret_output
            .clone()
            .map(|output| (output, emulator.made_up_secrets.clone())),
        companions: companions.iter().map(|c| (c.name.clone(), c.argv.clone())).collect(),
    }
}

/// What the steps need.
struct Up<'a> {
    ui: &'a Ui,
    place: &'a Place<'a>,
    aws: &'a Aws,
    companions: &'a [Concrete],
    of: usize,
}

impl Up<'_> {
    /// Takes the steps of a track, one by one. `values` are the secret's, once they are known.
    async fn track(
        &self,
        steps: &[Step],
        track: Track,
        values: &mut BTreeMap<String, String>,
    ) -> Result<()> {
        for (index, step) in steps.iter().enumerate().filter(|(_, step)| step.track() == track) {
            let number = index + 1;
            self.ui.emit(&Event::StepStarted { number, of: self.of, step: step.to_string() });
            let start = Instant::now();
            let detail = Some(self.take(step, values).await?);
            let seconds = start.elapsed().as_secs_f64();
            self.ui.emit(&Event::StepFinished { number, seconds, detail });
        }
        Ok(())
    }

    async fn take(&self, step: &Step, values: &mut BTreeMap<String, String>) -> Result<String> {
        let (ui, place, aws) = (self.ui, self.place, self.aws);
        match step {
            Step::Install { version, venv } => {
                ministack::install(version, venv).await?;
                Ok(format!("MiniStack {version} is installed"))
            }
            Step::Start { url, restart, .. } => {
                if *restart {
                    ministack::stop(place, aws).await?;
                }
                let pid = ministack::start(place, aws).await?;
                Ok(format!("MiniStack answers at {url}, process {pid}"))
            }
            Step::BaseImage { official, made, make } => {
                let name = base_image::get(ui, official, made, make, &place.config.root).await?;
                Ok(format!("base image {name}"))
            }
            Step::Stack { .. } => {
                let proposal = propose(aws, place.environment, &place.config.root).await?;
                let unchanged = proposal.plan.changes.is_empty();
                let text = proposal.plan.to_string();
                let proposal = settled(aws, proposal).await?;
                let session = Session::connect(place.environment).await;
                carry_out(ui, &session, place.environment, &place.config.root, proposal).await?;
                Ok(if unchanged { text } else { "the stack is up".to_owned() })
            }
            Step::Secret { output, keys } => {
                let arn = stack::output(aws, place.environment, output).await?;
                let (filled, made_up) = secret::fill(aws, &arn, keys).await?;
                *values = filled;
                Ok(match made_up {
                    0 => "nothing is empty".to_owned(),
                    _ => format!("{made_up} made up"),
                })
            }
            Step::Companion { name, .. } => {
                let companion = self.companions.iter().find(|c| c.name == *name);
                let companion = companion.context("the plan has a companion that is not there")?;
                let env: Vec<_> = values.clone().into_iter().collect();
                let (pid, started) = companion::run(place, companion, &env).await?;
                let what = if started { "listens" } else { "runs already and listens" };
                Ok(format!("{name} {what} on {}, process {pid}", companion.listens))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask_core::exit::{Exit, exit_of, hint_of};

    #[test]
    fn both_failures_are_told_and_not_that_nothing_was_changed() {
        let failed = |text: &str| -> Result<()> {
            Err(Failure::new(Exit::Prerequisite, text).hint(format!("mend {text}")).into())
        };
        let error = both(failed("a"), failed("b")).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Prerequisite);
        assert_eq!(
            error.to_string(),
            "the emulator does not run, and there is no base image\n  - a\n    mend a\n  - b\n    mend b"
        );
        assert!(hint_of(&error).unwrap().starts_with("what was started goes on"));
        assert_eq!(both(Ok(()), failed("b")).unwrap_err().to_string(), "b");
        assert_eq!(both(failed("a"), Ok(())).unwrap_err().to_string(), "a");
        both(Ok(()), Ok(())).unwrap();
    }
}
