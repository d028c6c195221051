//! What a task definition needs so that its tasks can start, as far as it says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::registry::manifest::Platform;

/// What a task definition needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The task definition, for messages.
    pub of: String,
    /// Its roles, by what they are for.
    pub roles: BTreeMap<RoleKind, String>,
    /// Its secrets, by reference; each with the names that refer to it.
    pub secrets: BTreeMap<SecretRef, BTreeSet<String>>,
    /// The CloudWatch log groups that have to be there.
    pub log_groups: BTreeSet<LogGroup>,
    /// What its tasks run on; `None` where it does not say and Fargate does not decide.
    pub platform: Option<Platform>,
    /// The space that a task has for images and files, in GiB; only Fargate's is known.
    pub storage: Option<u64>,
}

/// What a role is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoleKind {
    /// What ECS starts a task with.
    Execution,
    /// What the containers have.
    Task,
}

impl std::fmt::Display for RoleKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Execution => "execution role",
            Self::Task => "task role",
        })
    }
}

/// A secret by reference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretRef {
    /// Of Secrets Manager.
    Secret {
        /// Its ARN or name.
        id: String,
        /// Its region; `None` for the task's own.
        region: Option<String>,
        /// A version by its stage, such as `AWSPREVIOUS`.
        stage: Option<String>,
        /// A version by its id.
        version: Option<String>,
    },
    /// A parameter of Parameter Store.
    Parameter {
        /// Its name.
        name: String,
        /// Its region; `None` for the task's own.
        region: Option<String>,
        /// The account of its ARN.
        account: Option<String>,
    },
}

/// A log group that has to be there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogGroup {
    /// Its name.
    pub name: String,
    /// Its region; `None` for the task's own.
    pub region: Option<String>,
}

/// Ephemeral storage of a Fargate task that says nothing, in GiB.
///
/// Source: Amazon ECS developer guide, "Fargate task ephemeral storage for Amazon ECS".
const DEFAULT_STORAGE: u64 = 20;

impl Needs {
    /// Of a raw task definition, described or to be registered. `of` names it in messages.
    pub fn of(of: impl Into<String>, definition: &Value) -> Self {
        let text = |value: &Value| value.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
        let roles = [(RoleKind::Execution, "executionRoleArn"), (RoleKind::Task, "taskRoleArn")];
        let mut needs = Self {
            of: of.into(),
            roles: roles
                .into_iter()
                .filter_map(|(kind, member)| Some((kind, text(&definition[member])?)))
                .collect(),
            ..Self::default()
        };
        for container in definition["containerDefinitions"].as_array().into_iter().flatten() {
            needs.add_secrets(container);
            needs.log_groups.extend(log_group(&container["logConfiguration"]));
        }
        let fargate = list(&definition["requiresCompatibilities"]).any(|one| one == "FARGATE");
        needs.platform = platform(&definition["runtimePlatform"], fargate);
        let said = definition["ephemeralStorage"]["sizeInGiB"].as_u64();
        needs.storage = fargate.then(|| said.unwrap_or(DEFAULT_STORAGE));
        needs
    }

    fn add_secrets(&mut self, container: &Value) {
        let named = list(&container["secrets"])
            .chain(list(&container["logConfiguration"]["secretOptions"]))
            .filter_map(|entry| Some((entry["valueFrom"].as_str()?, entry["name"].as_str()?)));
        for (from, name) in named {
            self.secrets.entry(SecretRef::parse(from)).or_default().insert(name.to_owned());
        }
        // What a private registry that is not ECR is logged in to with: an ARN or a name.
        if let Some(id) = container["repositoryCredentials"]["credentialsParameter"].as_str() {
            let secret = match SecretRef::parse(id) {
                secret @ SecretRef::Secret { .. } => secret,
                SecretRef::Parameter { .. } => SecretRef::Secret {
                    id: id.to_owned(),
                    region: None,
                    stage: None,
                    version: None,
                },
            };
            self.secrets.entry(secret).or_default().insert("repositoryCredentials".to_owned());
        }
    }
}

impl SecretRef {
    /// Reads a `valueFrom`.
    ///
    /// Source: Amazon ECS developer guide, "Pass Secrets Manager secrets through Amazon ECS
    /// environment variables" (`arn:…:secret:NAME:json-key:version-stage:version-id`) and "Pass
    /// Systems Manager parameters through Amazon ECS environment variables" (an ARN, or the name
    /// of a parameter in the task's region).
    pub fn parse(value_from: &str) -> Self {
        let parts: Vec<&str> = value_from.split(':').collect();
        let said = |at: usize| {
            parts.get(at).filter(|part| !part.is_empty()).map(|part| (*part).to_owned())
        };
        match parts.as_slice() {
            ["arn", _, "secretsmanager", _, _, "secret", _, ..] => Self::Secret {
                id: parts[..7].join(":"),
                region: said(3),
                stage: said(8),
                version: said(9),
            },
            ["arn", _, "ssm", _, _, resource, ..] => Self::Parameter {
                name: resource.strip_prefix("parameter").unwrap_or(resource).to_owned(),
                region: said(3),
                account: said(4),
            },
            [name, ..] => Self::Parameter { name: (*name).to_owned(), region: None, account: None },
            [] => Self::Parameter { name: String::new(), region: None, account: None },
        }
    }
}

/// The group of the `awslogs` driver, unless the driver makes it.
fn log_group(log: &Value) -> Option<LogGroup> {
    let options = &log["options"];
    if log["logDriver"] != "awslogs" || options["awslogs-create-group"] == "true" {
        return None;
    }
    Some(LogGroup {
        name: options["awslogs-group"].as_str()?.to_owned(),
        region: options["awslogs-region"].as_str().map(str::to_owned),
    })
}

