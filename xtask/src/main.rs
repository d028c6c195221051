//! `cargo xtask`: builds a container image with Docker buildx, caches it in and pushes it to
//! Amazon ECR, updates an ECS service and says truthfully what happened.
//!
//! ARCHITECTURE.md has the map.

mod apply;
mod aws;
mod cli;
mod cmd;
mod config;
mod event;
mod exit;
mod interrupt;
mod lines;
mod local;
mod observe;
mod plan;
mod proc;
mod progress;
mod registry;
mod report;
mod rollout;
mod ui;
mod units;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let ui = ui::Ui::new(&cli.global);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ui.failed(&error.into()).code().into(),
    };
    let result = runtime.block_on(async {
        tokio::select! {
            result = cmd::run(&cli, &ui) => result,
            signal = interrupt::wait() => match signal {
                Ok(()) => {
                    proc::end_all(Duration::from_secs(5));
                    interrupt::undo(Duration::from_secs(5)).await;
                    Err(Failure::new(Exit::Interrupted, interrupt::message()).into())
                }
                Err(error) => Err(error),
            },
        }
    });
    let exit = match result {
        Ok(exit) => exit,
        Err(error) => ui.failed(&error),
    };
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit.code().into()
}
