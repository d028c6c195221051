//! Options of the commands that look after storage: the builder's and the repository's.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::DryRun;

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

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use clap::Parser as _;

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
}
