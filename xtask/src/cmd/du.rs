//! `cargo xtask du`

use anyhow::Result;

use crate::cli::DuArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::ui::Ui;

pub async fn run(_ui: &Ui, _config: &Config, _args: &DuArgs) -> Result<Exit> {
    anyhow::bail!("not here yet")
}
