//! `cargo xtask prune`

use anyhow::Result;

use crate::cli::PruneArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::ui::Ui;

pub async fn run(_ui: &Ui, _config: &Config, _args: &PruneArgs) -> Result<Exit> {
    anyhow::bail!("not here yet")
}
