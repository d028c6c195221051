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
mod sent;
mod take;
#[cfg(test)]
mod tests;
mod who;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aws_smithy_types::date_time::{DateTime, Format};
use tokio::sync::watch;

use crate::aws::{Aws, Session};
use crate::interrupt::{forget, keep, remember, undo_with, waiting};
use crate::observe::lock::{self, Holder, holder, name, renewals_name};
use crate::ui::Ui;
use sent::Sent;
use take::{One, create, delete};
use xtask_core::event::Event;
use xtask_core::exit::{Again, Exit, Failure, again};
use xtask_core::plan::deploy::IfBusy;
use xtask_core::units::format_duration;

/// How long a holder looks at its lock at most, right before it changes a service.
const LOOK: Duration = Duration::from_secs(5);

/// How long a call may take that changes a service under a lock, from the look on.
pub const CALL: Duration = Duration::from_secs(8);

/// How long a call may take to arrive whose answer nobody waits for any more.
const ARRIVES: Duration = Duration::from_secs(1);

/// How long things take around a lock.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long after its last renewal a lock may be taken over.
    pub lease: Duration,
    /// How often it is renewed, and looked at whether it is still there.
    pub renew: Duration,
    /// How often a waiter looks.
    pub poll: Duration,
    /// How long after a takeover the new holder waits before it believes in it: longer than the
    /// last look of the one before and the call that it made upon that.
    pub believe: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: lock::LEASE,
            renew: Duration::from_secs(15),
            poll: Duration::from_secs(2),
            believe: LOOK + CALL + Duration::from_secs(2),
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
    sent: Arc<Sent>,
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
    let sent = Arc::new(Sent::default());
    let mut names = BTreeMap::new();
    let until = Instant::now() + wanted.deadline;
    for service in services {
        let name = name(wanted.cluster, &service);
        names.insert(service.clone(), name.clone());
        record(session, &service, &name, &me.id, timing.lease, &sent);
        let (me, sent, service, name) = (&me, &*sent, &service, &name);
        let one = One { ui, session, wanted, timing, me, sent, service, name };
        if let Err(error) = one.take(until).await {
            // The error is what counts; a lock that can not be given back runs out by itself.
            let _ = give_back(&session.aws(), &names, &me.id, sent).await;
            return Err(error);
        }
    }
    waiting(None);
    let (sender, lost) = watch::channel(None);
    let renewing = tokio::spawn(renew::renew(renew::Renewing {
        session: session.clone(),
        me: me.clone(),
        names: names.clone(),
        sent: Arc::clone(&sent),
        every: timing.renew,
        lost: sender,
    }));
    Ok(Lock { session: session.clone(), me, names, sent, lost, renewing })
}

/// What an interruption says of a lock, and undoes.
fn record(
    session: &Session,
    service: &str,
    name: &str,
    id: &str,
    lease: Duration,
    sent: &Arc<Sent>,
) {
    remember(
        subject(service),
        format!(
            "the deploy lock of {service} may still be held: the next deploy takes it over after {}",
            format_duration(lease)
        ),
    );
    let (session, id, sent) = (session.clone(), id.to_owned(), Arc::clone(sent));
    let names = BTreeMap::from([(service.to_owned(), name.to_owned())]);
    undo_with(subject(service), async move {
        // After an interruption nobody is left to act on it; the lock then runs out by itself.
        let _ = give_back(&session.aws(), &names, &id, &sent).await;
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
    /// [`Exit::Superseded`]: it is not. Or SSM can not be asked, or does not answer in time.
    pub async fn check(&self, service: &str) -> Result<()> {
        if let Some(lost) = &*self.lost.borrow() {
            return Err(lost.failure().into());
        }
        let Some(name) = self.names.get(service) else { return Ok(()) };
        let aws = self.session.aws();
        let looked =
            tokio::time::timeout(LOOK, look(&aws, &self.me, &self.sent, service, name)).await;
        match looked.unwrap_or_else(|_| Err(no_answer(service)))? {
            Some(lost) => Err(lost.failure().into()),
            None => Ok(()),
        }
    }

    /// Gives the locks back, or says that they are left. Returns which one was not held any more.
    pub async fn end(&self, ui: &Ui) -> Option<Lost> {
        self.release().await.unwrap_or_else(|error| {
            ui.emit(&Event::Warning {
                text: format!("the deploy lock was not given back: {error:#}"),
                hint: Some("the next deploy takes it over by itself".into()),
            });
            None
        })
    }

    /// Gives the locks back. Says which one was not held any more.
    ///
    /// # Errors
    /// SSM can not be asked: they run out by themselves.
    pub async fn release(&self) -> Result<Option<Lost>> {
        self.sent.end().await;
        self.renewing.abort();
        let give_back =
            async || give_back(&self.session.aws(), &self.names, &self.me.id, &self.sent).await;
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
        // A call that is under way ends before the locks are given back.
        if self.sent.stop() {
            self.renewing.abort();
        }
    }
}

fn no_answer(service: &str) -> anyhow::Error {
    let text = format!(
        "SSM does not say within {} who holds the deploy lock of {service}",
        format_duration(LOOK)
    );
    Failure::new(Exit::Prerequisite, text)
        .hint("nothing is changed without it: run it again, once SSM answers")
        .again(Again::Soon)
        .into()
}

/// Whether somebody else has a lock that we took.
async fn look(
    aws: &Aws,
    me: &Holder,
    sent: &Sent,
    service: &str,
    name: &str,
) -> Result<Option<Lost>> {
    let mut found = holder(aws, name).await?;
    // Somebody deleted it by hand. When nobody has taken it since, it is ours again.
    if found.is_none() && !create(aws, name, me, sent).await? {
        found = holder(aws, name).await?;
    }
    let other = found.filter(|found| found.id != me.id);
    Ok(other.map(|by| Lost { service: service.to_owned(), by }))
}

/// Deletes those of the locks that are still held, and the signs of life beside them. Says which
/// one was not held any more.
///
/// # Errors
/// The first one; the other locks are given back all the same.
async fn give_back(
    aws: &Aws,
    names: &BTreeMap<String, String>,
    id: &str,
    sent: &Sent,
) -> Result<Option<Lost>> {
    sent.end().await;
    let mut lost = None;
    let mut failed = None;
    for (service, name) in names {
        match give_back_one(aws, service, name, id, sent).await {
            Ok(found) => lost = lost.or(found),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(lost), Err)
}

async fn give_back_one(
    aws: &Aws,
    service: &str,
    name: &str,
    id: &str,
    sent: &Sent,
) -> Result<Option<Lost>> {
    let mut found = holder(aws, name).await?;
    if found.is_none() && sent.is_open(name) {
        tokio::time::sleep(ARRIVES).await;
        found = holder(aws, name).await?;
    }
    // Where it may still arrive, an interruption has to say so.
    let may_come = found.is_none() && sent.is_open(name);
    let lost = match found {
        Some(holder) if holder.id == id => {
            delete(aws, name).await?;
            None
        }
        found => found.map(|by| Lost { service: service.to_owned(), by }),
    };
    if !may_come {
        forget(&subject(service));
        keep(&subject(service));
    }
    if sent.is_renewed() {
        delete(aws, &renewals_name(name, id)).await?;
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
