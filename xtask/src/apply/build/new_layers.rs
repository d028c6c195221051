//! How much of a pushed image the registry did not have before.

use std::pin::pin;

use crate::apply::Context;
use crate::observe::ecr::ImageFacts;
use crate::observe::layers::{self, Layers};
use xtask_core::event::Event;
use xtask_core::history::{Output, Record};
use xtask_core::plan::build::{self, Build};

/// Waits for the first; the second is asked beside it, and has until then to answer.
pub async fn beside<A, B>(
    first: impl Future<Output = A>,
    second: impl Future<Output = Option<B>>,
) -> (A, Option<B>) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    tokio::select! {
        first = &mut first => (first, None),
        second = &mut second => (first.await, second),
    }
}

/// The layers of what is in the registry already: of the images that have the build's tags, and of
/// the one that this machine pushed last. `None` where none is.
pub async fn before(context: &Context<'_>, build: &Build, records: &[Record]) -> Option<Layers> {
    let (session, environment) = context.aws.filter(|_| build.output == build::Output::Push)?;
    let name = environment.image();
    let tags = build.names.iter().filter_map(|full| full.strip_prefix(&name)?.strip_prefix(':'));
    let pushed = |record: &&Record| record.output == Output::Push && record.image == name;
    let last = records.iter().rev().filter(pushed).find_map(|record| record.digest.as_deref());
    let references: Vec<&str> = tags.chain(last).collect();
    let found = layers::layers(&session.aws(), &environment.repository, &references).await;
    known(context, found)?
}

/// The bytes of an image's layers that were not there before.
pub async fn bytes(
    context: &Context<'_>,
    image: Option<&ImageFacts>,
    before: Option<Layers>,
) -> Option<u64> {
    let (session, environment) = context.aws?;
    let (image, before) = (image?, before?);
    let one = std::slice::from_ref(image);
    let layers = layers::of(&session.aws(), &environment.repository, one).await;
    Some(known(context, layers)?.beyond(&before))
}

/// What can not be told is no reason to stop.
fn known<T>(context: &Context<'_>, found: anyhow::Result<T>) -> Option<T> {
    let tell = |error| {
        let text = format!("how much of the image is new is not known: {error:#}");
        context.ui.emit(&Event::Detail { text });
    };
    found.map_err(tell).ok()
}
