//! The commands that ask BuildKit what an image is made from, without making it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::argv::Argv;
use crate::config::Config;

/// How buildx is started for these commands.
#[derive(Clone, Debug)]
pub struct Buildx {
    /// The plug-in's program. Started by itself it is there sooner than by `docker`, which first
    /// starts it to ask what it is.
    pub program: Option<String>,
    /// An empty folder for its configuration: so it has no builder but that of the Docker
    /// context, and keeps no record of these builds among the user's.
    pub config: PathBuf,
}

impl Buildx {
    fn argv(&self, args: &[&str]) -> Argv {
        let argv = match &self.program {
            Some(program) => Argv::new(program),
            None => Argv::docker(["buildx"]),
        };
        argv.args(args.iter().copied())
            .env("BUILDX_CONFIG", self.config.display().to_string())
            .env("BUILDX_BUILDER", "")
            // It would run git several times, for a provenance that nobody reads.
            .env("BUILDX_GIT_INFO", "0")
    }
}

/// A Dockerfile that copies the whole context and nothing else.
pub const CONTEXT: &str = "FROM scratch\nCOPY . /\n";

/// BuildKit's view of the context as a tar archive on standard output. `dockerfile` holds
/// [`CONTEXT`], in a folder with the ignore file of the project's own Dockerfile, if that has one:
/// BuildKit prefers it to the context's.
///
/// Any BuildKit has the same view, so this is for the engine's own: it needs no start, and
/// nothing crosses a network.
pub fn context(context: &Path, dockerfile: &Path, buildx: &Buildx) -> Argv {
    buildx
        .argv(&["build"])
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
    buildx: &Buildx,
) -> Argv {
    let mut argv = buildx
        .argv(&["build"])
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
pub fn digest(image: &str, buildx: &Buildx) -> Argv {
    buildx.argv(&["imagetools", "inspect"]).flag("--format", "{{json .Manifest}}").arg(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_is_read_by_the_engine_s_own_builder() {
        let mut buildx = Buildx { program: None, config: "/s/buildx".into() };
        let argv = context(Path::new("/p/app"), Path::new("/s/probe"), &buildx).to_string();
        assert_eq!(
            argv,
            "BUILDX_CONFIG=/s/buildx BUILDX_BUILDER='' BUILDX_GIT_INFO=0 docker buildx build \
             --file /s/probe --progress quiet --provenance=false --output - /p/app"
        );
        buildx.program = Some("/lib/docker-buildx".into());
        let direct = context(Path::new("/p/app"), Path::new("/s/probe"), &buildx).to_string();
        assert_eq!(direct, argv.replace("docker buildx", "/lib/docker-buildx"));
    }
}
