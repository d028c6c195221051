//! `cargo xtask local`
use crate::{config::Config, exit::Exit, ui::Ui};
use anyhow::Result;
pub async fn up(_ui: &Ui, _config: &Config) -> Result<Exit> {
    anyhow::bail!("x")
}
pub async fn down(_ui: &Ui, _config: &Config) -> Result<Exit> {
    anyhow::bail!("x")
}
pub async fn status(_ui: &Ui, _config: &Config) -> Result<Exit> {
    anyhow::bail!("x")
}
