//! What is looked at right before a service is changed.

use anyhow::Result;

use crate::apply::lock::Lock;
use crate::aws::Aws;
use crate::observe::ecr;
use xtask_core::config::Environment;
use xtask_core::exit::{Exit, Failure, exit_of};

/// What has to hold when a service is updated, looked at as late as can be.
#[derive(Clone, Copy, Default)]
pub struct Guard<'a> {
    /// The lock that has to be held still.
    pub lock: Option<&'a Lock>,
    /// The deployment that the service has to be on still: only that one is put back.
    pub replaces: Option<&'a str>,
    /// Whose repository has to have the image still: a prune may have let go of it while a lock or
    /// another deployment was waited for.
    pub environment: Option<&'a Environment>,
}

impl Guard<'_> {
    /// Looks for the image, where it is of the environment's repository. Only what is certainly gone
    /// is refused.
    pub(super) async fn has(&self, aws: &Aws, image: Option<&str>) -> Result<()> {
        let Some((environment, image)) = self.environment.zip(image) else { return Ok(()) };
        let (repository, digest) = image.split_once('@').unwrap_or_default();
        if repository != environment.image() {
            return Ok(());
        }
        if let Ok(None) = ecr::image(aws, environment, digest).await {
            let text = format!("{image} is gone from the repository by now");
            let hint = "`cargo xtask deploy` builds it again; a rollback can name another revision \
                        with `--to`";
            return Err(Failure::new(Exit::Prerequisite, text).hint(hint).into());
        }
        Ok(())
    }

    /// Looks at the lock, right before the service is changed.
    pub(super) async fn hold(&self, service: &str) -> Result<()> {
        let Some(lock) = self.lock else { return Ok(()) };
        match lock.check(service).await {
            // That nobody has deployed since is what ECS says, too; and the service waits.
            Err(error) if self.replaces.is_some() && exit_of(&error) != Exit::Superseded => Ok(()),
            checked => checked,
        }
    }
}
