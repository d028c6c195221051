//! `cargo xtask local`

use anyhow::Result;

use crate::local::{self, Place};
use crate::ui::Ui;
use xtask_core::config::Config;
use xtask_core::exit::Exit;

/// Starts the local stand-in for AWS.
///
/// # Errors
/// Something is missing on this machine, or a step fails.
pub async fn up(ui: &Ui, config: &Config) -> Result<Exit> {
    let place = Place::of(config)?;
    local::up(ui, &place).await?;
    let status = local::status(&place).await?;
    let name = &place.environment.name;
    ui.result(&status, || format!("{}next  cargo xtask deploy --env {name}\n", status.text()))?;
    Ok(Exit::Success)
}

/// Stops it, and removes what it started.
///
/// # Errors
/// Something of it does not end.
pub async fn down(ui: &Ui, config: &Config) -> Result<Exit> {
    let place = Place::of(config)?;
    let down = local::down(ui, &place).await?;
    ui.result(&down, || match (down.ended.as_slice(), down.containers, down.images) {
        ([], 0, 0) => "nothing was running".to_owned(),
        ([], containers, images) => format!("removed {containers} containers, {images} images"),
        (ended, containers, images) => {
            format!("ended {}; removed {containers} containers, {images} images", ended.join(", "))
        }
    })?;
    Ok(Exit::Success)
}

/// Shows what of it runs. Ends with 3 when something does not.
///
/// # Errors
/// `xtask.toml` is wrong.
pub async fn status(ui: &Ui, config: &Config) -> Result<Exit> {
    let place = Place::of(config)?;
    let status = local::status(&place).await?;
    ui.result(&status, || status.text())?;
    Ok(if status.up { Exit::Success } else { Exit::Prerequisite })
}
