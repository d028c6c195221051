//! What a build needs: the commit, the engine, the builder, build arguments.

use std::collections::BTreeMap;

use anyhow::Result;

use super::caches;
use super::check::Check;
use crate::observe::caches::{CacheFacts, caches};
use crate::observe::engine::{BuilderFacts, Engine, builder, engine, first_local_image};
use crate::observe::git::{Git, git};
use crate::observe::inputs::{InputFacts, Wanted, inputs};
use xtask_core::config::{Arg, Builder, Config, Driver};
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::builder::fix;
use xtask_core::plan::version::{BUILDKIT, BUILDX, ENGINE, Version};

/// What a build depends on.
#[derive(Clone, Debug)]
pub struct BuildFacts {
    /// The commit.
    pub git: Option<Git>,
    /// The builder.
    pub builder: BuilderFacts,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// What the image is made from, if that was asked and can be told.
    pub inputs: Option<Box<InputFacts>>,
    /// What the caches depend on.
    pub caches: CacheFacts,
}

/// Asks what a build depends on; with `wanted`, also what the image is made from.
pub async fn for_build(
    config: &Config,
    wanted: Option<Wanted<'_>>,
) -> (Vec<Check>, Option<BuildFacts>) {
    let engine = async {
        let engine = engine().await.and_then(new_enough);
        let builder = match &engine {
            Ok(engine) => Some(builder(&config.builder, engine).await),
            Err(_) => None,
        };
        (engine, builder)
    };
    let (git, (engine, builder), (args, mut inputs), caches) =
        tokio::join!(git(&config.root), engine, args_and_inputs(config, wanted), caches(config));
    let (git_check, git) = Check::of("commit", git, |git| match git {
        Some(git) => git.tag(),
        None => "not a git repository, so the image gets no commit".to_owned(),
    });
    let (engine_check, engine) = Check::of("engine", engine, |engine| {
        format!("Docker Engine {}, buildx {}", engine.version, engine.buildx)
    });
    let mut checks = vec![git_check, engine_check];
    // Without an engine, what else is wrong is wrong because of that.
    let (Some(engine), Some(found)) = (engine, builder) else { return (checks, None) };
    if let Some(Ok(inputs)) = &mut inputs {
        inputs.learn_buildx(&config.root, engine.buildx_path.as_deref());
    }
    let found = found.and_then(|found| new_enough_buildkit(found, &config.builder));
    let (builder_check, builder) = Check::of("builder", found, |builder| {
        let there = if builder.exists { "" } else { ", will be created" };
        let buildkit = builder.buildkit.as_ref().map(|version| format!(", BuildKit {version}"));
        format!("{}{}{there}", builder.name, buildkit.unwrap_or_default())
    });
    let (args_check, args) =
        Check::of("build arguments", args, |args| format!("{} resolved", args.len()));
    checks.push(builder_check);
    checks.extend(builder.as_ref().and_then(|builder| as_configured(config, builder)));
    if let (Some(builder), Ok(caches)) = (&builder, &caches) {
        checks.extend(caches::checks(config, builder, caches));
    }
    checks.push(args_check);
    checks.extend(inputs.as_ref().map(inputs_check));
    let context = inputs.iter().flatten().find(|inputs| !inputs.secrets().is_empty());
    checks.extend(context.map(|inputs| context_check(inputs.secrets())));
    let facts = match (git, builder, args, caches) {
        (Some(git), Some(builder), Some(args), Ok(caches)) => Some(BuildFacts {
            git,
            builder,
            args,
            caches,
            inputs: inputs.and_then(Result::ok).map(Box::new),
        }),
        // Only git was asked for the caches, and has already said what is wrong.
        _ => None,
    };
    (checks, facts)
}

/// The build arguments and, if that is wanted, what the image is made from.
async fn args_and_inputs(
    config: &Config,
    wanted: Option<Wanted<'_>>,
) -> (Result<BTreeMap<String, String>>, Option<Result<InputFacts>>) {
    match wanted {
        Some(wanted) => {
            let (args, inputs) = inputs(config, args(config), wanted).await;
            (args, Some(inputs))
        }
        None => (args(config).await, None),
    }
}

/// What the image is made from. A build goes on where that can not be told.
fn inputs_check(inputs: &Result<InputFacts>) -> Check {
    match inputs {
        Ok(inputs) => Check::ok("inputs", inputs.summary()),
        Err(error) => Check::note(
            "inputs",
            format!("can not be compared with those of earlier images: {error:#}"),
            "the image is built each time",
        ),
    }
}

/// Whether a step copies such a file is known only when it is too late.
fn context_check(files: &[String]) -> Check {
    Check::warning(
        "context",
        format!(
            "the build context holds what look like secrets, in {}: with `COPY . .` they are in \
             the image, and in the cache of whoever may read the repository",
            files.join(", ")
        ),
        "name these files in .dockerignore; what a step needs of them, give it with \
         [[image.secrets]] of xtask.toml",
    )
}

