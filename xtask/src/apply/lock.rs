//! The deploy lock: at most one deploy of a service at a time, also from several machines.
//!
//! [`crate::observe::lock`] says what the lock is. It is taken with a call that creates it or
//! fails, renewed while its holder works, and deleted at the end. A waiter takes over a lock that
//! it has itself seen unchanged for a whole lease, by its own clock: no two clocks are compared.
//!
//! SSM can not delete a parameter on the condition that it is still the same, so whoever takes a
//! lock over waits a moment and looks whether it has it, and every holder looks again right before
//! it changes the service. What that leaves open, the verdict by deployment id still tells.

mod renew;
#[cfg(test)]
mod tests;
mod who;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aws_smithy_types::date_time::{DateTime, Format};
use serde_json::json;
use tokio::sync::watch;

use super::watch::jittered;
use crate::aws::wire::{self, Service};
use crate::aws::{Aws, Session};
use crate::cli::IfBusy;
use crate::event::Event;
use crate::exit::{Again, Exit, Failure, again};
use crate::interrupt::{forget, keep, remember, undo_with, waiting};
use crate::observe::lock::{self, Holder, holder, is, name, refused, renewals, renewals_name};
use crate::ui::Ui;
use crate::units::format_duration;

/// How long things take around a lock.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long after its last renewal a lock may be taken over.
    pub lease: Duration,
    /// How often it is renewed, and looked at whether it is still there.
    pub renew: Duration,
    /// How often a waiter looks.
    pub poll: Duration,
    /// How long after a takeover the new holder waits before it believes in it: longer than a
    /// call takes that somebody else may have under way.
    pub believe: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: lock::LEASE,
            renew: Duration::from_secs(15),
            poll: Duration::from_secs(2),
            believe: Duration::from_secs(3),
        }
    }
}

/// The locks that a deploy wants.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The ECS cluster.
    pub cluster: &'a str,
    /// The ECS services. Their locks are taken in sorted order, so that two deploys of the same
    /// services never wait for one another.
    pub services: &'a [String],
    /// What to do when somebody else holds one.
    pub if_busy: IfBusy,
    /// How long to wait for them, all together.
    pub deadline: Duration,
    /// What is being done, for those who wait.
    pub what: &'a str,
}

/// Locks that are held. They are renewed until it is dropped; [`Lock::release`] gives them back.
pub struct Lock {
    session: Session,
    me: Holder,
    /// By service: the parameter's name.
    names: BTreeMap<String, String>,
    renewed: Arc<AtomicU64>,
    lost: watch::Receiver<Option<Lost>>,
    renewing: tokio::task::JoinHandle<()>,
}

/// That somebody else took a lock over.
#[derive(Clone, Debug)]
pub struct Lost {
    /// The ECS service.
    pub service: String,
    /// Who has it now.
    pub by: Holder,
}

impl Lost {
    /// The failure that it ends the command with.
    pub fn failure(&self) -> Failure {
        let text = format!("the deploy lock of {} was taken over by {}", self.service, self.by);
        Failure::new(Exit::Superseded, text)
            .hint("`cargo xtask status` shows what runs, and what is rolling out")
    }
}

/// Takes the locks of some services.
///
/// # Errors
/// [`Exit::Superseded`]: somebody else holds one, and `--if-busy abort` was given.
/// [`Exit::DeadlinePassed`]: it was not given back in time. Or SSM can not be asked. None is held
/// then.
pub async fn take(ui: &Ui, session: &Session, wanted: &Wanted<'_>, timing: Timing) -> Result<Lock> {
    let aws = &session.aws();
    let mut services = wanted.services.to_vec();
    services.sort();
    services.dedup();
    let me = Holder {
        id: random_id()?,
        who: lock::plain(&who::who()),
        what: lock::plain(wanted.what),
        since: now(),
        lease_seconds: timing.lease.as_secs(),
    };
    let renewed = Arc::new(AtomicU64::new(0));
    let mut names = BTreeMap::new();
    let start = Instant::now();
    for service in services {
        let name = name(wanted.cluster, &service);
        names.insert(service.clone(), name.clone());
        let one = One { ui, aws, wanted, timing, me: &me, service: &service, name: &name };
        record(session, &service, &name, &me.id, timing.lease, &renewed);
        if let Err(error) = one.take(start).await {
            // The error is what counts; a lock that can not be given back runs out by itself.
            let _ = give_back(aws, &names, &me.id, &renewed).await;
            return Err(error);
        }
    }
    waiting(None);
    let (sender, lost) = watch::channel(None);
    let renewing = tokio::spawn(renew::renew(renew::Renewing {
        session: session.clone(),
        me: me.clone(),
        names: names.clone(),
        renewed: Arc::clone(&renewed),
        every: timing.renew,
        lost: sender,
    }));
    Ok(Lock { session: session.clone(), me, names, renewed, lost, renewing })
}

