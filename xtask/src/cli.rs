//! What can be typed. The doc comments here are the help.

pub mod build;
pub mod service;
pub mod storage;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use xtask_core::exit;

use build::{BuildArgs, HistoryArgs, RunArgs};
use service::{DeployArgs, LogsArgs, RollbackArgs};
use storage::{BuilderCommand, DuArgs, PruneArgs};

/// Build a container image with Docker buildx, push it to Amazon ECR and roll it out on Amazon ECS.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
#[command(disable_help_subcommand = true, after_help = exit::help())]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
}

/// Options of every command.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// Environment of xtask.toml: `[env.NAME]`
    #[arg(long, global = true, env = "XTASK_ENV", value_name = "NAME")]
    pub env: Option<String>,
    /// Configuration file; without it, xtask.toml here or in a folder above
    #[arg(long, global = true, env = "XTASK_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What standard output carries: text to read, or one JSON object
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Colour on the terminal
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    /// Say more: what was found before anything is done
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What standard output carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text to read.
    Text,
    /// One JSON object.
    Json,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build the image and load it into the local image store, or push it
    Build(BuildArgs),
    /// Build the image and run it on this machine until it is healthy, with its log
    Run(RunArgs),
    /// Build, push, register the task definition, update the service, watch the rollout, verify
    Deploy(DeployArgs),
    /// Put the service back on an earlier revision, and watch that too
    Rollback(RollbackArgs),
    /// What runs, what is rolling out, is it healthy
    Status,
    /// The service's container logs
    Logs(LogsArgs),
    /// Disk usage: builder cache and ECR repository, one table
    Du(DuArgs),
    /// Reclaim builder cache, and with --registry ECR cache and images that nothing uses
    Prune(PruneArgs),
    /// The builder that xtask.toml asks for
    #[command(subcommand)]
    Builder(BuilderCommand),
    /// Builds over time: how long they took, and what came out of the cache
    History(HistoryArgs),
    /// Check everything that a deploy needs; each finding comes with its fix
    Doctor,
    /// The CloudFormation stack
    #[command(subcommand)]
    Infra(InfraCommand),
    /// The local stand-in for AWS, for the environment `local`
    #[command(subcommand)]
    Local(LocalCommand),
    /// Print a shell's completion script
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Options of what changes something.
#[derive(Args, Clone, Copy, Debug)]
pub struct DryRun {
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What to do with the stack.
#[derive(Debug, Subcommand)]
pub enum InfraCommand {
    /// What a deploy of the stack would change
    Diff,
    /// Create or update the stack
    Deploy {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// Show, do nothing
        #[command(flatten)]
        dry: DryRun,
    },
    /// The stack's outputs
    Outputs,
}

/// What to do with the local stand-in for AWS.
#[derive(Debug, Subcommand)]
pub enum LocalCommand {
    /// Start it: emulator, base image, stack
    Up,
    /// Stop it, and remove what it started
    Down,
    /// What of it runs
    Status,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
