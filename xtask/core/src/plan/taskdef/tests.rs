use super::*;

/// A reply of `DescribeTaskDefinition` with a field nobody knows at each level.
fn described() -> Value {
    json!({
        "taskDefinition": {
            "taskDefinitionArn": "arn:aws:ecs:eu-central-1:111122223333:task-definition/api:7",
            "containerDefinitions": [
                {
                    "name": "api",
                    "image": "repo@sha256:old",
                    "cpu": 0,
                    "portMappings": [
                        {"containerPort": 8080, "hostPort": 8080, "protocol": "tcp", "inventedPort": 1}
                    ],
                    "essential": true,
                    "environment": [
                        {"name": "LOG_LEVEL", "value": "info", "inventedEntry": true},
                        {"name": "API_KEY", "value": "in the open"}
                    ],
                    "secrets": [{"name": "DB_URL", "valueFrom": "arn:aws:ssm:::parameter/db"}],
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {"awslogs-group": "/api", "invented-option": "x"}
                    },
                    "inventedContainer": {"deep": [1, 2.5, null, {"deeper": "still"}]}
                },
                {"name": "proxy", "image": "proxy:1"}
            ],
            "family": "api",
            "taskRoleArn": "arn:aws:iam::111122223333:role/task",
            "revision": 7,
            "volumes": [],
            "status": "ACTIVE",
            "requiresAttributes": [{"name": "ecs.capability.task-eni"}],
            "compatibilities": ["EC2", "FARGATE"],
            "runtimePlatform": {"cpuArchitecture": "ARM64", "inventedPlatform": "y"},
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "registeredAt": 1750000000.123,
            "registeredBy": "arn:aws:iam::111122223333:user/somebody",
            "deregisteredAt": 1750000001.0,
            "deleteRequestedAt": 1750000002.0,
            "inventedTop": {"answer": 42, "third": 0.1}
        },
        "tags": [
            {"key": "team", "value": "stalls"},
            {"key": "aws:cloudformation:stack-name", "value": "loppestars"}
        ]
    })
}

fn only_image() -> Change {
    Change { container: "api".to_owned(), image: "repo@sha256:new".to_owned(), ..Change::default() }
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn only_the_image_changes_and_invented_fields_survive_at_every_level() {
    let input = next(&described(), &only_image()).unwrap();

    let mut expected = described()["taskDefinition"].clone();
    expected["containerDefinitions"][0]["image"] = json!("repo@sha256:new");
    expected["tags"] = json!([{"key": "team", "value": "stalls"}]);
    let members = expected.as_object_mut().unwrap();
    for member in OUTPUT_ONLY {
        assert!(members.shift_remove(member).is_some(), "the fixture lacks {member}");
    }
    // As text, so that the order of members counts as well.
    assert_eq!(input.to_string(), expected.to_string());
}

#[test]
fn a_text_from_the_wire_comes_back_as_it_was() {
    let wire = r#"{"family":"api","containerDefinitions":[{"zeta":1,"name":"api","image":"x","alpha":{"z":0.1,"a":18446744073709551615,"f":2.2250738585072014e-308,"g":2.50,"h":123456789012345678901234567890}}]}"#;
    let input = next(&serde_json::from_str(wire).unwrap(), &only_image()).unwrap();
    assert_eq!(input.to_string(), wire.replace(r#""image":"x""#, r#""image":"repo@sha256:new""#));
}

#[test]
fn declared_variables_are_set_in_place_and_others_stay() {
    let change =
        Change { environment: pairs(&[("LOG_LEVEL", "debug"), ("NEW", "1")]), ..only_image() };
    let input = next(&described(), &change).unwrap();
    assert_eq!(
        input["containerDefinitions"][0]["environment"],
        json!([
            {"name": "LOG_LEVEL", "value": "debug", "inventedEntry": true},
            {"name": "API_KEY", "value": "in the open"},
            {"name": "NEW", "value": "1"}
        ])
    );
    assert_eq!(input["containerDefinitions"][1], json!({"name": "proxy", "image": "proxy:1"}));
}

#[test]
fn a_name_moves_from_environment_to_secrets_and_back() {
    let to_secret = Change {
        secrets: pairs(&[("API_KEY", "arn:aws:secretsmanager:::secret:key")]),
        ..only_image()
    };
    let moved = next(&described(), &to_secret).unwrap();
    let container = &moved["containerDefinitions"][0];
    assert!(!container["environment"].to_string().contains("API_KEY"));
    assert!(!moved.to_string().contains("in the open"));
    assert_eq!(
        container["secrets"][1],
        json!({"name": "API_KEY", "valueFrom": "arn:aws:secretsmanager:::secret:key"})
    );

    let back = Change { environment: pairs(&[("API_KEY", "again")]), ..only_image() };
    let container = &next(&moved, &back).unwrap()["containerDefinitions"][0];
    assert!(!container["secrets"].to_string().contains("API_KEY"));
    assert_eq!(container["environment"][1], json!({"name": "API_KEY", "value": "again"}));
}

#[test]
fn lists_that_are_absent_or_null_are_made() {
    let bare = json!({
        "family": "api",
        "containerDefinitions": [{"name": "api", "image": "x", "secrets": null}]
    });
    let change = Change {
        environment: pairs(&[("A", "1")]),
        secrets: pairs(&[("B", "arn:b")]),
        ..only_image()
    };
    let container = &next(&bare, &change).unwrap()["containerDefinitions"][0];
    assert_eq!(container["environment"], json!([{"name": "A", "value": "1"}]));
    assert_eq!(container["secrets"], json!([{"name": "B", "valueFrom": "arn:b"}]));
}

#[test]
fn tags_that_only_aws_may_set_are_left_out_altogether() {
    let mut described = described();
    described["tags"] = json!([{"key": "aws:cloudformation:stack-id", "value": "x"}]);
    let input = next(&described, &only_image()).unwrap();
    assert_eq!(input.get("tags"), None, "an empty list would need the permission to tag");
}

#[test]
fn an_unknown_container_names_those_there_are() {
    let change = Change { container: "web".to_owned(), ..only_image() };
    let error = next(&described(), &change).unwrap_err();
    assert_eq!(
        error.to_string(),
        "task definition api has no container \"web\"; it has api, proxy. Set `container` in \
         xtask.toml to one of them"
    );
}

#[test]
fn a_contradiction_is_refused() {
    let change = Change {
        environment: pairs(&[("A", "1")]),
        secrets: pairs(&[("A", "arn:a")]),
        ..only_image()
    };
    let error = next(&described(), &change).unwrap_err();
    assert_eq!(error, TaskDefError::DeclaredTwice { name: "A".to_owned() });
}

#[test]
fn what_is_no_task_definition_is_an_error() {
    for (bad, path) in [
        (json!(null), "taskDefinition"),
        (json!({}), "containerDefinitions"),
        (json!({"containerDefinitions": "x"}), "containerDefinitions"),
        (
            json!({"containerDefinitions": [{"name": "api", "environment": {"A": "1"}}]}),
            "containerDefinitions[].environment",
        ),
    ] {
        let change = Change { environment: pairs(&[("A", "1")]), ..only_image() };
        match next(&bad, &change) {
            Err(TaskDefError::Malformed { path: found, .. }) => assert_eq!(found, path),
            other => panic!("{bad}: {other:?}"),
        }
    }
}