fn new_enough(engine: Engine) -> Result<Engine> {
    let old = |what: &str, found: &str, least: Version| {
        Failure::new(
            Exit::Prerequisite,
            format!("{what} {found} is too old: {least} is the oldest"),
        )
        .hint(
            "update it: on Debian and Ubuntu, `scripts/onboard` does; on macOS, update Docker \
                 Desktop",
        )
    };
    if ENGINE.is_newer_than(&engine.version) {
        return Err(old("Docker Engine", &engine.version, ENGINE).into());
    }
    if BUILDX.is_newer_than(&engine.buildx) {
        return Err(old("buildx", &engine.buildx, BUILDX).into());
    }
    Ok(engine)
}

fn new_enough_buildkit(facts: BuilderFacts, builder: &Builder) -> Result<BuilderFacts> {
    let Some(found) = facts.buildkit.as_ref().filter(|found| BUILDKIT.is_newer_than(found)) else {
        return Ok(facts);
    };
    let text = format!(
        "BuildKit {found} of the builder `{}` is too old: {BUILDKIT} is the oldest",
        facts.name
    );
    let hint = match builder.driver {
        Driver::Remote => "update the BuildKit that listens at the builder's `endpoint`".to_owned(),
        _ => format!(
            "remove it with its cache, and the next build creates it anew: `docker buildx rm {}`",
            facts.name
        ),
    };
    Err(Failure::new(Exit::Prerequisite, text).hint(hint).into())
}

/// A builder that differs from its configuration. It is used as it is: its cache is the user's.
fn as_configured(config: &Config, builder: &BuilderFacts) -> Option<Check> {
    let differences: Vec<_> = builder.differences.iter().map(ToString::to_string).collect();
    (!differences.is_empty()).then(|| {
        let text = format!(
            "the builder `{}` is not as configured: {}",
            builder.name,
            differences.join("; ")
        );
        Check::warning("builder", text, fix(&builder.name, config.builder.driver))
    })
}

async fn args(config: &Config) -> Result<BTreeMap<String, String>> {
    let mut resolved = BTreeMap::new();
    for (name, arg) in &config.args {
        let value = match arg {
            Arg::Text(text) => text.clone(),
            Arg::LocalImage(names) => first_local_image(names).await?.ok_or_else(|| {
                Failure::new(
                    Exit::Prerequisite,
                    format!("the local image store has none of: {}", names.join(", ")),
                )
                .hint(format!(
                    "`docker pull {}`; for the local environment, `cargo xtask local up`",
                    names.first().map_or("", String::as_str)
                ))
            })?,
        };
        resolved.insert(name.clone(), value);
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask_core::exit::{exit_of, hint_of};

    fn builder(exports_cache: bool, buildkit: Option<&str>) -> BuilderFacts {
        let buildkit = buildkit.map(str::to_owned);
        BuilderFacts {
            name: "b".into(),
            exists: true,
            exports_cache,
            buildkit,
            ..BuilderFacts::default()
        }
    }

    #[test]
    fn an_old_engine_buildx_or_buildkit_is_refused_with_the_oldest_that_does() {
        let engine = |version: &str, buildx: &str| Engine {
            version: version.into(),
            context: "default".into(),
            buildx: buildx.into(),
            buildx_path: None,
            containerd_store: true,
        };
        assert!(new_enough(engine("28.5.2+dfsg4", "0.29.1+ds1")).is_ok());
        assert!(new_enough(engine("dev", "")).is_ok());
        let error = new_enough(engine("24.0.9", "v0.29.1")).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Prerequisite);
        assert_eq!(error.to_string(), "Docker Engine 24.0.9 is too old: 25.0.0 is the oldest");
        let error = new_enough(engine("28.0.0", "v0.12.1")).unwrap_err().to_string();
        assert_eq!(error, "buildx v0.12.1 is too old: 0.18.0 is the oldest");

        let of = |driver| Builder { driver, ..Builder::default() };
        let own = of(Driver::DockerContainer);
        assert!(new_enough_buildkit(builder(true, Some("v0.29.0")), &own).is_ok());
        assert!(new_enough_buildkit(builder(true, None), &own).is_ok());
        let old = || builder(true, Some("v0.12.5"));
        let error = new_enough_buildkit(old(), &own).unwrap_err();
        assert!(error.to_string().contains("BuildKit v0.12.5 of the builder `b`"), "{error}");
        assert!(hint_of(&error).unwrap().contains("docker buildx rm b"));
        let error = new_enough_buildkit(old(), &of(Driver::Remote)).unwrap_err();
        assert!(hint_of(&error).unwrap().contains("endpoint"));
    }
}