/// What an interruption says of a lock, and undoes.
fn record(
    session: &Session,
    service: &str,
    name: &str,
    id: &str,
    lease: Duration,
    renewed: &Arc<AtomicU64>,
) {
    remember(
        subject(service),
        format!(
            "the deploy lock of {service} may still be held: the next deploy takes it over after {}",
            format_duration(lease)
        ),
    );
    let (session, id, renewed) = (session.clone(), id.to_owned(), Arc::clone(renewed));
    let names = BTreeMap::from([(service.to_owned(), name.to_owned())]);
    undo_with(subject(service), async move {
        // After an interruption nobody is left to act on it; the lock then runs out by itself.
        let _ = give_back(&session.aws(), &names, &id, &renewed).await;
    });
}

fn subject(service: &str) -> String {
    format!("lock {service}")
}

impl Lock {
    /// Completes when somebody else has taken one of the locks over.
    pub async fn lost(&self) -> Lost {
        let mut lost = self.lost.clone();
        match lost.wait_for(Option::is_some).await.map(|lost| (*lost).clone()) {
            Ok(Some(lost)) => lost,
            // Nobody watches it any more, so nobody can tell.
            _ => std::future::pending().await,
        }
    }

    /// Looks whether the lock of a service is still held.
    ///
    /// # Errors
    /// [`Exit::Superseded`]: it is not. Or SSM can not be asked.
    pub async fn check(&self, service: &str) -> Result<()> {
        if let Some(lost) = &*self.lost.borrow() {
            return Err(lost.failure().into());
        }
        let Some(name) = self.names.get(service) else { return Ok(()) };
        match look(&self.session.aws(), &self.me, service, name).await? {
            Some(lost) => Err(lost.failure().into()),
            None => Ok(()),
        }
    }

    /// Gives the locks back. Says which one was not held any more.
    ///
    /// # Errors
    /// SSM can not be asked: they run out by themselves.
    pub async fn release(&self) -> Result<Option<Lost>> {
        self.renewing.abort();
        let give_back =
            async || give_back(&self.session.aws(), &self.names, &self.me.id, &self.renewed).await;
        let mut given_back = give_back().await;
        if given_back.as_ref().is_err_and(|error| again(error) == Again::WithNewCredentials) {
            self.session.renew().await;
            given_back = give_back().await;
        }
        let known = self.lost.borrow().clone();
        given_back.map(|found| known.or(found))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

/// The lock of one service, wanted.
struct One<'a> {
    ui: &'a Ui,
    aws: &'a Aws,
    wanted: &'a Wanted<'a>,
    timing: Timing,
    me: &'a Holder,
    service: &'a str,
    name: &'a str,
}

/// A holder's sign of life, and since when nothing newer was seen.
struct Seen {
    id: String,
    renewals: u64,
    since: Instant,
}

impl One<'_> {
    async fn take(&self, start: Instant) -> Result<()> {
        let mut told = None;
        let mut seen: Option<Seen> = None;
        loop {
            if create(self.aws, self.name, &lock::value(self.me)).await? {
                return Ok(());
            }
            let late = start.elapsed() >= self.wanted.deadline;
            let Some(other) = holder(self.aws, self.name).await? else {
                if late {
                    return Err(self.too_long(&format!("{} is deployed by others", self.service)));
                }
                // It was given back in between, or SSM is a moment behind.
                tokio::time::sleep(jittered(self.timing.poll / 4)).await;
                continue;
            };
            if other.id == self.me.id {
                // The answer to our call was lost, and the SDK called again.
                return Ok(());
            }
            let held = format!("{} is being deployed by {other}", self.service);
            match self.wanted.if_busy {
                IfBusy::Abort => {
                    return Err(Failure::new(Exit::Superseded, held)
                        .hint(
                            "wait for it with `--if-busy wait`, which also takes over a lock that \
                             nobody renews any more",
                        )
                        .into());
                }
                _ if late => return Err(self.too_long(&held)),
                IfBusy::Supersede => {
                    self.note(format!("{held}; taking its place"));
                    if self.take_over(&other).await? {
                        return Ok(());
                    }
                    continue;
                }
                IfBusy::Wait => {}
            }
            let renewals = renewals(self.aws, self.name, &other.id).await?;
            match &seen {
                Some(last) if (&last.id, last.renewals) == (&other.id, renewals) => {
                    if last.since.elapsed() >= other.lease() {
                        let lease = format_duration(other.lease());
                        self.note(format!(
                            "{held}, and has not been heard of for {lease}; taking its place"
                        ));
                        if self.take_over(&other).await? {
                            return Ok(());
                        }
                        seen = None;
                        continue;
                    }
                }
                _ => seen = Some(Seen { id: other.id.clone(), renewals, since: Instant::now() }),
            }
            if told.as_ref() != Some(&other.id) {
                self.note(format!("{held}; waiting for it to end"));
                waiting(Some(format!("waiting for the deploy lock: {held}")));
                told = Some(other.id);
            }
            tokio::time::sleep(jittered(self.timing.poll)).await;
        }
    }

