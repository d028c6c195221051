//! A change of the CloudFormation stack, as data: what kind it is, what it gets, what it does.
//!
//! What `aws/README.md` calls the contract stands here as functions: CloudFormation and
//! `cargo xtask deploy` both change the service, and the image is the latter's.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::exit::{Exit, Failure};

/// The most bytes of a template that a call can carry; a longer one has to lie in S3.
///
/// Source: the AWS CloudFormation user guide, "Understand CloudFormation quotas".
pub const TEMPLATE_LIMIT: usize = 51_200;

/// One change of a change set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Change {
    /// `Add`, `Modify`, `Remove`, …
    pub action: String,
    /// The resource's logical id.
    pub resource: String,
    /// The resource's type.
    pub kind: String,
    /// `True` and `Conditional` when it is replaced.
    pub replacement: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}  {}", self.action, self.resource, self.kind)?;
        match self.replacement.as_str() {
            "True" => f.write_str("  is replaced"),
            "Conditional" => f.write_str("  may be replaced"),
            _ => Ok(()),
        }
    }
}

/// Whether there is a stack already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// There is none.
    Create,
    /// There is one.
    Update,
}

impl Kind {
    /// CloudFormation's name of it.
    pub fn change_set_type(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
        }
    }
}

/// What can be done with a stack of this status; `None` when there is no stack.
///
/// # Errors
/// [`Exit::Prerequisite`]: it can neither be created nor updated as it is now.
pub fn kind(stack: &str, region: &str, status: Option<&str>) -> Result<Kind, Failure> {
    let delete = format!("aws cloudformation delete-stack --stack-name {stack} --region {region}");
    let wrong = |what: &str| {
        let status = status.unwrap_or_default();
        Failure::new(Exit::Prerequisite, format!("the stack {stack} is in {status}: {what}"))
    };
    match status {
        None | Some("REVIEW_IN_PROGRESS" | "DELETE_COMPLETE") => Ok(Kind::Create),
        Some("ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED") => {
            Err(wrong("its first creation failed, so it can not be updated").hint(format!(
                "mend the cause, delete it (`{delete}`), and run this again; for the local \
                 environment `cargo xtask local down` does"
            )))
        }
        Some("DELETE_FAILED") => Err(wrong("its deletion did not come to an end")
            .hint(format!("delete it again: `{delete}`; its events say what is in the way"))),
        Some("UPDATE_ROLLBACK_FAILED") => Err(wrong("its last update could not be rolled back")
            .hint(format!(
                "mend what its events name, then `aws cloudformation continue-update-rollback \
                 --stack-name {stack} --region {region}`"
            ))),
        Some(status) if status.ends_with("_IN_PROGRESS") => {
            Err(wrong("somebody is changing it")
                .hint("wait until that is over, and run this again"))
        }
        Some(_) => Ok(Kind::Update),
    }
}

/// What the parameter that takes the image gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageValue {
    /// Nothing: the template's default.
    Default,
    /// What it had before.
    Previous,
    /// The image that runs.
    Running(String),
}

/// Whether a change set makes CloudFormation register a revision or touch the service.
pub fn touches_service(changes: &[Change]) -> bool {
    let kinds = ["AWS::ECS::TaskDefinition", "AWS::ECS::Service"];
    changes.iter().any(|change| kinds.contains(&change.kind.as_str()))
}

/// The image that a service has to keep, of the images and task counts of the services'
/// current revisions. A service that has never been deployed to has none: it wants no task,
/// and its revision does not name an image by digest, as every deploy does.
pub fn image_to_keep<'a>(services: impl IntoIterator<Item = (&'a str, u32)>) -> Option<&'a str> {
    let mut services = services.into_iter();
    services.find(|(image, desired)| *desired > 0 || image.contains('@')).map(|(image, _)| image)
}

/// The parameters of a change set as CloudFormation's form fields.
///
/// What is not configured gets the template's default, so that `xtask.toml` alone says what
/// the stack is like. `image` is the parameter of the image, which is never configured.
pub fn parameters(
    configured: &BTreeMap<String, String>,
    image: Option<(&str, &ImageValue)>,
) -> Vec<(String, String)> {
    let image_name = image.map(|(name, _)| name);
    let mut fields = Vec::new();
    let mut number = 0_usize;
    let mut push = |name: &str, field: &str, value: &str| {
        number += 1;
        let prefix = format!("Parameters.member.{number}");
        fields.push((format!("{prefix}.ParameterKey"), name.to_owned()));
        fields.push((format!("{prefix}.{field}"), value.to_owned()));
    };
    for (name, value) in configured.iter().filter(|(name, _)| Some(name.as_str()) != image_name) {
        push(name, "ParameterValue", value);
    }
    match image {
        Some((name, ImageValue::Previous)) => push(name, "UsePreviousValue", "true"),
        Some((name, ImageValue::Running(image))) => push(name, "ParameterValue", image),
        Some((_, ImageValue::Default)) | None => {}
    }
    fields
}

/// A change of the stack. `Display` is what is shown before it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackPlan {
    /// The stack's name.
    pub stack: String,
    /// Whether it is there.
    pub kind: Kind,
    /// The template's path, as configured.
    pub template: String,
    /// The parameter that takes the image, if one does.
    pub image_parameter: Option<String>,
    /// What that gets.
    pub image: ImageValue,
    /// What changes, as CloudFormation says.
    pub changes: Vec<Change>,
}

impl StackPlan {
    /// What is done, on one line.
    pub fn title(&self) -> String {
        let verb = match self.kind {
            Kind::Create => "create",
            Kind::Update => "update",
        };
        let (stack, template, count) = (&self.stack, &self.template, self.changes.len());
        let plural = if count == 1 { "change" } else { "changes" };
        format!("{verb} the stack {stack} from {template}: {count} {plural}")
    }
}

