//! What can be typed. The doc comments here are the help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use xtask_core::exit;

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

/// How to build.
#[derive(Args, Clone, Debug, Default)]
pub struct HowToBuild {
    /// Build every step again
    #[arg(long)]
    pub no_cache: bool,
    /// Build with the newest base images
    #[arg(long)]
    pub pull: bool,
    /// Look for newer base images, and build only if there are
    #[arg(long)]
    pub refresh: bool,
    /// How the build's progress is shown
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub progress: Progress,
}

/// How a build's progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// Live on a terminal, else plain.
    #[default]
    Auto,
    /// One line a step.
    Plain,
    /// Only the result.
    Quiet,
}

/// Options of `build`.
#[derive(Args, Debug)]
pub struct BuildArgs {
    /// Load the image into the local image store (the default)
    #[arg(long, conflicts_with = "push")]
    pub load: bool,
    /// Push the image to the environment's repository
    #[arg(long)]
    pub push: bool,
    /// Build up to this stage of the Dockerfile
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Also write the build as a waterfall: FILE.html as a page, FILE.json for Perfetto
    #[arg(long, value_name = "FILE")]
    pub timeline: Option<PathBuf>,
    /// A further tag; may be repeated
    #[arg(long = "tag", short = 't', value_name = "TAG")]
    pub tags: Vec<String>,
    /// Push a build also when the repository has an image of the same inputs
    #[arg(long, requires = "push")]
    pub force: bool,
    /// How to build
    #[command(flatten)]
    pub how: HowToBuild,
    /// Show, do nothing
    #[command(flatten)]
    pub dry: DryRun,
}

/// Options of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The port of this machine; without it, the one that the service listens on
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// End as soon as it is healthy
    #[arg(long)]
    pub until_healthy: bool,
    /// How to build
    #[command(flatten)]
    pub how: HowToBuild,
    /// Show, do nothing
    #[command(flatten)]
    pub dry: DryRun,
}

/// Options of `deploy`.
#[derive(Args, Debug)]
pub struct DeployArgs {
    /// Deploy what was already pushed, by its digest or tag, and build nothing
    #[arg(long, value_name = "DIGEST|TAG", conflicts_with_all = ["no_cache", "pull", "refresh"])]
    pub image: Option<String>,
    /// Roll out also when nothing changed
    #[arg(long)]
    pub force: bool,
    /// What to do when another deploy or deployment of the service is under way
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub if_busy: IfBusy,
    /// Put the earlier revision back when the rollout or a check fails and ECS did not
    #[arg(
        long,
        value_name = "true|false",
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true"
    )]
    pub rollback_on_failure: bool,
    /// Leave the new revision in place: --rollback-on-failure=false
    #[arg(long, conflicts_with = "rollback_on_failure")]
    pub no_rollback: bool,
    /// How to build
    #[command(flatten)]
    pub how: HowToBuild,
    /// Show, do nothing
    #[command(flatten)]
    pub dry: DryRun,
}

impl DeployArgs {
    /// Whether the earlier revision is put back after a failure.
    pub fn puts_back(&self) -> bool {
        self.rollback_on_failure && !self.no_rollback
    }
}

/// What to do when another deployment is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum IfBusy {
    /// Wait for it to end.
    #[default]
    Wait,
    /// Take its place.
    Supersede,
    /// Stop here.
    Abort,
}

impl From<IfBusy> for xtask_core::plan::deploy::IfBusy {
    fn from(typed: IfBusy) -> Self {
        match typed {
            IfBusy::Wait => Self::Wait,
            IfBusy::Supersede => Self::Supersede,
            IfBusy::Abort => Self::Abort,
        }
    }
}

/// Options of `rollback`.
#[derive(Args, Debug)]
pub struct RollbackArgs {
    /// The revision to go back to; without it, the one that ran before
    #[arg(long, value_name = "REVISION")]
    pub to: Option<u64>,
    /// What to do when a deployment is under way: it may be what went wrong
    #[arg(long, value_enum, default_value_t = IfBusy::Supersede, value_name = "WHAT")]
    pub if_busy: IfBusy,
    /// Show, do nothing
    #[command(flatten)]
    pub dry: DryRun,
}

/// Options of `logs`.
#[derive(Args, Debug)]
pub struct LogsArgs {
    /// Go on with what is logged from now on, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// How far back to begin, such as 90s or 2h
    #[arg(long, value_name = "AGE", default_value = "10m")]
    pub since: String,
    /// Only this service
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Only this container
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Only this task: its id, or the beginning of it
    #[arg(long, value_name = "ID")]
    pub task: Option<String>,
}

