//! `cargo xtask infra`
use crate::{config::Config, exit::Exit, ui::Ui};
use anyhow::Result;
pub async fn diff(_ui: &Ui, _config: &Config) -> Result<Exit> {
    anyhow::bail!("x")
}
pub async fn deploy(_ui: &Ui, _config: &Config, _yes: bool, _dry: bool) -> Result<Exit> {
    anyhow::bail!("x")
}
pub async fn outputs(_ui: &Ui, _config: &Config) -> Result<Exit> {
    anyhow::bail!("x")
}
