//! Whether the image fits what its tasks run on.

use std::collections::BTreeSet;

use anyhow::Result;

use super::check::Check;
use crate::aws::Aws;
use crate::observe::beside::all_beside;
use crate::observe::ecr;
use crate::observe::ecs::ServiceFacts;
use crate::observe::revisions::reference_in;
use xtask_core::config::Environment;
use xtask_core::plan::fit::{self, SPACE_FIX, Space, space, space_text};
use xtask_core::plan::needs::Needs;
use xtask_core::registry::manifest::Platform;

/// The processor. What an image is for may not be known; that is no reason to stop.
pub(super) fn architecture(needs: &[Needs], image: &Result<Vec<Platform>>) -> Vec<Check> {
    let what = "architecture";
    let image = match image {
        Ok(image) => image,
        Err(error) => {
            let text = format!("what the image is for was not looked at: {error:#}");
            return vec![Check::note(what, text, "see that it is built for what the tasks run on")];
        }
    };
    let wrong: Vec<_> = needs
        .iter()
        .filter_map(|needs| fit::architecture(needs, image))
        .map(|failure| Check::wrong(what, failure))
        .collect();
    if wrong.is_empty() { vec![Check::ok(what, fit::list(image))] } else { wrong }
}

/// The space. `size` is what was pushed, or else what runs, which tells what to expect.
pub(super) fn storage(needs: &[Needs], image: Size) -> Option<Check> {
    let what = "storage";
    let storage = needs.iter().filter_map(|needs| needs.storage).min()?;
    let (bytes, thing) = match image {
        Size::Pushed(bytes) => (bytes, "the image"),
        Size::Running(bytes) => (bytes, "the image that runs now"),
    };
    let text = space_text(thing, bytes, storage);
    Some(match (space(bytes, storage), image) {
        (Space::Enough, _) => Check::ok(what, format!("{storage} GiB are enough for {thing}")),
        (Space::TooSmall, Size::Pushed(_)) => {
            let failure =
                xtask_core::exit::Failure::new(xtask_core::exit::Exit::Prerequisite, text);
            Check::wrong(what, failure.hint(SPACE_FIX))
        }
        (Space::Tight | Space::TooSmall, _) => Check::warning(what, text, SPACE_FIX),
    })
}

/// The compressed size of an image, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    /// Of what is rolled out.
    Pushed(u64),
    /// Of what is replaced.
    Running(u64),
}

/// The size of the largest image that the services run. Whatever of it can not be had is no
/// reason to stop.
pub(super) async fn running(
    aws: &Aws,
    environment: &Environment,
    services: &[ServiceFacts],
) -> Option<Size> {
    let repository = &environment.repository;
    let images: BTreeSet<String> = services
        .iter()
        .filter_map(|service| service.image(&environment.container))
        .filter_map(|image| reference_in(image, repository).map(str::to_owned))
        .collect();
    let calls = images.into_iter().map(|reference| {
        let (aws, repository) = (aws.clone(), repository.clone());
        async move { ecr::size(&aws, &repository, &reference).await.ok().flatten() }
    });
    let sizes = all_beside(calls.collect::<Vec<_>>()).await;
    sizes.into_iter().flatten().max().map(Size::Running)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn needs(storage: u64) -> [Needs; 1] {
        let definition = json!({ "requiresCompatibilities": ["FARGATE"],
            "ephemeralStorage": { "sizeInGiB": storage } });
        [Needs::of("app:7", &definition)]
    }

    #[test]
    fn what_was_pushed_is_refused_and_what_runs_only_warns() {
        const GB: u64 = 1_000_000_000;
        let word = |gib, size| storage(&needs(gib), size).map(|check| check.found.word());
        assert_eq!(word(20, Size::Pushed(GB)), Some("ok"));
        assert_eq!(word(20, Size::Pushed(7 * GB)), Some("warning"));
        assert_eq!(word(20, Size::Pushed(11 * GB)), Some("wrong"));
        assert_eq!(word(20, Size::Running(11 * GB)), Some("warning"));
        assert!(storage(&[Needs::default()], Size::Pushed(u64::MAX)).is_none());
    }

    #[test]
    fn an_image_for_another_processor_is_refused_and_an_unknown_one_noted() {
        let of = |text: &str| Ok(vec![fit::platform(text)]);
        let word = |image: &Result<Vec<Platform>>| {
            architecture(&needs(20), image).iter().map(|c| c.found.word()).collect::<Vec<_>>()
        };
        assert_eq!(word(&of("linux/amd64")), ["ok"]);
        assert_eq!(word(&of("linux/arm64")), ["wrong"]);
        assert_eq!(word(&Err(anyhow::anyhow!("no"))), ["note"]);
    }
}
