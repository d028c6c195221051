//! `UpdateService` in tries of our own: the lock is looked at again before each.
//!
//! The SDK would send the call again without asking anybody, half a minute later maybe, when
//! somebody else has taken the lock over and moved the service.

use std::time::Duration;

use anyhow::Result;
use aws_sdk_ecs::config::retry::RetryConfig;
use aws_sdk_ecs::config::timeout::TimeoutConfig;
use aws_sdk_ecs::config::{Builder, Config};

use crate::apply::watch::jittered;
use xtask_core::exit::{Again, Exit, again, exit_of};

/// How often the call is tried, as [`crate::aws`] does with others.
const TRIES: u32 = 5;

/// Before the second try; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(250);

/// The settings of a call that is sent once, and given up after `patience`.
pub(super) fn once(patience: Duration) -> Builder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(patience)
        .operation_attempt_timeout(patience)
        .operation_timeout(patience);
    Config::builder().retry_config(RetryConfig::disabled()).timeout_config(timeouts.build())
}

/// Calls until there is an answer, for some tries; `hold` says before all but the first whether
/// it may still be called.
///
/// # Errors
/// That of the last try; or somebody else took over.
pub(super) async fn tries<T>(
    hold: impl AsyncFn() -> Result<()>,
    call: impl AsyncFn() -> Result<T>,
) -> Result<T> {
    let mut pause = PAUSE;
    let mut done = call().await;
    for _ in 1..TRIES {
        let passes = |error: &anyhow::Error| matches!(again(error), Again::Soon | Again::Slower);
        if !done.as_ref().is_err_and(passes) {
            break;
        }
        tokio::time::sleep(jittered(pause)).await;
        pause *= 2;
        match hold().await {
            Ok(()) => done = call().await,
            Err(error) if exit_of(&error) == Exit::Superseded => return Err(error),
            // Nobody knows who holds it, so nothing is sent this time.
            Err(_) => {}
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::*;
    use crate::aws::stand_in::StandIn;

    #[tokio::test]
    async fn a_call_that_hangs_is_given_up_and_not_sent_again() {
        let stand_in = StandIn::start(|_, _, _| {
            std::thread::sleep(Duration::from_secs(5));
            (200, json!({}))
        });
        let (aws, start) = (stand_in.aws().await, Instant::now());
        let call = aws.ecs.update_service().service("api").customize();
        let ended = call.config_override(once(Duration::from_millis(300))).send().await;
        assert!(ended.is_err() && start.elapsed() < Duration::from_secs(4));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(stand_in.calls("UpdateService").len(), 1);
    }
}
