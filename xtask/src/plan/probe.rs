//! The commands that ask BuildKit what an image is made from, without making it.

use std::collections::BTreeMap;
use std::path::Path;

use super::argv::Argv;
use crate::config::Config;

/// A Dockerfile that copies the whole context and nothing else.
pub const CONTEXT: &str = "FROM scratch\nCOPY . /\n";

/// BuildKit's view of the context as a tar archive on standard output. `dockerfile` holds
/// [`CONTEXT`], in a folder with the ignore file of the project's own Dockerfile, if that has one:
/// BuildKit prefers it to the context's.
///
/// Any BuildKit has the same view, so this is for the engine's own: it needs no start, and
/// nothing crosses a network.
pub fn context(context: &Path, dockerfile: &Path, buildx: &Path) -> Argv {
    engine_build(buildx)
        .flag("--file", dockerfile.display().to_string())
        .flag("--progress", "quiet")
        .arg("--provenance=false")
        .flag("--output", "-")
        .arg(context.display().to_string())
}

/// What the Dockerfile offers, for one platform: to tell it BuildKit looks up every image that
/// the build would start or copy from, and its progress names them.
pub fn outline(
    config: &Config,
    args: &BTreeMap<String, String>,
    target: Option<&str>,
    platform: &str,
    buildx: &Path,
) -> Argv {
    let mut argv = engine_build(buildx)
        .flag("--call", "outline")
        .flag("--progress", "rawjson")
        .flag("--platform", platform)
        .flag("--file", config.dockerfile().display().to_string());
    if let Some(target) = target {
        argv = argv.flag("--target", target);
    }
    for (name, value) in args {
        argv = argv.flag("--build-arg", format!("{name}={value}"));
    }
    argv.arg(config.context().display().to_string())
}

/// The digest that an image's name stands for in its registry.
pub fn digest(image: &str, buildx: &Path) -> Argv {
    engine(Argv::docker(["buildx", "imagetools", "inspect"]), buildx)
        .flag("--format", "{{json .Manifest}}")
        .arg(image)
}

fn engine_build(buildx: &Path) -> Argv {
    // buildx would run git several times, for a provenance that nobody reads.
    engine(Argv::docker(["buildx", "build"]), buildx).env("BUILDX_GIT_INFO", "0")
}

/// With an empty configuration, buildx has no builder but that of the Docker context; and it
/// keeps no record of these builds among the user's.
fn engine(argv: Argv, buildx: &Path) -> Argv {
    argv.env("BUILDX_CONFIG", buildx.display().to_string()).env("BUILDX_BUILDER", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_is_read_by_the_engine_s_own_builder() {
        let argv = context(Path::new("/p/app"), Path::new("/s/probe"), Path::new("/s/buildx"));
        assert_eq!(
            argv.to_string(),
            "BUILDX_CONFIG=/s/buildx BUILDX_BUILDER='' BUILDX_GIT_INFO=0 docker buildx build \
             --file /s/probe --progress quiet --provenance=false --output - /p/app"
        );
    }
}
