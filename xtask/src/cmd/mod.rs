//! One file a command: observe, plan, apply.

mod build;
mod builder;
mod deploy;
mod doctor;
mod du;
mod history;
mod infra;
mod local;
mod logs;
mod prepare;
mod prune;
mod rollback;
mod run;
#[cfg(test)]
mod schema;
mod status;
mod storage;

use anyhow::Result;
use clap::CommandFactory as _;

use crate::cli::{Cli, Command, InfraCommand, LocalCommand};
use crate::ui::Ui;
use xtask_core::config;
use xtask_core::exit::Exit;

/// Runs what was typed.
///
/// # Errors
/// Whatever stops the command.
pub async fn run(cli: &Cli, ui: &Ui) -> Result<Exit> {
    if let Command::Completions { shell } = &cli.command {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut Cli::command(), "cargo-xtask", &mut script);
        ui.raw(&script)?;
        return Ok(Exit::Success);
    }
    let (path, env) = (cli.global.config.clone(), cli.global.env.clone());
    // Beside the runtime's one thread, which has to hear of Ctrl-C also when a file system hangs.
    let config = tokio::task::spawn_blocking(move || config::load(path.as_deref(), env.as_deref()))
        .await??;
    match &cli.command {
        Command::Build(args) => build::run(ui, &config, args).await,
        Command::Run(args) => run::run(ui, &config, args).await,
        Command::Deploy(args) => deploy::run(ui, &config, args).await,
        Command::Rollback(args) => rollback::run(ui, &config, args).await,
        Command::Status => status::run(ui, &config).await,
        Command::Logs(args) => logs::run(ui, &config, args).await,
        Command::Du(args) => du::run(ui, &config, args).await,
        Command::Prune(args) => prune::run(ui, &config, args).await,
        Command::Builder(command) => builder::run(ui, &config, command).await,
        Command::History(args) => history::run(ui, &config, cli.global.env.as_deref(), args).await,
        Command::Doctor => doctor::run(ui, &config).await,
        Command::Infra(InfraCommand::Diff) => infra::diff(ui, &config).await,
        Command::Infra(InfraCommand::Deploy { yes, dry }) => {
            infra::deploy(ui, &config, *yes, dry.dry_run).await
        }
        Command::Infra(InfraCommand::Outputs) => infra::outputs(ui, &config).await,
        Command::Local(LocalCommand::Up) => local::up(ui, &config).await,
        Command::Local(LocalCommand::Down) => local::down(ui, &config).await,
        Command::Local(LocalCommand::Status) => local::status(ui, &config).await,
        Command::Completions { .. } => Ok(Exit::Success),
    }
}