impl fmt::Display for StackPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return write!(f, "the stack {} is as {} wants it", self.stack, self.template);
        }
        f.write_str(&self.title())?;
        if let (Some(name), ImageValue::Running(image)) = (&self.image_parameter, &self.image) {
            write!(f, "\n  {name} = {image}, which runs now: tasks are started anew with it")?;
        }
        for change in &self.changes {
            write!(f, "\n  {change}")?;
        }
        Ok(())
    }
}

/// How a change of a stack ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As wanted.
    Well,
    /// It failed, and everything is as it was.
    RolledBack,
    /// It failed, and the stack is somewhere in between.
    Broken,
}

/// What a status of the stack itself says; `None` while it goes on.
pub fn ended(status: &str) -> Option<Ended> {
    match status {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" => Some(Ended::Well),
        "ROLLBACK_COMPLETE" | "UPDATE_ROLLBACK_COMPLETE" => Some(Ended::RolledBack),
        // An update that failed is rolled back next, and that is its end.
        "CREATE_FAILED" | "UPDATE_FAILED" => None,
        "ROLLBACK_FAILED" | "UPDATE_ROLLBACK_FAILED" | "DELETE_FAILED" | "DELETE_COMPLETE" => {
            Some(Ended::Broken)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: &str) -> Change {
        Change {
            action: "Modify".into(),
            resource: "X".into(),
            kind: kind.into(),
            replacement: "Conditional".into(),
        }
    }

    #[test]
    fn a_status_says_what_can_be_done() {
        assert_eq!(kind("s", "r", None).unwrap(), Kind::Create);
        assert_eq!(kind("s", "r", Some("REVIEW_IN_PROGRESS")).unwrap(), Kind::Create);
        for status in ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"] {
            assert_eq!(kind("s", "r", Some(status)).unwrap(), Kind::Update, "{status}");
        }
        for (status, hint) in [
            ("ROLLBACK_COMPLETE", "delete-stack --stack-name s --region r"),
            ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
            ("UPDATE_IN_PROGRESS", "wait"),
            ("DELETE_FAILED", "delete-stack"),
        ] {
            let failure = kind("s", "r", Some(status)).unwrap_err();
            assert_eq!(failure.exit, Exit::Prerequisite);
            assert!(failure.message.contains(status), "{failure}");
            assert!(failure.hint.unwrap().contains(hint), "{status}");
        }
    }

    #[test]
    fn the_image_is_kept_unless_nothing_was_ever_deployed() {
        assert_eq!(image_to_keep([("r/app:not-deployed-yet", 0)]), None);
        assert_eq!(image_to_keep([("r/app@sha256:a", 0)]), Some("r/app@sha256:a"));
        assert_eq!(image_to_keep([("r/app:by-hand", 2)]), Some("r/app:by-hand"));
        assert_eq!(image_to_keep([]), None);
    }

    #[test]
    fn only_the_service_and_its_task_definition_need_the_image() {
        assert!(touches_service(&[change("AWS::EC2::VPC"), change("AWS::ECS::Service")]));
        assert!(touches_service(&[change("AWS::ECS::TaskDefinition")]));
        assert!(!touches_service(&[change("AWS::EC2::VPC"), change("AWS::ECS::Cluster")]));
    }

    #[test]
    fn parameters_are_those_of_the_file_and_the_image() {
        let configured =
            BTreeMap::from([("Image".into(), "ignored".into()), ("Name".into(), "n".into())]);
        let text = |image| {
            let fields = parameters(&configured, image);
            fields.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
        };
        let name = "Parameters.member.1.ParameterKey=Name Parameters.member.1.ParameterValue=n";
        assert_eq!(text(Some(("Image", &ImageValue::Default))), name);
        assert_eq!(
            text(Some(("Image", &ImageValue::Previous))),
            format!(
                "{name} Parameters.member.2.ParameterKey=Image Parameters.member.2.UsePreviousValue=true"
            )
        );
        assert!(
            text(Some(("Image", &ImageValue::Running("i@d".into()))))
                .ends_with("Parameters.member.2.ParameterValue=i@d")
        );
    }

    #[test]
    fn a_plan_says_what_changes() {
        let mut plan = StackPlan {
            stack: "s".into(),
            kind: Kind::Update,
            template: "t.yaml".into(),
            image_parameter: Some("Image".into()),
            image: ImageValue::Running("r/a@sha256:1".into()),
            changes: vec![change("AWS::ECS::Service")],
        };
        assert_eq!(
            plan.to_string(),
            "update the stack s from t.yaml: 1 change\n  Image = r/a@sha256:1, which runs now: \
             tasks are started anew with it\n  Modify  X  AWS::ECS::Service  may be replaced"
        );
        plan.changes.clear();
        assert_eq!(plan.to_string(), "the stack s is as t.yaml wants it");
    }

    #[test]
    fn every_final_status_is_a_verdict() {
        assert_eq!(ended("CREATE_COMPLETE"), Some(Ended::Well));
        assert_eq!(ended("ROLLBACK_COMPLETE"), Some(Ended::RolledBack));
        assert_eq!(ended("UPDATE_ROLLBACK_COMPLETE"), Some(Ended::RolledBack));
        assert_eq!(ended("UPDATE_ROLLBACK_FAILED"), Some(Ended::Broken));
        for status in ["CREATE_IN_PROGRESS", "UPDATE_FAILED", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"]
        {
            assert_eq!(ended(status), None, "{status}");
        }
    }
}
