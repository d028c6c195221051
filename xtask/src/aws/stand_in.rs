//! A stand-in for AWS in tests: real HTTP, answers by operation, remembers what it was asked.

#[expect(dead_code, reason = "some of it is for runs of the whole tool only")]
pub mod cloud;
#[expect(dead_code, reason = "some of it is for runs of the whole tool only")]
pub mod server;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use serde_json::Value;

use super::{Aws, Session, connect_cluster};
pub use server::{ACCOUNT, CUT, Parameters};
use server::{Asked, Server};
use xtask_core::config::{Cluster, Environment};

/// The stand-in.
pub struct StandIn(Server);

impl Deref for StandIn {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl StandIn {
    /// Starts one. `answer` gets the operation, the request and how many of that operation
    /// came before it; it gives the status and the body. In the Query protocol the request is
    /// a string, the form, and so is the body, the XML.
    pub fn start<F>(answer: F) -> Self
    where
        F: Fn(&str, &Value, usize) -> (u16, Value) + Send + Sync + 'static,
    {
        Self(Server::start(move |asked: &Asked| {
            assert!(asked.authorization.starts_with("AWS4-HMAC-SHA256 "), "every call is signed");
            answer(&asked.operation, &asked.request, asked.before)
        }))
    }

    /// A cluster of the configuration that is reached here.
    pub fn cluster(&self, name: &str) -> Cluster {
        Cluster {
            environment: "test".into(),
            account: ACCOUNT.into(),
            region: "eu-central-1".into(),
            profile: None,
            endpoint_url: Some(self.url().to_owned()),
            made_up_credentials: true,
            name: name.into(),
        }
    }

    /// An environment that is reached here: the service `app` in the cluster `app`.
    pub fn environment(&self) -> Environment {
        Environment {
            name: "test".into(),
            account: ACCOUNT.into(),
            region: "eu-central-1".into(),
            profile: None,
            endpoint_url: Some(self.url().to_owned()),
            made_up_credentials: true,
            repository: "app".into(),
            storage_price: None,
            registry: self.url().strip_prefix("http://").unwrap().to_owned(),
            cluster: "app".into(),
            services: vec!["app".into()],
            container: "app".into(),
            desired_count: 1,
            deadline: Duration::from_secs(60),
            lock: true,
            health: None,
            environment: BTreeMap::new(),
            secrets: BTreeMap::new(),
            infra: None,
            emulator: None,
        }
    }

    /// Clients that ask it.
    pub async fn aws(&self) -> Aws {
        connect_cluster(&self.cluster("app")).await
    }

    /// Clients that ask it, and can be made anew.
    pub async fn session(&self) -> Session {
        Session::connect_cluster(&self.cluster("app")).await
    }
}