/// Options of `du`.
#[derive(Args, Debug)]
pub struct DuArgs {
    /// Only the builder's cache: asks nothing of AWS
    #[arg(long)]
    pub builder_only: bool,
}

/// Options of `prune`.
#[derive(Args, Debug)]
pub struct PruneArgs {
    /// Also what images share and images of frontends: the whole builder cache
    #[arg(long)]
    pub all: bool,
    /// Only what no build used for this long, such as 36h or 7d
    #[arg(long, value_name = "AGE")]
    pub older_than: Option<String>,
    /// Only as much as brings the builder cache down to this, such as 2GB
    #[arg(long, alias = "keep-storage", value_name = "SIZE")]
    pub max_used_space: Option<String>,
    /// Keep this much in any case, also of what is old
    #[arg(long, value_name = "SIZE")]
    pub reserved_space: Option<String>,
    /// Stop when the builder's disk has this much free space
    #[arg(long, value_name = "SIZE")]
    pub min_free_space: Option<String>,
    /// Keep cache mounts: the caches of package managers
    #[arg(long)]
    pub keep_mounts: bool,
    /// Also the ECR repository: its cache tag, and untagged images that nothing uses
    #[arg(long)]
    pub registry: bool,
    /// The ECR repository, and not the builder's cache
    #[arg(long, conflicts_with_all = [
        "registry", "all", "older_than", "max_used_space", "reserved_space", "min_free_space", "keep_mounts"
    ])]
    pub registry_only: bool,
    /// Also old revisions of the services' task definitions: beyond `keep-task-definitions` in [prune]
    #[arg(long)]
    pub task_definitions: bool,
    /// Old revisions of the services' task definitions, and not the builder's cache
    #[arg(long, conflicts_with_all = [
        "registry", "registry_only", "task_definitions", "all", "older_than", "max_used_space",
        "reserved_space", "min_free_space", "keep_mounts"
    ])]
    pub task_definitions_only: bool,
    /// Delete nothing, and tell what the repository's own lifecycle policy would take, and what
    /// of that is in use; with FILE, what that policy would
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with_all = [
        "registry", "registry_only", "task_definitions", "task_definitions_only", "all", "older_than",
        "max_used_space", "reserved_space", "min_free_space", "keep_mounts", "yes", "dry_run"
    ])]
    pub simulate_lifecycle: Option<Option<PathBuf>>,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Show, do nothing
    #[command(flatten)]
    pub dry: DryRun,
}

/// What to do with the builder.
#[derive(Debug, Subcommand)]
pub enum BuilderCommand {
    /// Every builder that buildx knows
    Ls,
    /// The builder that xtask.toml asks for, and in what it differs from that
    Inspect,
    /// Create it, if it is not there
    Create {
        /// Show, do nothing
        #[command(flatten)]
        dry: DryRun,
    },
    /// Remove it
    Rm(BuilderRmArgs),
}

/// Options of `builder rm`.
#[derive(Args, Clone, Copy, Debug)]
pub struct BuilderRmArgs {
    /// Keep its cache for a builder of the same name, where the driver can
    #[arg(long)]
    pub keep_state: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Show, do nothing
    #[command(flatten)]
    pub dry: DryRun,
}

/// Options of `history`.
#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// Show so many builds, the latest; with --env NAME those of that environment
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Also write them as a page with charts
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
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

    #[test]
    fn the_limit_of_the_builder_s_cache_is_called_as_buildx_calls_it() {
        for name in ["--max-used-space", "--keep-storage"] {
            let Ok(cli) = Cli::try_parse_from(["xtask", "prune", name, "2GB"]) else {
                panic!("{name} is known");
            };
            let Command::Prune(args) = cli.command else { panic!("{name} is of prune") };
            assert_eq!(args.max_used_space.as_deref(), Some("2GB"), "{name}");
        }
    }

    #[test]
    fn putting_back_is_the_default_and_can_be_switched_off_in_two_ways() {
        let puts_back = |options: &[&str]| {
            let args = ["xtask", "deploy"].iter().chain(options);
            match Cli::try_parse_from(args).map(|cli| cli.command) {
                Ok(Command::Deploy(args)) => Some(args.puts_back()),
                _ => None,
            }
        };
        for on in [&[][..], &["--rollback-on-failure"], &["--rollback-on-failure=true"]] {
            assert_eq!(puts_back(on), Some(true), "{on:?}");
        }
        for off in ["--rollback-on-failure=false", "--no-rollback"] {
            assert_eq!(puts_back(&[off]), Some(false), "{off}");
        }
        assert_eq!(puts_back(&["--rollback-on-failure=maybe"]), None);
        assert_eq!(puts_back(&["--rollback-on-failure", "--no-rollback"]), None);
    }
}
