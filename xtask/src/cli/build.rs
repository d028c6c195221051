//! Options of the commands that build, and of what tells of builds.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::DryRun;

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
