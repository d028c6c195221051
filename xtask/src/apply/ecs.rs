//! Registers a revision and points a service at it.

mod guard;
mod lost;
mod tries;

use anyhow::{Context as _, Result};
use aws_sdk_ecs::types::Service;
use serde_json::{Value, json};

use super::concrete;
use super::lock;
use crate::aws::{Aws, explain, wire};
use crate::interrupt::remember;
use crate::observe::ecs::{
    ServiceFacts, container_of, describe_service, describe_task_definition, revision,
};
use crate::ui::Ui;
pub use guard::Guard;
use xtask_core::event::Event;
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::changes::{IMAGE_TAG, PREVIOUS_TAG, differences};
use xtask_core::plan::deploy::{TaskChange, Update};
use xtask_core::plan::diff::{Difference, is_unchanged};
use xtask_core::plan::reuse::Leave;
use xtask_core::plan::taskdef;
use xtask_core::rollout::Target;

/// What became of an update.
#[derive(Clone, Debug)]
pub struct Updated {
    /// The ECS service.
    pub service: String,
    /// The image that the revision names.
    pub image: Option<String>,
    /// The ARN of the task definition that the service was on.
    pub previous: String,
    /// The ARN of the task definition that served then: another one, when that one failed or had
    /// not come to its end. Only what served is worth going back to.
    pub served: Option<String>,
    /// The ARN of the task definition that the service is on.
    pub task_definition: String,
    /// What the new revision differs in.
    pub differences: Vec<Difference>,
    /// What to watch; `None` when nothing was changed.
    pub target: Option<Target>,
    /// Whether it went back to an earlier revision.
    pub back: bool,
}

impl Updated {
    /// Of a service that runs what was asked for.
    pub fn left(leave: &Leave) -> Self {
        Self {
            service: leave.service.clone(),
            image: Some(leave.image.clone()),
            previous: leave.task_definition.clone(),
            served: Some(leave.task_definition.clone()),
            task_definition: leave.task_definition.clone(),
            differences: Vec::new(),
            target: None,
            back: false,
        }
    }

    /// The ARN of what is put back when this one fails.
    pub fn goes_back_to(&self) -> Option<&str> {
        self.served.as_deref().filter(|served| *served != self.task_definition)
    }

    /// How to go on after an interruption. Who goes back is not told to go back one more.
    pub fn next(&self) -> &'static str {
        if self.back {
            "`cargo xtask status` shows it"
        } else {
            "`cargo xtask status` shows it, `cargo xtask rollback` undoes it"
        }
    }

    /// For the step's last line.
    pub fn summary(&self) -> String {
        let now = revision(&self.task_definition);
        match &self.target {
            None => format!("unchanged, {now} runs it already"),
            Some(target) => format!("{now}, deployment {}", target.deployment_id),
        }
    }
}

/// What an update would change.
struct Change {
    facts: ServiceFacts,
    image: Option<String>,
    next: Next,
    differences: Vec<Difference>,
    /// Whether the revision would be the same.
    same: bool,
}

impl Change {
    /// From the revision that runs now, and not the one that ran before the build.
    async fn of(aws: &Aws, update: &Update, pushed: Option<&str>) -> Result<Self> {
        let facts = describe_service(aws, &update.cluster, &update.service).await?;
        let (image, next, definition) = match &update.change {
            TaskChange::Existing(arn) => {
                let target = describe_task_definition(aws, arn).await?;
                let container = container_of(&target["taskDefinition"], &update.container);
                let image = container.and_then(|container| container["image"].as_str());
                (image.map(str::to_owned), Next::Existing(arn.clone()), target)
            }
            TaskChange::Next { image, environment, secrets } => {
                let image = concrete(image, pushed)?;
                let change = taskdef::Change {
                    container: update.container.clone(),
                    image: image.clone(),
                    environment: environment.clone(),
                    secrets: secrets.clone(),
                };
                let next = taskdef::next(&facts.described, &change)
                    .map_err(|error| Failure::new(Exit::Prerequisite, error.to_string()))?;
                (Some(image), Next::Register(next.clone()), next)
            }
        };
        let differences = differences(&facts.described, &definition);
        let same = is_unchanged(&facts.described, &definition);
        Ok(Self { facts, image, next, differences, same })
    }

    /// Whether nothing has to be done: the service is on what is asked for, and all its tasks run.
    fn is_idle(&self, force: bool) -> bool {
        self.same && self.facts.serves() && !force
    }

    fn unchanged(self, update: &Update) -> Updated {
        let previous = self.facts.task_definition_arn;
        Updated {
            service: update.service.clone(),
            image: self.image,
            task_definition: previous.clone(),
            served: Some(previous.clone()),
            previous,
            differences: self.differences,
            target: None,
            back: matches!(update.change, TaskChange::Existing(_)),
        }
    }
}

