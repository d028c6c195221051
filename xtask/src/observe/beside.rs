//! Calls side by side, but never more than a few at once.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;

use xtask_core::exit::{Again, again};

/// Calls that are under way at the same time: enough to hide what one of them takes, and half of
/// the smallest burst that ECS takes.
///
/// Source: the Amazon ECS developer guide, "Request throttling for the Amazon ECS API".
pub const AT_ONCE: usize = 24;

/// The pauses of [`patiently`] in seconds: two minutes together, in which ECS answers 2,400 calls of a kind.
const PAUSES: [u64; 8] = [1, 2, 4, 8, 15, 30, 30, 30];

/// Calls again after a pause while AWS asks to call less often: for large accounts that is the
/// rule, and the SDK gives up after seconds.
///
/// Source: the Amazon ECS developer guide, "Request throttling for the Amazon ECS API".
///
/// # Errors
/// Another error than that, or the same one for two minutes.
pub async fn patiently<T, F>(call: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    with_pauses(&PAUSES.map(Duration::from_secs), call).await
}

async fn with_pauses<T, F>(pauses: &[Duration], mut call: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    for pause in pauses {
        match call().await {
            Err(error) if again(&error) == Again::Slower => tokio::time::sleep(*pause).await,
            answer => return answer,
        }
    }
    call().await
}

/// Awaits all of these, [`AT_ONCE`] at a time. The results come in the order in which they
/// were had.
///
/// # Errors
/// The first one that is had; what is still under way is dropped.
pub async fn beside<T, F>(calls: impl IntoIterator<Item = F>) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let mut results = Vec::new();
    each(calls, |result: Result<T>| {
        results.push(result?);
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    Ok(results)
}

/// Awaits all of these, [`AT_ONCE`] at a time, and gives their results in the order of the calls.
/// For what tells of its own errors.
pub async fn all_beside<T, F>(calls: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let numbered = calls.into_iter().enumerate();
    let calls = numbered.map(|(index, call)| async move { (index, call.await) });
    let mut results = Vec::new();
    let Ok(()) = each(calls, |result| {
        results.push(result);
        Ok::<_, Infallible>(())
    })
    .await;
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Awaits calls, [`AT_ONCE`] at a time, and hands each result on as it is had, until one is not
/// taken; what is still under way is dropped then.
async fn each<T, F, E>(
    calls: impl IntoIterator<Item = F>,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut calls = calls.into_iter();
    let mut running = JoinSet::new();
    loop {
        while running.len() < AT_ONCE
            && let Some(call) = calls.next()
        {
            running.spawn(call);
        }
        match running.join_next().await {
            Some(Ok(result)) => take(result)?,
            // Nobody cancels them: it is a bug, and goes on as one.
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use xtask_core::exit::{Exit, Failure};

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn all_are_awaited_and_no_more_than_a_few_at_once() {
        let now = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let calls = (0..100).map(|n| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(n)
            }
        });
        let mut results = run(beside(calls)).unwrap();
        results.sort_unstable();
        assert_eq!(results, (0..100).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
    }

    #[test]
    fn who_is_asked_to_call_less_often_calls_again_and_nobody_else_does() {
        let tries = |again: Again, fails: usize| {
            let calls = AtomicUsize::new(0);
            let answer = run(with_pauses(&[Duration::from_millis(1); 3], || async {
                let failure = Failure::new(Exit::Prerequisite, "no").again(again);
                let call = calls.fetch_add(1, Ordering::SeqCst);
                if call < fails { Err(failure.into()) } else { Ok(call) }
            }));
            (answer.ok(), calls.load(Ordering::SeqCst))
        };
        assert_eq!(tries(Again::Slower, 2), (Some(2), 3));
        assert_eq!(tries(Again::Slower, 9), (None, 4), "not for ever");
        assert_eq!(tries(Again::Soon, 1), (None, 1), "the SDK has tried that");
        assert_eq!(tries(Again::Useless, 1), (None, 1));
    }

    #[test]
    fn the_first_error_ends_it() {
        let calls = (0..100).map(|n| async move {
            anyhow::ensure!(n != 7, "seven");
            Ok(n)
        });
        assert_eq!(run(beside(calls)).unwrap_err().to_string(), "seven");
    }

    #[test]
    fn results_come_in_the_order_of_the_calls() {
        let calls = (0..40_u64).map(|n| async move {
            tokio::time::sleep(std::time::Duration::from_millis(40 - n)).await;
            n
        });
        assert_eq!(run(all_beside(calls)), (0..40).collect::<Vec<_>>());
    }
}
