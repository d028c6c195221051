//! The local stand-in for AWS: an emulator, its companions, a base image.
//!
//! Everything that it keeps lies in `target/xtask` of the project, every process has a record
//! there, and every container of the emulator carries a label with the project's own name. So
//! `down` finds what `up` started, and nothing else.

mod base_image;
mod companion;
mod containers;
mod down;
mod example;
mod fingerprint;
mod lock;
mod ministack;
mod owner;
mod process;
mod secret;
mod status;
mod up;

use std::path::PathBuf;

use anyhow::Result;

pub use down::down;
pub use status::status;
pub use up::up;
#[cfg(test)]
pub use {down::Down, status::Status};

use xtask_core::config::{Config, Emulator, Environment};
use xtask_core::exit::{Exit, Failure};

/// The environment whose AWS is emulated here.
pub struct Place<'a> {
    /// The project.
    pub config: &'a Config,
    /// The environment.
    pub environment: &'a Environment,
    /// The emulator.
    pub emulator: &'a Emulator,
    /// Where the emulator listens: an address of this machine.
    pub address: std::net::SocketAddr,
    /// Where everything is kept: `target/xtask` of the project.
    pub dir: PathBuf,
}

impl<'a> Place<'a> {
    /// Finds out whether the environment is a local one.
    ///
    /// # Errors
    /// [`Exit::Usage`]: it has no emulator, or its endpoint is not on this machine.
    pub fn of(config: &'a Config) -> Result<Self> {
        let environment = config.environment()?;
        let name = &environment.name;
        let emulator = environment.emulator.as_ref().ok_or_else(|| {
            Failure::new(Exit::Usage, format!("[env.{name}] has no `emulator`"))
                .hint("`local` is for an environment with one: add `--env local`")
        })?;
        let url = environment.endpoint_url.as_deref().unwrap_or_default();
        let address = address(url).ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                format!(
                    "{}: env.{name}.endpoint-url: `{url}` is no place for an emulator",
                    config.path.display()
                ),
            )
            .hint("write an address of this machine and a port, such as \"http://127.0.0.1:4566\"")
        })?;
        Ok(Self { config, environment, emulator, address, dir: config.root.join("target/xtask") })
    }

    /// The emulator's URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A name that no other project on this machine has.
    pub fn name(&self) -> String {
        let root = self.config.root.to_string_lossy();
        format!("xtask-{:08x}", fingerprint::of([root.as_ref()]) >> 32)
    }
}

/// `http://ADDRESS:PORT`, where the address is one that only this machine reaches.
fn address(url: &str) -> Option<std::net::SocketAddr> {
    let authority = url.strip_prefix("http://")?.trim_end_matches('/');
    let authority = authority.replace("localhost:", "127.0.0.1:");
    let address: std::net::SocketAddr = authority.parse().ok()?;
    address.ip().is_loopback().then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_is_only_for_this_machine() {
        for url in ["http://127.0.0.1:4566", "http://localhost:4566/", "http://[::1]:4566"] {
            assert_eq!(address(url).unwrap().port(), 4566, "{url}");
        }
        for url in [
            "",
            "http://0.0.0.0:4566",
            "http://10.0.0.1:4566",
            "https://127.0.0.1:4566",
            "http://127.0.0.1",
        ] {
            assert!(address(url).is_none(), "{url}");
        }
    }
}
