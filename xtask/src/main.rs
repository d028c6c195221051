//! `cargo xtask`: builds a container image with Docker buildx, caches it in and pushes it to
//! Amazon ECR, updates an ECS service and says truthfully what happened.
//!
//! ARCHITECTURE.md has the map.

mod apply;
mod aws;
mod cli;
mod cmd;
mod interrupt;
mod local;
mod observe;
mod proc;
mod report;
mod ui;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use xtask_core::exit::{Exit, Failure};

/// Threads that read what AWS answers: a large repository is tens of megabytes of JSON.
const THREADS: usize = 4;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ui::usage(&error).code().into(),
    };
    let ui = ui::Ui::new(&cli.global);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.worker_threads(THREADS).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ui.failed(&error.into()).code().into(),
    };
    let result = runtime.block_on(async {
        let result = tokio::select! {
            // A command that dies of the same Ctrl-C is not what went wrong.
            biased;
            signal = interrupt::wait() => match signal {
                Ok(()) => Err(Failure::new(Exit::Interrupted, interrupt::message()).into()),
                Err(error) => Err(error),
            },
            result = cmd::run(&cli, &ui) => result,
        };
        // Also what an error left behind: nothing that was started outlives this.
        if let Err(error) = &result {
            proc::end_all(Duration::from_secs(5));
            if xtask_core::exit::exit_of(error) == Exit::Interrupted {
                interrupt::undo(Duration::from_secs(5)).await;
                // What could be undone is not there any more.
                return Err(Failure::new(Exit::Interrupted, interrupt::message()).into());
            }
        }
        result
    });
    let exit = match result {
        Ok(exit) => exit,
        Err(error) => ui.failed(&error),
    };
    // A thread that reads a line from the terminal can not be waited for.
    runtime.shutdown_background();
    exit.code().into()
}
