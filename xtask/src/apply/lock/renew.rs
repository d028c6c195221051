//! Keeps locks while their holder works, and notices when one is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use super::sent::Sent;
use super::{Lost, look};
use crate::aws::Session;
use crate::aws::wire::{self, Service};
use crate::observe::lock::{Holder, renewals_name};

/// Locks that are renewed.
pub(super) struct Renewing {
    pub(super) session: Session,
    pub(super) me: Holder,
    /// By service: the parameter's name.
    pub(super) names: BTreeMap<String, String>,
    pub(super) sent: Arc<Sent>,
    pub(super) every: Duration,
    pub(super) lost: watch::Sender<Option<Lost>>,
}

/// Renews until one of the locks is somebody else's, or the renewal is over.
///
/// A lock that can not be looked at is none that is lost: it is tried again, and looked at once
/// more before anything is changed.
pub(super) async fn renew(this: Renewing) {
    loop {
        tokio::time::sleep(this.every).await;
        let aws = this.session.aws();
        for (service, name) in &this.names {
            // What is sent now could bring back a lock that was given back.
            let Some(_turn) = this.sent.turn().await else { return };
            if let Ok(Some(lost)) = look(&aws, &this.me, &this.sent, service, name).await {
                this.lost.send_replace(Some(lost));
                return;
            }
        }
        let number = this.sent.renewal();
        for name in this.names.values() {
            let Some(_turn) = this.sent.turn().await else { return };
            let body = json!({
                "Name": renewals_name(name, &this.me.id), "Value": number.to_string(),
                "Type": "String", "Overwrite": true,
            });
            // The next one comes long before the lease is over.
            let _ = wire::json(&aws.config, Service::Ssm, "PutParameter", &body).await;
        }
    }
}
