//! Takes one lock, or waits for it, or takes it over.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::sent::Sent;
use super::{Timing, Wanted};
use crate::apply::settle::{Patience, too_long};
use crate::apply::watch::jittered;
use crate::aws::wire::{self, Service};
use crate::aws::{Aws, Session};
use crate::interrupt::waiting;
use crate::observe::lock::{self, Holder, holder, is, refused, renewals, renewals_name};
use crate::ui::Ui;
use xtask_core::event::Event;
use xtask_core::exit::{Again, Exit, Failure, again};
use xtask_core::plan::deploy::IfBusy;
use xtask_core::units::format_duration;

/// The lock of one service, wanted.
pub(super) struct One<'a> {
    pub(super) ui: &'a Ui,
    pub(super) session: &'a Session,
    pub(super) wanted: &'a Wanted<'a>,
    pub(super) timing: Timing,
    pub(super) me: &'a Holder,
    pub(super) sent: &'a Sent,
    pub(super) service: &'a str,
    pub(super) name: &'a str,
}

/// A holder's sign of life, and since when nothing newer was seen.
struct Seen {
    id: String,
    renewals: u64,
    since: Instant,
}

/// What the tries so far taught.
#[derive(Default)]
struct Progress {
    seen: Option<Seen>,
    /// From whom the lock was taken last, whether or not that was answered.
    from: Option<Holder>,
}

/// What came of trying once.
enum Attempt {
    Taken,
    /// Nobody has it any more.
    Gone,
    /// Somebody else has it.
    Held(Holder),
}

impl One<'_> {
    pub(super) async fn take(&self, until: Instant) -> Result<()> {
        let mut patience = Patience::until(self.ui, self.session, until);
        let mut progress = Progress::default();
        let mut told = None;
        loop {
            let attempt = self.attempt(&mut progress, patience.is_over()).await;
            let Some(other) = patience.with(attempt).await? else { continue };
            let pause = match other {
                Attempt::Taken => return Ok(()),
                Attempt::Gone => self.timing.poll / 4,
                Attempt::Held(other) => {
                    let held = self.held(&other);
                    if told.as_ref() != Some(&other.id) {
                        self.note(format!("{held}; waiting for it to end"));
                        told = Some(other.id);
                    }
                    waiting(Some(format!("waiting for the deploy lock: {held}")));
                    patience.waits = true;
                    self.timing.poll
                }
            };
            tokio::time::sleep(jittered(pause)).await;
        }
    }

    /// Tries once.
    async fn attempt(&self, progress: &mut Progress, late: bool) -> Result<Attempt> {
        let aws = &self.session.aws();
        if create(aws, self.name, self.me, self.sent).await? {
            return self.created(progress).await;
        }
        let Some(other) = holder(aws, self.name).await? else {
            if late {
                let others = format!("{} is deployed by others", self.service);
                return Err(too_long(&others, self.wanted.deadline));
            }
            // It was given back in between, or SSM is a moment behind.
            return Ok(Attempt::Gone);
        };
        if other.id == self.me.id {
            // The answer to our call was lost, and the SDK called again.
            return self.created(progress).await;
        }
        let held = self.held(&other);
        let silent = match self.wanted.if_busy {
            IfBusy::Abort => {
                return Err(Failure::new(Exit::Superseded, held)
                    .hint(
                        "wait for it with `--if-busy wait`, which also takes over a lock that \
                         nobody renews any more",
                    )
                    .into());
            }
            IfBusy::Supersede => {
                self.note(format!("{held}; taking its place"));
                true
            }
            IfBusy::Wait => {
                let silent = self.is_silent(aws, &mut progress.seen, &other).await?;
                if silent {
                    let lease = format_duration(other.lease());
                    self.note(format!(
                        "{held}, and has not been heard of for {lease}; taking its place"
                    ));
                }
                silent
            }
        };
        if silent {
            progress.seen = None;
            if let Attempt::Taken = self.take_over(&other, progress).await? {
                return Ok(Attempt::Taken);
            }
        }
        match late {
            true => Err(too_long(&held, self.wanted.deadline)),
            false if silent => Ok(Attempt::Gone),
            false => Ok(Attempt::Held(other)),
        }
    }

    /// Whether nothing has been heard of the holder for a whole lease, by our own clock.
    async fn is_silent(&self, aws: &Aws, seen: &mut Option<Seen>, other: &Holder) -> Result<bool> {
        let renewals = renewals(aws, self.name, &other.id).await?;
        match seen {
            Some(last) if (&last.id, last.renewals) == (&other.id, renewals) => {
                Ok(last.since.elapsed() >= other.lease())
            }
            _ => {
                *seen = Some(Seen { id: other.id.clone(), renewals, since: Instant::now() });
                Ok(false)
            }
        }
    }

    fn held(&self, other: &Holder) -> String {
        format!("{} is being deployed by {other}", self.service)
    }

    /// Takes the lock from its holder.
    async fn take_over(&self, from: &Holder, progress: &mut Progress) -> Result<Attempt> {
        let aws = &self.session.aws();
        // What is deleted is what was seen, as nearly as SSM allows.
        match holder(aws, self.name).await? {
            Some(now) if now.id == from.id => {}
            _ => return Ok(Attempt::Gone),
        }
        progress.from = Some(from.clone());
        delete(aws, self.name).await?;
        delete(aws, &renewals_name(self.name, &from.id)).await?;
        if !create(aws, self.name, self.me, self.sent).await? {
            return Ok(Attempt::Gone);
        }
        self.created(progress).await
    }

    /// The lock is ours. One that was taken over is believed in only after a while.
    async fn created(&self, progress: &Progress) -> Result<Attempt> {
        let Some(from) = &progress.from else { return Ok(Attempt::Taken) };
        waiting(Some(format!("waiting for what {from} may have under way")));
        tokio::time::sleep(self.timing.believe).await;
        let now = holder(&self.session.aws(), self.name).await?;
        let ours = now.is_some_and(|now| now.id == self.me.id);
        Ok(if ours { Attempt::Taken } else { Attempt::Gone })
    }

    fn note(&self, text: String) {
        self.ui.emit(&Event::Note { text });
    }
}

/// Creates a lock; says whether that went well, or it was there already.
pub(super) async fn create(aws: &Aws, name: &str, me: &Holder, sent: &Sent) -> Result<bool> {
    let value = lock::value(me);
    let body = json!({ "Name": name, "Value": value, "Type": "String", "Overwrite": false });
    sent.asked(name);
    let created = match wire::json(&aws.config, Service::Ssm, "PutParameter", &body).await {
        Ok(_) => Ok(true),
        // Somebody else was faster, or is at it in this moment.
        Err(error) if is(&error, "ParameterAlreadyExists") || is(&error, "TooManyUpdates") => {
            Ok(false)
        }
        Err(error) => Err(refused("ssm:PutParameter", &error)),
    };
    if !created.as_ref().is_err_and(|error| again(error) == Again::Soon) {
        sent.answered(name);
    }
    created
}

/// Deletes a parameter, unless it is not there.
pub(super) async fn delete(aws: &Aws, name: &str) -> Result<()> {
    let body = json!({ "Name": name });
    match wire::json(&aws.config, Service::Ssm, "DeleteParameter", &body).await {
        Ok(_) => Ok(()),
        Err(error) if is(&error, "ParameterNotFound") => Ok(()),
        Err(error) => Err(refused("ssm:DeleteParameter", &error)),
    }
}