/// What becomes of an update that has nothing to change; `None` for any other.
///
/// # Errors
/// ECS can not be asked.
pub async fn unchanged(
    aws: &Aws,
    update: &Update,
    pushed: Option<&str>,
) -> Result<Option<Updated>> {
    if update.force {
        return Ok(None);
    }
    let change = Change::of(aws, update, pushed).await?;
    Ok(change.is_idle(update.force).then(|| change.unchanged(update)))
}

/// Registers the next revision and points the service at it; or does nothing, when the
/// service is on what was asked for, all its tasks run, and `force` is not set.
///
/// # Errors
/// ECS refuses, or can not be asked; or what `guard` asks for does not hold any more.
pub async fn update(
    ui: &Ui,
    aws: &Aws,
    update: &Update,
    pushed: Option<&str>,
    guard: Guard<'_>,
) -> Result<Updated> {
    let change = Change::of(aws, update, pushed).await?;
    for difference in &change.differences {
        ui.emit(&Event::Note { text: difference.to_string() });
    }
    if change.is_idle(update.force) {
        return Ok(change.unchanged(update));
    }
    let facts = &change.facts;
    if let Some(ours) = guard.replaces
        && facts.primary != ours
    {
        // ECS went back to it by itself.
        if matches!(&change.next, Next::Existing(arn) if *arn == facts.task_definition_arn) {
            return Ok(change.unchanged(update));
        }
        let text = format!(
            "{} is on {} by now (deployment {}), which somebody else deployed",
            update.service,
            facts.revision(),
            facts.primary
        );
        let hint = "that is left to them: `cargo xtask status` shows it";
        return Err(Failure::new(Exit::Superseded, text).hint(hint).into());
    }
    guard.has(aws, change.image.as_deref()).await?;
    let Change { facts, image, next, differences, same } = change;
    let previous = facts.task_definition_arn.clone();
    let task_definition = match next {
        Next::Existing(arn) => arn,
        Next::Register(_) if same => previous.clone(),
        Next::Register(mut input) => {
            // That of the revision it is made from is about another time.
            match &facts.served {
                Some(served) => set_tag(&mut input, PREVIOUS_TAG, revision(served)),
                None => remove_tag(&mut input, PREVIOUS_TAG),
            }
            if let Some((_, digest)) = image.as_ref().and_then(|image| image.split_once('@')) {
                set_tag(&mut input, IMAGE_TAG, digest);
            }
            let service = &update.service;
            remember(
                format!("service {service}"),
                format!("a revision may be registered, and {service} was not moved to it"),
            );
            register(aws, &input).await?
        }
    };
    guard.hold(&update.service).await?;
    let first = facts.desired == 0;
    // Somebody may have scaled it since the plan was made.
    let count = update.desired_count.filter(|_| first);
    let desired = count.unwrap_or(facts.desired);
    // Without that ECS would begin no deployment for the revision that the service is on, and the
    // verdict would be that of an earlier one.
    let force = update.force || task_definition == previous;
    let (service, to) = (&update.service, revision(&task_definition));
    let subject = format!("service {service}");
    remember(
        subject.as_str(),
        format!("asked ECS to move {service} to {to}: `cargo xtask status` shows whether it did"),
    );
    let call = async || update_service(aws, update, &task_definition, count, force).await;
    let ours = match tries::tries(async || guard.hold(service).await, call).await {
        Ok(answered) => lost::begun(&facts, &task_definition, &answered)
            .cloned()
            .context("ecs:UpdateService answered without a primary deployment")?,
        Err(error) => lost::look_again(ui, aws, update, &task_definition, &facts, error).await?,
    };
    let target = Target {
        service: update.service.clone(),
        deployment_id: ours.id().unwrap_or_default().to_owned(),
        task_definition: task_definition.clone(),
        previous_task_definition: (!first).then(|| previous.clone()),
        served_task_definition: facts.served.clone(),
        desired,
        started_at: ours.created_at().and_then(|at| at.to_millis().ok()).unwrap_or_default(),
    };
    let updated = Updated {
        service: update.service.clone(),
        image,
        previous,
        served: facts.served,
        task_definition,
        differences,
        target: Some(target.clone()),
        back: matches!(update.change, TaskChange::Existing(_)),
    };
    let (service, to, id) =
        (&updated.service, revision(&updated.task_definition), &target.deployment_id);
    remember(
        subject,
        format!(
            "{service} was moved to {to} (deployment {id}), and ECS goes on with that: {}",
            updated.next()
        ),
    );
    Ok(updated)
}

enum Next {
    Existing(String),
    Register(Value),
}

fn set_tag(input: &mut Value, key: &str, value: &str) {
    remove_tag(input, key);
    if !input["tags"].is_array() {
        input["tags"] = json!([]);
    }
    if let Some(tags) = input["tags"].as_array_mut() {
        tags.push(json!({ "key": key, "value": value }));
    }
}

