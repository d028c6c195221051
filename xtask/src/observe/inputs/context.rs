//! The build context as BuildKit sees it.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::proc::{Env, piped};
use xtask_core::config::Config;
use xtask_core::fingerprint::context::{Context, read};
use xtask_core::plan::probe::{self, Buildx};

/// Has BuildKit pack the context, and reads what it packs. `scratch` is a private folder.
///
/// # Errors
/// BuildKit can not read it.
pub(super) async fn context(config: &Config, scratch: &Path, buildx: &Buildx) -> Result<Context> {
    // Its name is what `docker buildx history` shows.
    let probe = scratch.join("xtask-context");
    std::fs::write(&probe, probe::CONTEXT)?;
    let own = ignore_file(&config.dockerfile());
    match std::fs::read(&own) {
        Ok(text) => std::fs::write(ignore_file(&probe), text)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => bail!("{}: {error}", own.display()),
    }
    let argv = probe::context(&config.context(), &probe, buildx);
    let (output, context) = piped(argv, Env::default(), |archive| Ok(read(archive)?)).await?;
    if !output.ok() {
        bail!("BuildKit can not read the context: {}", output.reason());
    }
    context.context("what BuildKit says of the context can not be read")
}

/// The ignore file that is for one Dockerfile only.
fn ignore_file(dockerfile: &Path) -> std::path::PathBuf {
    let mut name = dockerfile.as_os_str().to_owned();
    name.push(".dockerignore");
    name.into()
}
