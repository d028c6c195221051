//! The base image: pulled, or made on this machine where no registry can be reached.

use std::time::Duration;

use anyhow::Result;

use crate::proc::{Env, Input, captured_within, stream};
use crate::ui::Ui;
use xtask_core::event::Event;
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::argv::Argv;

/// How long a pull may take. The image is about 50 MB; a registry that can not be reached says
/// so within seconds, or never.
const PULL: Duration = Duration::from_secs(90);

/// Pulls the official image, or makes another. Returns the name of what is there now.
///
/// # Errors
/// [`Exit::Prerequisite`]: neither succeeds.
pub async fn get(
    ui: &Ui,
    official: &str,
    made: &str,
    make: &Argv,
    root: &std::path::Path,
) -> Result<String> {
    let pull = Argv::docker(["pull", "--quiet", official]);
    let why = match captured_within(pull, Env::default(), PULL).await? {
        Some(output) if output.ok() => return Ok(official.to_owned()),
        Some(output) => output.reason().to_owned(),
        None => format!("no answer within {} s", PULL.as_secs()),
    };
    let text = format!("{official} can not be pulled ({why}), so {made} is made here");
    ui.emit(&Event::Warning {
        text,
        hint: Some(format!(
            "it stands in for {official} on this machine only: production builds from the official one"
        )),
    });
    let (send, mut lines) = tokio::sync::mpsc::unbounded_channel();
    let (argv, dir) = (make.clone(), root.to_owned());
    let making = tokio::task::spawn_blocking(move || {
        stream(&argv, &Env::default(), Some(&dir), Input::Nothing, |line| {
            // Nobody listens any more after an interruption.
            let _ = send.send(line.to_owned());
        })
    });
    while let Some(text) = lines.recv().await {
        ui.emit(&Event::Note { text });
    }
    let output = making.await??;
    if output.ok() {
        return Ok(made.to_owned());
    }
    let said = |prefix: &str| {
        output.stderr.lines().find_map(|line| line.strip_prefix(prefix)).map(str::to_owned)
    };
    let reason = said("error: ").unwrap_or_else(|| output.reason().to_owned());
    let hint = said("hint: ").unwrap_or_else(|| format!("see what is wrong with `{make}`"));
    Err(Failure::new(
        Exit::Prerequisite,
        format!("no base image: {official}: {why}; {made}: {reason}"),
    )
    .hint(hint)
    .into())
}