/// What `runtimePlatform` says, in the words of image manifests. Fargate's default is Linux on
/// `X86_64`; on instances of one's own, without it, any of them may be meant.
///
/// Source: Amazon ECS API reference, `RuntimePlatform`.
fn platform(said: &Value, fargate: bool) -> Option<Platform> {
    let os = match said["operatingSystemFamily"].as_str() {
        None | Some("LINUX") => "linux",
        Some(windows) if windows.starts_with("WINDOWS") => "windows",
        Some(_) => return None,
    };
    let architecture = match said["cpuArchitecture"].as_str() {
        None if !fargate => return None,
        None | Some("X86_64") => "amd64",
        Some("ARM64") => "arm64",
        Some(_) => return None,
    };
    Some(Platform { os: os.to_owned(), architecture: architecture.to_owned(), variant: None })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(id: &str, stage: Option<&str>, version: Option<&str>) -> SecretRef {
        let [stage, version] = [stage, version].map(|text| text.map(str::to_owned));
        SecretRef::Secret { id: id.into(), region: Some("eu-central-1".into()), stage, version }
    }

    fn parameter(name: &str, of: Option<(&str, &str)>) -> SecretRef {
        SecretRef::Parameter {
            name: name.into(),
            region: of.map(|(region, _)| region.to_owned()),
            account: of.map(|(_, account)| account.to_owned()),
        }
    }

    #[test]
    fn every_form_of_a_reference_is_read() {
        let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:app/db-AbCdEf";
        for (from, expected) in [
            (arn.to_owned(), secret(arn, None, None)),
            (format!("{arn}:PASSWORD::"), secret(arn, None, None)),
            (format!("{arn}:PASSWORD:AWSPREVIOUS:"), secret(arn, Some("AWSPREVIOUS"), None)),
            (format!("{arn}:::9d4cb84b"), secret(arn, None, Some("9d4cb84b"))),
        ] {
            assert_eq!(SecretRef::parse(&from), expected, "{from}");
        }
        let of = Some(("us-east-1", "123456789012"));
        for (from, expected) in [
            ("arn:aws:ssm:us-east-1:123456789012:parameter/app/db", parameter("/app/db", of)),
            ("arn:aws-cn:ssm:us-east-1:123456789012:parameter/db", parameter("/db", of)),
            ("/app/db", parameter("/app/db", None)),
            ("db", parameter("db", None)),
            ("/app/db:3", parameter("/app/db", None)),
        ] {
            assert_eq!(SecretRef::parse(from), expected, "{from}");
        }
    }

    #[test]
    fn what_a_definition_needs_is_found_in_all_its_containers() {
        let definition = json!({
            "executionRoleArn": "arn:aws:iam::1:role/start", "taskRoleArn": "",
            "requiresCompatibilities": ["EC2", "FARGATE"],
            "ephemeralStorage": { "sizeInGiB": 40 },
            "runtimePlatform": { "cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX" },
            "containerDefinitions": [
                { "name": "a", "secrets": [
                    { "name": "A", "valueFrom": "/p" }, { "name": "B", "valueFrom": "/p" } ],
                  "logConfiguration": { "logDriver": "awslogs", "options": {
                      "awslogs-group": "/ecs/a", "awslogs-region": "eu-west-1" } } },
                { "name": "b",
                  "repositoryCredentials": { "credentialsParameter": "hub" },
                  "logConfiguration": { "logDriver": "splunk",
                      "secretOptions": [{ "name": "splunk-token", "valueFrom": "/t" }] } },
                { "name": "c", "logConfiguration": { "logDriver": "awslogs", "options": {
                      "awslogs-group": "/ecs/c", "awslogs-create-group": "true" } } },
            ],
        });
        let needs = Needs::of("app:7", &definition);
        assert_eq!(
            needs.roles,
            [(RoleKind::Execution, "arn:aws:iam::1:role/start".to_owned())].into()
        );
        let names = |secret: SecretRef| needs.secrets[&secret].iter().cloned().collect::<Vec<_>>();
        assert_eq!(names(parameter("/p", None)), ["A", "B"]);
        assert_eq!(names(parameter("/t", None)), ["splunk-token"]);
        let hub = SecretRef::Secret { id: "hub".into(), region: None, stage: None, version: None };
        assert_eq!(names(hub), ["repositoryCredentials"]);
        let group = LogGroup { name: "/ecs/a".into(), region: Some("eu-west-1".into()) };
        assert_eq!(needs.log_groups, [group].into());
        assert_eq!(needs.platform.unwrap().to_string(), "linux/arm64");
        assert_eq!(needs.storage, Some(40));
    }

    #[test]
    fn what_is_not_said_is_fargate_s_default_or_not_known() {
        let of = |definition: Value| {
            let needs = Needs::of("app:7", &definition);
            (needs.platform.map(|platform| platform.to_string()), needs.storage)
        };
        let fargate = json!({ "requiresCompatibilities": ["FARGATE"] });
        assert_eq!(of(fargate), (Some("linux/amd64".into()), Some(20)));
        assert_eq!(of(json!({})), (None, None));
        let instances = json!({ "runtimePlatform": { "cpuArchitecture": "X86_64" } });
        assert_eq!(of(instances), (Some("linux/amd64".into()), None));
        let later = json!({ "runtimePlatform": { "cpuArchitecture": "RISCV" } });
        assert_eq!(of(later), (None, None));
        let windows = json!({ "requiresCompatibilities": ["FARGATE"],
            "runtimePlatform": { "operatingSystemFamily": "WINDOWS_SERVER_2022_CORE" } });
        assert_eq!(of(windows).0.as_deref(), Some("windows/amd64"));
    }
}
