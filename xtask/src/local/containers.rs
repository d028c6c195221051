//! What the emulator leaves in the Docker Engine: containers, and images of its registry.

use anyhow::Result;

use crate::proc::{Env, captured};
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::argv::Argv;

/// Removes the containers with a label. Returns how many there were.
///
/// # Errors
/// [`Exit::Prerequisite`]: the engine does not answer, or does not remove one.
pub async fn remove_containers(label: &str) -> Result<usize> {
    let filter = format!("label={label}");
    let ids =
        list(Argv::docker(["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter])).await?;
    if !ids.is_empty() {
        // Their anonymous volumes go with them.
        docker(Argv::docker(["rm", "--force", "--volumes"]).args(ids.iter().cloned())).await?;
    }
    Ok(ids.len())
}

/// Removes the images of a registry from the local image store. Returns how many there were.
///
/// # Errors
/// As [`remove_containers`].
pub async fn remove_images(registry: &str) -> Result<usize> {
    let format = "{{.Repository}} {{.Tag}} {{.Digest}}";
    let argv = Argv::docker(["image", "ls", "--all", "--digests", "--format", format]);
    let names = of_registry(&list(argv).await?, registry);
    if !names.is_empty() {
        docker(Argv::docker(["image", "rm"]).args(names.iter().cloned())).await?;
    }
    Ok(names.len())
}

/// The names of a registry's images, by which they can be removed without touching other names
/// of the same content.
fn of_registry(lines: &[String], registry: &str) -> Vec<String> {
    let prefix = format!("{registry}/");
    let mut names: Vec<String> = lines
        .iter()
        .filter(|line| line.starts_with(&prefix))
        .filter_map(|line| {
            let mut fields = line.split(' ');
            match (fields.next()?, fields.next()?, fields.next()?) {
                (_, "<none>", "<none>") => None,
                (name, "<none>", digest) => Some(format!("{name}@{digest}")),
                (name, tag, _) => Some(format!("{name}:{tag}")),
            }
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

async fn list(argv: Argv) -> Result<Vec<String>> {
    Ok(docker(argv).await?.lines().map(str::to_owned).collect())
}

async fn docker(argv: Argv) -> Result<String> {
    let shown = argv.to_string();
    let output = captured(argv, Env::default()).await?;
    if output.ok() {
        return Ok(output.stdout);
    }
    let short: String = shown.chars().take(80).collect();
    Err(Failure::new(Exit::Prerequisite, format!("`{short}`: {}", output.reason()))
        .hint("once the Docker Engine answers, `cargo xtask local down` removes the rest")
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_images_of_that_registry_are_named() {
        let lines = [
            "127.0.0.1:4566/app <none> sha256:a",
            "127.0.0.1:4566/app latest sha256:b",
            "127.0.0.1:4566/app latest sha256:b",
            "127.0.0.1:45660/app latest sha256:c",
            "app latest sha256:d",
            "<none> <none> sha256:e",
        ]
        .map(str::to_owned);
        assert_eq!(
            of_registry(&lines, "127.0.0.1:4566"),
            ["127.0.0.1:4566/app:latest", "127.0.0.1:4566/app@sha256:a"]
        );
    }
}
