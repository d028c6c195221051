//! Clients for as long as a command takes, which may be longer than its credentials last.
//!
//! A rollout can be watched for an hour, and a session of single sign-on may end within it. Then
//! the user signs in again in another terminal, or some other program writes new keys; and the
//! clients are made anew from the files and variables that there are by then.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Aws, Recipe, clients};
use xtask_core::config::Environment;

/// The clients of an environment as they are now. Clones share them.
#[derive(Clone)]
pub struct Session {
    recipe: Recipe,
    now: Arc<Mutex<Aws>>,
}

impl Session {
    /// Makes the clients of an environment. Asks nobody anything.
    pub async fn connect(environment: &Environment) -> Self {
        Self::of(Recipe::of(environment)).await
    }

    /// Makes the clients of a cluster. Asks nobody anything.
    #[cfg(test)]
    pub async fn connect_cluster(cluster: &xtask_core::config::Cluster) -> Self {
        Self::of(Recipe::of_cluster(cluster)).await
    }

    async fn of(recipe: Recipe) -> Self {
        let now = Arc::new(Mutex::new(clients(&recipe).await));
        Self { recipe, now }
    }

    /// The clients, as they are now.
    pub fn aws(&self) -> Aws {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the clients anew: profiles, the cache of single sign-on and variables are read again.
    pub async fn renew(&self) {
        let new = clients(&self.recipe).await;
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = new;
    }
}
