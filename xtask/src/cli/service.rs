//! Options of the commands that have to do with the running service.

use clap::{Args, ValueEnum};

use super::DryRun;
use super::build::HowToBuild;

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

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use clap::Parser as _;

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
