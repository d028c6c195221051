//! Creates and removes the configured builder, and no other.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::interrupt::remember;
use crate::proc;
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::argv::Argv;
use xtask_core::plan::builder::{Creation, remove};

/// Creates a builder, with all its nodes or not at all.
///
/// # Errors
/// [`Exit::Prerequisite`]: buildx can not create it or start it.
pub async fn create(creation: &Creation) -> Result<()> {
    remember("builder", "the builder may be created: `docker buildx ls` shows it");
    if let Some(config) = &creation.config {
        write_private(&config.path, &config.text)?;
    }
    for (index, argv) in creation.commands.iter().enumerate() {
        let output = proc::run(argv.clone()).await?;
        if output.ok() {
            continue;
        }
        // What buildx could not start, it leaves behind. Only what somebody else created between
        // our look and our command is not ours to remove.
        let others = index == 0 && output.stderr.contains("existing instance");
        if !others {
            proc::run(remove(&creation.name, false)).await?;
        }
        return Err(Failure::new(
            Exit::Prerequisite,
            format!("the builder can not be created: {}", output.reason()),
        )
        .hint(format!("try it by hand: `{argv}`, or set `driver = \"docker\"` in xtask.toml"))
        .into());
    }
    remember("builder", "the builder was created, and is used from now on");
    Ok(())
}

/// Runs the command that removes a builder.
///
/// # Errors
/// [`Exit::Prerequisite`]: buildx can not remove it.
pub async fn rm(argv: &Argv) -> Result<()> {
    remember("builder", "the builder may be removed: `docker buildx ls` shows it");
    let output = proc::run(argv.clone()).await?;
    if output.ok() {
        return Ok(());
    }
    let text = format!("the builder can not be removed: {}", output.reason());
    Err(Failure::new(Exit::Prerequisite, text).hint(format!("try it by hand: `{argv}`")).into())
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .with_context(|| format!("{} can not be written", path.display()))
}
