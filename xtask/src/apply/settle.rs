//! Waits for what others have begun.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::watch::jittered;
use crate::aws::Session;
use crate::interrupt::waiting;
use crate::observe::ecs::{InFlight, describe_service};
use crate::ui::Ui;
use xtask_core::event::Event;
use xtask_core::exit::{Again, Exit, Failure, again};
use xtask_core::plan::deploy::IfBusy;
use xtask_core::units::format_duration;

/// How long between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// Waits until no deployment of the services is under way, or does what else was asked for.
///
/// # Errors
/// [`Exit::Superseded`] when one is under way and `--if-busy abort` was given;
/// [`Exit::DeadlinePassed`] when it did not end in time. Or ECS can not be asked.
pub async fn settle(
    ui: &Ui,
    session: &Session,
    cluster: &str,
    services: &[String],
    if_busy: IfBusy,
    deadline: Duration,
) -> Result<Option<String>> {
    let mut patience = Patience::until(ui, session, Instant::now() + deadline);
    for service in services {
        let mut told = None;
        loop {
            let look = describe_service(&session.aws(), cluster, service).await;
            let Some(look) = patience.with(look).await? else { continue };
            let Some(in_flight) = look.in_flight else { break };
            let InFlight { id, revision } = &in_flight;
            let what = format!("deployment {id} of {service} to {revision} is under way");
            match if_busy {
                IfBusy::Supersede => return Ok(Some(format!("{what}; this one takes its place"))),
                IfBusy::Abort => {
                    return Err(Failure::new(Exit::Superseded, what)
                        .hint("wait for it with `cargo xtask status`, or use `--if-busy wait`")
                        .into());
                }
                IfBusy::Wait if patience.is_over() => return Err(too_long(&what, deadline)),
                IfBusy::Wait => {}
            }
            if told.as_ref() != Some(&in_flight.id) {
                ui.emit(&Event::Note { text: format!("{what}; waiting for it to end") });
                told = Some(in_flight.id);
            }
            waiting(Some(format!("waiting for the end of another deployment: {what}")));
            patience.waits = true;
            tokio::time::sleep(jittered(PAUSE)).await;
        }
    }
    waiting(None);
    Ok(patience.waits.then(|| "it ended".to_owned()))
}

/// The failure of who waited for others until the deadline.
pub(super) fn too_long(what: &str, deadline: Duration) -> anyhow::Error {
    let deadline = format_duration(deadline);
    Failure::new(
        Exit::DeadlinePassed,
        format!("{what}, still after {deadline}, so this one did not begin"),
    )
    .hint("`--if-busy supersede` takes its place; a longer `deadline` waits longer")
    .into()
}

/// Who waits for others does not give up because AWS does not answer for a moment, or the
/// credentials end. Who has not begun to wait hears of it at once.
pub(super) struct Patience<'a> {
    ui: &'a Ui,
    session: &'a Session,
    until: Instant,
    /// Whether the waiting has begun.
    pub(super) waits: bool,
    told: bool,
}

impl<'a> Patience<'a> {
    pub(super) fn until(ui: &'a Ui, session: &'a Session, until: Instant) -> Self {
        Self { ui, session, until, waits: false, told: false }
    }

    /// Whether it has been waited long enough.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// An answer; `None` when it is worth asking again, which is after a pause.
    ///
    /// # Errors
    /// It is not worth it.
    pub(super) async fn with<T>(&mut self, answer: Result<T>) -> Result<Option<T>> {
        let error = match answer {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) => error,
        };
        if !self.waits || self.is_over() || again(&error) == Again::Useless {
            return Err(error);
        }
        if !std::mem::replace(&mut self.told, true) {
            let text = format!("{error:#}");
            let hint = Some("trying again until the deadline".into());
            self.ui.emit(&Event::Warning { text, hint });
        }
        if again(&error) == Again::WithNewCredentials {
            self.session.renew().await;
        }
        tokio::time::sleep(jittered(PAUSE)).await;
        Ok(None)
    }
}
