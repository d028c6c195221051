//! The only code that changes anything: it takes a plan's steps one by one.

pub mod build;
pub mod builder;
pub mod deregister;
pub mod ecs;
pub mod infra;
pub mod lock;
pub mod login;
pub mod prune;
pub mod recover;
mod roll_out;
pub mod run;
mod settle;
pub mod tag;
pub mod verify;
pub mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::aws::{Aws, Session, explain};
use crate::interrupt::remember;
use crate::observe::ecs::revision;
use crate::proc::Env;
use crate::ui::Ui;
pub use build::Built;
pub use ecs::Updated;
use lock::Lock;
pub use roll_out::roll_out;
use roll_out::{holding, is_needless, unchanged};
pub use verify::HealthAnswer;
use watch::{Outcome, Tempo};
use xtask_core::config::{Config, Environment};
use xtask_core::event::Event;
use xtask_core::exit::{Again, Exit, Failure, again};
use xtask_core::plan::deploy::{ImageRef, Plan, Step};
use xtask_core::rollout::{Task, Verdict};

/// What the steps need.
pub struct Context<'a> {
    /// Where events go.
    pub ui: &'a Ui,
    /// The project.
    pub config: &'a Config,
    /// The clients and the environment, unless the command is local.
    pub aws: Option<(&'a Session, &'a Environment)>,
}

impl Context<'_> {
    fn session(&self) -> Result<(&Session, &Environment)> {
        self.aws.context("a step that needs AWS is in a plan without an environment")
    }

    fn aws(&self) -> Result<(Aws, &Environment)> {
        self.session().map(|(session, environment)| (session.aws(), environment))
    }
}

/// What the steps did, as far as they came.
#[derive(Default)]
pub struct Done {
    /// The build.
    pub built: Option<Built>,
    /// `repository@digest` of what is rolled out.
    pub image: Option<String>,
    /// The container that ran on this machine.
    pub ran: Option<run::Ran>,
    /// What became of each service's update.
    pub updated: BTreeMap<String, Updated>,
    /// Whether the rollouts were watched, or began to be: before that, a service that was moved is
    /// one whose neighbour was not.
    pub watched: bool,
    /// What became of each rollout.
    pub outcomes: BTreeMap<String, Outcome>,
    /// What the health URL said.
    pub health: Option<HealthAnswer>,
    lock: Option<Arc<Lock>>,
    docker: Option<login::DockerConfig>,
}

impl Done {
    /// Nothing yet; `image` is what will be rolled out, where that is known already.
    pub fn with(image: Option<String>) -> Self {
        Self { image, ..Self::default() }
    }

