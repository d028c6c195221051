//! Runs a container of the built image until it is healthy, and on with its log.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedReceiver;

use super::Context;
use crate::aws::{self, http};
use crate::interrupt;
use crate::proc::{Env, Input, capture, captured, stream};
use crate::ui::human_seconds;
use xtask_core::event::Event;
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::argv::Argv;
use xtask_core::plan::run::{Health, Run};
use xtask_core::units::format_duration;

/// The subject of what an interruption says and undoes.
const CONTAINER: &str = "container";

/// How long between two looks at the container.
const PAUSE: Duration = Duration::from_millis(100);

/// How long one answer of the health URL may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a run went.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Ran {
    /// The image.
    pub image: String,
    /// Where it answered.
    pub url: String,
    /// From the start of the container until it was healthy.
    #[serde(rename = "healthy-after-seconds")]
    pub healthy_after: f64,
}

/// The part of `docker inspect` that is of interest.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    running: bool,
    exit_code: i32,
    health: Option<HealthState>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HealthState {
    status: String,
}

/// Starts the container and waits until it is healthy; then goes on with its log until it ends
/// or we are interrupted, unless only its health was wanted. It is removed on every way out.
///
/// # Errors
/// [`Exit::Prerequisite`]: it can not be started. [`Exit::VerificationFailed`]: it ended, or did
/// not become healthy in time.
pub async fn run(context: &Context<'_>, run: &Run) -> Result<Ran> {
    // One of an earlier run that was killed.
    remove(run).await?;
    let name = &run.container;
    interrupt::remember(CONTAINER, format!("the container {name} is being removed"));
    let removal = run.remove.clone();
    interrupt::undo_with(CONTAINER, async move {
        // Not as one of the commands that an interruption ends. What can not be removed now is
        // removed by the next run.
        let _ = tokio::task::spawn_blocking(move || capture(&removal, &Env::default())).await;
    });
    let result = started(context, run).await;
    remove(run).await?;
    interrupt::keep(CONTAINER);
    result
}

async fn started(context: &Context<'_>, run: &Run) -> Result<Ran> {
    let variables = run.variables.iter();
    let env = variables.fold(Env::default(), |env, (name, value)| env.with(name, &value.0));
    let start = Instant::now();
    let output = captured(run.start.clone(), env).await?;
    if !output.ok() {
        let text = format!("the container can not be started: {}", output.reason());
        return Err(Failure::new(Exit::Prerequisite, text)
            .hint("`--port` chooses another port; `--dry-run` shows the command")
            .into());
    }
    let show = |line| context.ui.emit(&Event::ContainerLog { line });
    // From the start: it says what keeps the container from becoming healthy.
    let mut log = follow(run.follow.clone());
    let healthy = tokio::time::timeout(run.timeout, healthy(run));
    tokio::pin!(healthy);
    let end = loop {
        tokio::select! {
            Some(line) = log.recv() => show(line),
            end = &mut healthy => break end,
        }
    };
    let healthy_after = start.elapsed().as_secs_f64();
    match end {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            // What it said last may be the reason.
            while let Some(line) = log.recv().await {
                show(line);
            }
            return Err(error);
        }
        Err(_) => {
            let limit = format_duration(run.timeout);
            return Err(Failure::new(
                Exit::VerificationFailed,
                format!("{} is not healthy after {limit}", run.image),
            )
            .hint("its log above may say why; `timeout` in [run] of xtask.toml gives it longer")
            .into());
        }
    }
    let ran = Ran { image: run.image.clone(), url: run.url.clone(), healthy_after };
    if run.until_healthy {
        return Ok(ran);
    }
    context.ui.emit(&Event::Note { text: format!("{ran}; Ctrl-C ends it") });
    while let Some(line) = log.recv().await {
        show(line);
    }
    match state(run).await?.exit_code {
        0 => Ok(ran),
        code => Err(ended(run, code).into()),
    }
}

/// The lines of the container's log as they come, until it ends.
fn follow(argv: Argv) -> UnboundedReceiver<String> {
    let (sender, lines) = tokio::sync::mpsc::unbounded_channel();
    tokio::task::spawn_blocking(move || {
        stream(&argv, &Env::default(), None, Input::Nothing, |line| {
            // Nobody listens any more when only its health was wanted.
            let _ = sender.send(line.to_owned());
        })
    });
    lines
}

/// Waits until the container is healthy.
async fn healthy(run: &Run) -> Result<()> {
    let client = aws::http_client();
    loop {
        let state = state(run).await?;
        if !state.running {
            return Err(ended(run, state.exit_code).into());
        }
        let healthy = match (&run.health, &state.health) {
            (Health::Url(url), _) => {
                let answer = http::get(&client, url, &BTreeMap::new(), PATIENCE).await;
                answer.is_ok_and(|answer| answer.status == 200)
            }
            (Health::Image, Some(health)) => health.status == "healthy",
            (Health::Image, None) => {
                let text = format!("nothing tells whether {} is healthy", run.image);
                return Err(Failure::new(Exit::Usage, text)
                    .hint("give the image a HEALTHCHECK, or set `health` in [run] of xtask.toml")
                    .into());
            }
        };
        if healthy {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn state(run: &Run) -> Result<State> {
    let argv = Argv::docker(["inspect", "--format", "{{json .State}}", &run.container]);
    let output = captured(argv, Env::default()).await?;
    serde_json::from_str(&output.stdout).map_err(|_| {
        let text = format!("the container {} is gone: {}", run.container, output.reason());
        Failure::new(Exit::VerificationFailed, text).hint("somebody else removed it").into()
    })
}

async fn remove(run: &Run) -> Result<()> {
    let output = captured(run.remove.clone(), Env::default()).await?;
    if output.ok() {
        return Ok(());
    }
    let text = format!("the container {} can not be removed: {}", run.container, output.reason());
    Err(Failure::new(Exit::Prerequisite, text).hint(format!("try it: `{}`", run.remove)).into())
}

fn ended(run: &Run, code: i32) -> Failure {
    Failure::new(
        Exit::VerificationFailed,
        format!("the container of {} ended by itself with {code}", run.image),
    )
    .hint("its log is above; [run.environment] in xtask.toml sets what it needs")
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, healthy_after, .. } = self;
        write!(f, "healthy after {}, {url}", human_seconds(*healthy_after))
    }
}