    fn too_long(&self, held: &str) -> anyhow::Error {
        let deadline = format_duration(self.wanted.deadline);
        Failure::new(
            Exit::DeadlinePassed,
            format!("{held}, still after {deadline}, so this one did not begin"),
        )
        .hint("`--if-busy supersede` takes its place; a longer `deadline` waits longer")
        .into()
    }

    /// Takes the lock from its holder; says whether that went well.
    async fn take_over(&self, from: &Holder) -> Result<bool> {
        // What is deleted is what was seen, as nearly as SSM allows.
        match holder(self.aws, self.name).await? {
            Some(now) if now.id == from.id => {}
            _ => return Ok(false),
        }
        delete(self.aws, self.name).await?;
        delete(self.aws, &renewals_name(self.name, &from.id)).await?;
        if !create(self.aws, self.name, &lock::value(self.me)).await? {
            return Ok(false);
        }
        tokio::time::sleep(self.timing.believe).await;
        let now = holder(self.aws, self.name).await?;
        Ok(now.is_some_and(|now| now.id == self.me.id))
    }

    fn note(&self, text: String) {
        self.ui.emit(&Event::Note { text });
    }
}

/// Whether somebody else has a lock that we took.
async fn look(aws: &Aws, me: &Holder, service: &str, name: &str) -> Result<Option<Lost>> {
    let mut found = holder(aws, name).await?;
    // Somebody deleted it by hand. When nobody has taken it since, it is ours again.
    if found.is_none() && !create(aws, name, &lock::value(me)).await? {
        found = holder(aws, name).await?;
    }
    let other = found.filter(|found| found.id != me.id);
    Ok(other.map(|by| Lost { service: service.to_owned(), by }))
}

/// Creates a lock; says whether that went well, or it was there already.
async fn create(aws: &Aws, name: &str, value: &str) -> Result<bool> {
    let body = json!({ "Name": name, "Value": value, "Type": "String", "Overwrite": false });
    match wire::json(&aws.config, Service::Ssm, "PutParameter", &body).await {
        Ok(_) => Ok(true),
        // Somebody else was faster, or is at it in this moment.
        Err(error) if is(&error, "ParameterAlreadyExists") || is(&error, "TooManyUpdates") => {
            Ok(false)
        }
        Err(error) => Err(refused("ssm:PutParameter", &error)),
    }
}

/// Deletes a parameter, unless it is not there.
async fn delete(aws: &Aws, name: &str) -> Result<()> {
    let body = json!({ "Name": name });
    match wire::json(&aws.config, Service::Ssm, "DeleteParameter", &body).await {
        Ok(_) => Ok(()),
        Err(error) if is(&error, "ParameterNotFound") => Ok(()),
        Err(error) => Err(refused("ssm:DeleteParameter", &error)),
    }
}

/// Deletes those of the locks that are still held, and the signs of life beside them. Says which
/// one was not held any more.
async fn give_back(
    aws: &Aws,
    names: &BTreeMap<String, String>,
    id: &str,
    renewed: &AtomicU64,
) -> Result<Option<Lost>> {
    let mut lost = None;
    for (service, name) in names {
        match holder(aws, name).await? {
            Some(holder) if holder.id == id => delete(aws, name).await?,
            Some(by) => {
                lost.get_or_insert(Lost { service: service.clone(), by });
            }
            None => {}
        }
        forget(&subject(service));
        keep(&subject(service));
        if renewed.load(Ordering::Relaxed) > 0 {
            delete(aws, &renewals_name(name, id)).await?;
        }
    }
    Ok(lost)
}

/// 128 random bits.
fn random_id() -> Result<String> {
    use std::io::Read as _;
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes).context("/dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.ok().and_then(|now| i64::try_from(now.as_secs()).ok()).unwrap_or_default();
    DateTime::from_secs(seconds).fmt(Format::DateTime).unwrap_or_default()
}