    /// What a job's outputs say of it, by their names; what is not known is empty.
    pub fn outputs(&self) -> [(&'static str, String); 3] {
        let image = self.image.clone().unwrap_or_default();
        let digest = image.split_once('@').map(|(_, digest)| digest.to_owned());
        let moved = self.updated.values().map(|updated| updated.task_definition.as_str());
        [
            ("digest", digest.unwrap_or_default()),
            ("image", image),
            ("task-definition", moved.collect::<Vec<_>>().join(" ")),
        ]
    }

    /// Whether every service already ran what was asked for.
    pub fn unchanged(&self) -> bool {
        !self.updated.is_empty() && self.updated.values().all(|updated| updated.target.is_none())
    }

    /// Services that roll out something new.
    fn changed<'a>(&'a self, services: &'a [String]) -> impl Iterator<Item = &'a Updated> {
        services
            .iter()
            .filter_map(|service| self.updated.get(service))
            .filter(|updated| updated.target.is_some())
    }

    fn env(&self) -> Env {
        self.docker.as_ref().map(login::DockerConfig::env).unwrap_or_default()
    }
}

/// Takes the steps of a plan. What was done is in `done`, also after an error.
///
/// # Errors
/// The first step that fails.
pub async fn apply(context: &Context<'_>, plan: &Plan, done: &mut Done) -> Result<()> {
    let of = plan.steps.len();
    for (index, step) in plan.steps.iter().enumerate() {
        let number = index + 1;
        if let Step::Lock { .. } = step {
            let unchanged = unchanged(context, plan, done).await?;
            done.updated.extend(unchanged);
        }
        if is_needless(step, done) {
            continue;
        }
        context.ui.emit(&Event::StepStarted { number, of, step: step.to_string() });
        let start = Instant::now();
        let mut taken = holding(context, step, done).await;
        // A build may take longer than the credentials last. AWS refused them, so nothing of the
        // step was done that can not be done again.
        if let (Err(error), Some((session, _))) = (&taken, context.aws)
            && again(error) == Again::WithNewCredentials
        {
            session.renew().await;
            taken = holding(context, step, done).await;
        }
        context.ui.known(done.outputs());
        let detail = taken?;
        let seconds = start.elapsed().as_secs_f64();
        context.ui.emit(&Event::StepFinished { number, seconds, detail });
    }
    Ok(())
}

async fn take(context: &Context<'_>, step: &Step, done: &mut Done) -> Result<Option<String>> {
    match step {
        Step::CreateBuilder(creation) => builder::create(creation).await.map(|()| None),
        Step::RemoveBuilder(argv) => builder::rm(argv).await.map(|()| None),
        Step::CreateRepository { name } => create_repository(context, name).await.map(|()| None),
        Step::CreateCacheRepository { name } => {
            if let Err(error) = create_repository(context, name).await {
                context.ui.emit(&Event::Warning {
                    text: format!("the build goes on, and its cache is not kept: {error:#}"),
                    hint: Some(format!("create the repository `{name}`, or let the role do it")),
                });
            }
            Ok(None)
        }
        Step::Login { registry } => {
            done.docker = Some(log_in(context, registry).await?);
            Ok(None)
        }
        Step::Build(build) => {
            let built = build::run(context, build, done.env()).await?;
            done.image.clone_from(&built.image.pushed);
            let detail = built.summary();
            done.built = Some(built);
            Ok(Some(detail))
        }
        Step::Run(step) => {
            let ran = run::run(context, step).await?;
            let detail = ran.to_string();
            done.ran = Some(ran);
            Ok(Some(detail))
        }
        Step::Lock { cluster, services, what, if_busy, deadline } => {
            let (session, _) = context.session()?;
            let what = match &done.image {
                Some(image) => format!("{what} of {image}"),
                None => what.clone(),
            };
            let (if_busy, deadline) = (*if_busy, *deadline);
            let wanted = lock::Wanted { cluster, services, if_busy, deadline, what: &what };
            let lock = lock::take(context.ui, session, &wanted, lock::Timing::default()).await?;
            done.lock = Some(Arc::new(lock));
            Ok(None)
        }
        Step::CheckSize { storage } => {
            let size = done.built.as_ref().and_then(|built| built.image.size);
            verify::size(context.ui, size, *storage).map(Some)
        }
        Step::Tag(tag) => {
            let (aws, environment) = context.aws()?;
            tag::tag(&aws, environment, tag).await
        }
        Step::Mark(mark) => {
            let built = done.built.as_ref().context("a plan marks an image before it builds it")?;
            Ok(Some(tag::mark(context, mark, built).await))
        }
        Step::Leave(leave) => {
            done.image = Some(leave.image.clone());
            done.updated.insert(leave.service.clone(), Updated::left(leave));
            Ok(None)
        }
        Step::Settle { services, if_busy, deadline } => {
            let (session, environment) = context.session()?;
            let cluster = &environment.cluster;
            settle::settle(context.ui, session, cluster, services, *if_busy, *deadline).await
        }
        Step::Update(update) => {
            if let Some(unchanged) = done.updated.get(&update.service) {
                return Ok(Some(unchanged.summary()));
            }
            let (aws, environment) = context.aws()?;
            let image = done.image.clone();
            let guard = ecs::Guard {
                lock: done.lock.as_deref(),
                environment: Some(environment),
                ..ecs::Guard::default()
            };
            let updated = ecs::update(context.ui, &aws, update, image.as_deref(), guard).await?;
            let detail = updated.summary();
            done.image = updated.image.clone().or(image);
            done.updated.insert(update.service.clone(), updated);
            Ok(Some(detail))
        }
        Step::Watch { services, deadline } => {
            let (session, environment) = context.session()?;
            let updated: Vec<_> = done.changed(services).cloned().collect();
            done.watched = true;
            let (ui, cluster, tempo) = (context.ui, &environment.cluster, Tempo::default());
            let outcomes = watch::watch(ui, session, cluster, &updated, tempo, *deadline).await?;
            let verdict = xtask_core::rollout::worst(outcomes.values().map(|o| o.verdict.clone()));
            let each = each(&outcomes, verdict.as_ref());
            done.outcomes.extend(outcomes);
            match verdict {
                Some(verdict @ Verdict::Succeeded { .. }) => {
                    for updated in done.changed(services) {
                        let (service, to) = (&updated.service, revision(&updated.task_definition));
                        remember(
                            format!("service {service}"),
                            format!(
                                "{service} runs {to}, whose checks had not ended: {}",
                                updated.next()
                            ),
                        );
                    }
                    Ok(Some(verdict.to_string()))
                }
                Some(verdict) => {
                    let mut failure = watch::failure(&verdict, environment);
                    failure.message = each.unwrap_or(failure.message);
                    Err(failure.into())
                }
                None => Ok(None),
            }
        }
        Step::VerifyDigest { services } => {
            let (aws, environment) = context.aws()?;
            // Services that go back may go back to different images.
            let mut by_image: BTreeMap<&str, Vec<Task>> = BTreeMap::new();
            for updated in done.changed(services) {
                let Some(outcome) = done.outcomes.get(&updated.service) else { continue };
                if !matches!(outcome.verdict, Verdict::Succeeded { running: 0 }) {
                    let image = updated.image.as_deref().unwrap_or_default();
                    by_image.entry(image).or_default().extend(outcome.tasks.iter().cloned());
                }
            }
            if by_image.is_empty() {
                return Ok(Some("no task is wanted, so there is nothing to compare".into()));
            }
            let mut details = Vec::new();
            for (image, tasks) in by_image {
                details.push(verify::digests(context.ui, &aws, environment, image, &tasks).await?);
            }
            Ok(Some(details.join("; ")))
        }
        Step::VerifyHealth(check) => {
            let (aws, _) = context.aws()?;
            let answer = verify::health(&aws, check).await?;
            let detail = answer.to_string();
            done.health = Some(answer);
            Ok(Some(detail))
        }
    }
}

/// How each of several rollouts ended, by service, the worst first; `None` for a single one.
fn each(outcomes: &BTreeMap<String, Outcome>, worst: Option<&Verdict>) -> Option<String> {
    let mut said: Vec<_> = outcomes.iter().collect();
    said.sort_by_key(|(_, outcome)| Some(&outcome.verdict) != worst);
    let said: Vec<_> =
        said.iter().map(|(service, outcome)| format!("{service} {}", outcome.verdict)).collect();
    (said.len() > 1).then(|| said.join("; "))
}

async fn create_repository(context: &Context<'_>, name: &str) -> Result<()> {
    let (aws, _) = context.aws()?;
    let subject = format!("repository {name}");
    remember(subject.as_str(), format!("the repository {name} may be created"));
    let scan = aws_sdk_ecr::types::ImageScanningConfiguration::builder().scan_on_push(true).build();
    let created =
        aws.ecr.create_repository().repository_name(name).image_scanning_configuration(scan);
    match created.send().await {
        Ok(_) => {
            remember(subject, format!("the repository {name} was created"));
            Ok(())
        }
        // Somebody else was faster, which is just as well.
        Err(error)
            if error
                .as_service_error()
                .is_some_and(|e| e.is_repository_already_exists_exception()) =>
        {
            Ok(())
        }
        Err(error) => Err(explain("ecr:CreateRepository", &error)),
    }
}

/// Gets a token from ECR, which is good for twelve hours, and logs in with it.
async fn log_in(context: &Context<'_>, registry: &str) -> Result<login::DockerConfig> {
    let (aws, _) = context.aws()?;
    let answer = aws
        .ecr
        .get_authorization_token()
        .send()
        .await
        .map_err(|error| explain("ecr:GetAuthorizationToken", &error))?;
    let token = answer.authorization_data().first().and_then(|data| data.authorization_token());
    let (user, password) = token.and_then(decode_token).ok_or_else(|| {
        Failure::new(Exit::Prerequisite, "ecr:GetAuthorizationToken answered without a token")
            .hint("check `endpoint-url` and the account in xtask.toml")
    })?;
    let registry = registry.to_owned();
    tokio::task::spawn_blocking(move || {
        let docker = login::DockerConfig::create(&registry)?;
        docker.login(&registry, &user, &password)?;
        Ok(docker)
    })
    .await?
}

/// The token is `user:password` in base64.
fn decode_token(token: &str) -> Option<(String, String)> {
    let bytes = aws_smithy_types::base64::decode(token).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The image that a change refers to.
pub fn concrete(image: &ImageRef, pushed: Option<&str>) -> Result<String> {
    match image {
        ImageRef::Known(image) => Ok(image.clone()),
        ImageRef::Pushed(_) => {
            pushed.map(str::to_owned).context("the plan updates a service before it pushes")
        }
    }
}

#[cfg(test)]
mod tests;
