//! Holds the deploy locks while the stack changes: CloudFormation and `deploy` both change the
//! service, and would take one another's place.

use std::path::Path;

use anyhow::Result;

use super::execute::execute;
use super::{Proposal, busy, discard, on, propose, settled};
use crate::apply::lock::{self, Lock, Timing};
use crate::aws::{Aws, Session};
use crate::observe::stack::services;
use crate::ui::Ui;
use xtask_core::config::Environment;
use xtask_core::event::Event;
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::deploy::IfBusy;

/// Makes a change that was proposed, under the deploy locks.
///
/// # Errors
/// A lock can not be had; a deployment is under way, or something else would change by now; or
/// the change fails.
pub async fn carry_out(
    ui: &Ui,
    session: &Session,
    environment: &Environment,
    root: &Path,
    proposal: Proposal,
) -> Result<()> {
    let (lock, proposal) = hold(ui, session, environment, root, proposal).await?;
    let executed = execute(ui, &session.aws(), environment, proposal).await;
    if let Some(lock) = lock
        && let Some(lost) = lock.end(ui).await
    {
        let text = format!("{}, while the stack was changed", lost.failure());
        let hint = Some("`cargo xtask status` shows what runs".into());
        ui.emit(&Event::Warning { text, hint });
    }
    executed
}

/// Waits for the deploy locks of the services that are there, and sees that the proposal still
/// holds: when somebody deployed meanwhile, it is worked out anew, for what runs now. Whoever has
/// agreed to it has agreed to the same changes, or is asked to look again.
///
/// # Errors
/// [`Exit::DeadlinePassed`]: a lock was not given back in time. [`Exit::Superseded`]: a deployment
/// is under way, or something else would change by now. The proposal is taken back, and no lock is
/// held then.
async fn hold(
    ui: &Ui,
    session: &Session,
    environment: &Environment,
    root: &Path,
    proposal: Proposal,
) -> Result<(Option<Lock>, Proposal)> {
    if !environment.lock || proposal.change_set.is_none() || proposal.services.is_empty() {
        return Ok((None, proposal));
    }
    let names: Vec<String> = proposal.services.iter().map(|(name, _)| name.clone()).collect();
    let wanted = lock::Wanted {
        cluster: &environment.cluster,
        services: &names,
        if_busy: IfBusy::Wait,
        deadline: environment.deadline,
        what: &proposal.plan.title(),
    };
    let lock = match lock::take(ui, session, &wanted, Timing::default()).await {
        Ok(lock) => lock,
        Err(error) => {
            discard(&session.aws(), proposal).await?;
            return Err(error);
        }
    };
    match look_again(ui, &session.aws(), environment, root, proposal).await {
        Ok(proposal) => Ok((Some(lock), proposal)),
        Err(error) => {
            lock.end(ui).await;
            Err(error)
        }
    }
}

async fn look_again(
    ui: &Ui,
    aws: &Aws,
    environment: &Environment,
    root: &Path,
    mut proposal: Proposal,
) -> Result<Proposal> {
    let now = match services(aws, environment).await {
        Ok(now) => now,
        Err(error) => {
            discard(aws, proposal).await?;
            return Err(error);
        }
    };
    if on(&now) == proposal.services {
        proposal.busy = busy(&now);
        return settled(aws, proposal).await;
    }
    let text = "somebody deployed meanwhile: working the change out anew, for what runs now".into();
    ui.emit(&Event::Note { text });
    let agreed = proposal.plan.changes.clone();
    discard(aws, proposal).await?;
    let proposal = propose(aws, environment, root).await?;
    if proposal.plan.changes == agreed {
        return settled(aws, proposal).await;
    }
    discard(aws, proposal).await?;
    let text = "somebody deployed meanwhile, and by now something else would change";
    Err(Failure::new(Exit::Superseded, text).hint("run this again").into())
}
