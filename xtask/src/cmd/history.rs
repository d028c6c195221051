//! `cargo xtask history`

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::storage::now;
use crate::cli::build::HistoryArgs;
use crate::observe::engine::engine;
use crate::observe::history::{buildkit_history, history};
use crate::ui::{Ui, table};
use xtask_core::config::Config;
use xtask_core::event::Event;
use xtask_core::exit::{Exit, Failure};
use xtask_core::history::summary::{buildkit_rows, rows, trend};
use xtask_core::history::{BuildkitBuild, Record, Summary, page};

/// What `history` reports.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) struct Report<'a> {
    /// The builds that are shown, summed up.
    summary: &'a Summary,
    /// Builds of this project, the oldest first.
    builds: &'a [Record],
    /// The builder whose own history is shown; `null` when it tells none.
    builder: Option<&'a str>,
    /// Builds that it remembers besides, of whatever project, the newest first.
    other_builds: &'a [BuildkitBuild],
}

/// Shows earlier builds: those that were recorded here, and those that BuildKit remembers.
/// `environment` is the one whose builds are meant; without it all are.
///
/// # Errors
/// The page can not be written.
pub async fn run(
    ui: &Ui,
    config: &Config,
    environment: Option<&str>,
    args: &HistoryArgs,
) -> Result<Exit> {
    let root = config.root.clone();
    let recorded = tokio::task::spawn_blocking(move || history(&root));
    let (recorded, remembered) = tokio::join!(recorded, remembered(ui, config));
    let recorded = recorded?;
    let (builder, mut others) = remembered.unzip();
    // What this project built is told in full above, whichever part of that is shown.
    let others = others.get_or_insert_default();
    others.retain(|build| !build.is_recorded(&recorded));
    others.truncate(args.limit);
    let of_environment = |record: &Record| {
        environment.is_none_or(|name| record.environment.as_deref() == Some(name))
    };
    let mut builds: Vec<Record> = recorded.into_iter().filter(of_environment).collect();
    builds.drain(..builds.len().saturating_sub(args.limit));

    let report = Report {
        summary: &Summary::of(&builds),
        builds: &builds,
        builder: builder.as_deref(),
        other_builds: others,
    };
    ui.result(&report, || text(&report, now()))?;
    if let Some(path) = &args.html {
        write(path, &page::html(&builds, &format!("Builds of {}", config.image.name)))?;
        ui.emit(&Event::Note { text: format!("{} shows the same", path.display()) });
    }
    Ok(Exit::Success)
}

fn text(report: &Report<'_>, now: i64) -> String {
    let mut blocks = Vec::new();
    if report.builds.is_empty() {
        blocks.push("no build is recorded here yet: `cargo xtask build` records each".to_owned());
    } else {
        blocks.push(table(&rows(report.builds, now)));
        blocks.push(trend(report.builds).join("\n"));
    }
    if let Some(builder) = report.builder.filter(|_| !report.other_builds.is_empty()) {
        let others = table(&buildkit_rows(report.other_builds, now));
        blocks.push(format!("other builds that the builder `{builder}` remembers\n{others}"));
    }
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n\n")
}

/// The builder's name and what BuildKit remembers. `None` where nobody can be asked, or it
/// remembers nothing: the record of this project is there all the same.
async fn remembered(ui: &Ui, config: &Config) -> Option<(String, Vec<BuildkitBuild>)> {
    let asked = async {
        let name = match &config.builder.name {
            Some(name) => name.clone(),
            None => engine().await?.context,
        };
        let builds = buildkit_history(&name).await?;
        anyhow::Ok((name, builds))
    };
    asked.await.inspect_err(|error| ui.emit(&Event::Detail { text: format!("{error:#}") })).ok()
}

fn write(path: &Path, page: &str) -> Result<()> {
    Ok(std::fs::write(path, page).map_err(|error| {
        Failure::new(Exit::Usage, format!("--html {}: {error}", path.display()))
            .hint("name a file in a folder that exists")
    })?)
}