fn remove_tag(input: &mut Value, key: &str) {
    if let Some(tags) = input["tags"].as_array_mut() {
        tags.retain(|tag| tag["key"] != key);
        if tags.is_empty() {
            input.as_object_mut().map(|input| input.shift_remove("tags"));
        }
    }
}

/// Registers a revision from raw JSON, and returns its ARN.
async fn register(aws: &Aws, input: &Value) -> Result<String> {
    let answer = wire::json(&aws.config, wire::Service::Ecs, "RegisterTaskDefinition", input)
        .await
        .map_err(|error| explain("ecs:RegisterTaskDefinition", &error))?;
    let arn = answer["taskDefinition"]["taskDefinitionArn"].as_str();
    arn.map(str::to_owned).context("ecs:RegisterTaskDefinition answered without an ARN")
}

/// Moves the service, and returns what ECS answers.
async fn update_service(
    aws: &Aws,
    update: &Update,
    task_definition: &str,
    count: Option<u32>,
    force: bool,
) -> Result<Service> {
    let answer = aws
        .ecs
        .update_service()
        .cluster(&update.cluster)
        .service(&update.service)
        .task_definition(task_definition)
        .set_desired_count(count.and_then(|count| i32::try_from(count).ok()))
        .force_new_deployment(force)
        .customize()
        .config_override(tries::once(lock::CALL))
        .send()
        .await
        .map_err(|error| explain("ecs:UpdateService", &error))?;
    answer.service.context("ecs:UpdateService answered without a service")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::aws::stand_in::StandIn;
    use crate::interrupt::message;

    const ARN: &str = "arn:aws:ecs:eu-central-1:123456789012:task-definition/app";

    /// What an interruption says while each call is in flight, and after the last one.
    async fn said(service: &str, change: TaskChange) -> (Vec<(String, String)>, String) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let (heard, name) = (Arc::clone(&said), service.to_owned());
        let stand_in = StandIn::start(move |operation: &str, request: &Value, _| {
            heard.lock().unwrap().push((operation.to_owned(), message()));
            let deployment = json!({ "id": "d-1", "status": "PRIMARY", "rolloutState": "COMPLETED",
                "taskDefinition": format!("{ARN}:7"), "desiredCount": 1, "runningCount": 1 });
            let found = json!({ "serviceName": name, "status": "ACTIVE", "desiredCount": 1,
                "runningCount": 1, "taskDefinition": format!("{ARN}:7"),
                "deployments": [deployment] });
            let answer = match operation {
                "DescribeServices" => json!({ "services": [found], "failures": [] }),
                "UpdateService" => json!({ "service": found }),
                "RegisterTaskDefinition" => {
                    json!({ "taskDefinition": { "taskDefinitionArn": format!("{ARN}:8") } })
                }
                _ => {
                    let image =
                        if request["taskDefinition"] == format!("{ARN}:6") { "i:6" } else { "i:7" };
                    json!({ "taskDefinition": { "family": "app", "taskDefinitionArn": request["taskDefinition"],
                        "containerDefinitions": [{ "name": "app", "image": image }] } })
                }
            };
            (200, answer)
        });
        let update = Update {
            cluster: "app".into(),
            service: service.into(),
            container: "app".into(),
            change,
            desired_count: None,
            force: false,
        };
        let (ui, aws) = (Ui::silent(), stand_in.aws().await);
        super::update(&ui, &aws, &update, None, Guard::default()).await.unwrap();
        let said = said.lock().unwrap().clone();
        (said, message())
    }

    fn during<'a>(said: &'a [(String, String)], operation: &str) -> &'a str {
        &said.iter().find(|(name, _)| name == operation).unwrap().1
    }

    #[tokio::test]
    async fn a_call_in_flight_may_have_changed_something() {
        let image = xtask_core::plan::deploy::ImageRef::Known("i:8".into());
        let (environment, secrets) = Default::default();
        let change = TaskChange::Next { image, environment, secrets };
        let (said, after) = said("forward", change).await;
        assert!(!during(&said, "DescribeServices").contains("forward"));
        let registering = during(&said, "RegisterTaskDefinition");
        assert!(registering.contains("a revision may be registered, and forward was not moved"));
        assert!(during(&said, "UpdateService").contains("asked ECS to move forward to app:8"));
        assert!(after.contains("forward was moved to app:8"), "{after}");
        assert!(after.contains("`cargo xtask rollback` undoes it"), "{after}");
        assert!(!after.contains("asked ECS to move forward"), "{after}");
    }

    #[tokio::test]
    async fn going_back_is_not_offered_to_who_goes_back() {
        let (said, after) = said("back", TaskChange::Existing(format!("{ARN}:6"))).await;
        assert!(during(&said, "UpdateService").contains("asked ECS to move back to app:6"));
        let state = after.split("; ").find(|state| state.contains("back was moved")).unwrap();
        assert!(!state.contains("rollback"), "{state}");
    }
}
