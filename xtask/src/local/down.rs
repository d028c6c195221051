//! Ends the local stand-in, and removes what it left.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::{Place, companion, containers, lock, ministack, owner, process};
use crate::ui::Ui;
use crate::{aws, interrupt};

/// What `down` ended and removed.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Down {
    /// The processes that ran.
    pub ended: Vec<String>,
    /// Containers that were left.
    pub containers: usize,
    /// Images of the emulator's registry.
    pub images: usize,
}

/// Ends what runs. Does nothing where nothing does.
///
/// # Errors
/// A process does not end, or the engine can not be asked. Everything else is ended all the same.
pub async fn down(ui: &Ui, place: &Place<'_>) -> Result<Down> {
    let _lock = lock::hold(ui, &place.dir).await?;
    let again = format!("run `cargo xtask local down --env {}` again", place.environment.name);
    interrupt::remember("local", format!("what was ended stays so: {again}"));
    let aws = aws::connect(place.environment).await;
    let mut down = Down::default();
    let mut errors = Vec::new();
    let mut note = |name: &str, ended: Result<bool>, errors: &mut Vec<anyhow::Error>| match ended {
        Ok(true) => down.ended.push(name.to_owned()),
        Ok(false) => {}
        Err(error) => errors.push(error),
    };
    note("MiniStack", ministack::stop(place, &aws).await, &mut errors);
    for companion in &place.emulator.companions {
        let files = companion::files(place, &companion.name);
        let ended = process::stop(&files, Duration::from_secs(5)).await;
        note(&companion.name, ended, &mut errors);
    }
    match containers::remove_containers(&ministack::label(place)).await {
        Ok(count) => down.containers = count,
        Err(error) => errors.push(error),
    }
    // Another project's emulator may listen there: then the images are that one's.
    if errors.is_empty() && owner::try_port(place.address) == owner::Port::Free {
        match containers::remove_images(&place.environment.registry).await {
            Ok(count) => down.images = count,
            Err(error) => errors.push(error),
        }
    }
    match errors.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(down),
    }
}
