use serde_json::json;

use super::*;

fn definition() -> Value {
    json!({
        "family": "api",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["EC2", "FARGATE"],
        "volumes": [{"name": "a"}, {"name": "b"}],
        "containerDefinitions": [
            {
                "name": "api",
                "image": "repo@sha256:a",
                "portMappings": [{"containerPort": 8080}, {"containerPort": 9090}],
                "environment": [
                    {"name": "LOG_LEVEL", "value": "info"},
                    {"name": "API_KEY", "value": "hunter2"}
                ],
                "secrets": [{"name": "DB_PASSWORD", "valueFrom": "arn:aws:ssm:::parameter/db"}]
            },
            {"name": "proxy", "image": "proxy:1"}
        ]
    })
}

fn lines(before: &Value, after: &Value) -> Vec<String> {
    diff(before, after).iter().map(ToString::to_string).collect()
}

/// The definition after `change`.
fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut definition = definition();
    change(&mut definition);
    definition
}

#[test]
fn nothing_differs_from_itself() {
    assert_eq!(diff(&definition(), &definition()), []);
    assert!(is_unchanged(&definition(), &definition()));
}

#[test]
fn what_only_ecs_writes_is_no_difference() {
    let mut described = definition();
    described["revision"] = json!(7);
    described["registeredAt"] = json!(1.5);
    described["status"] = json!("ACTIVE");
    let described = json!({"taskDefinition": described, "tags": []});
    assert!(is_unchanged(&described, &definition()));
}

#[test]
fn garbage_is_never_unchanged() {
    assert!(!is_unchanged(&json!(null), &json!(null)));
    assert!(!is_unchanged(&json!([]), &definition()));
}

#[test]
fn the_order_of_sets_is_no_difference() {
    let shuffled = changed(|d| {
        d["requiresCompatibilities"] = json!(["FARGATE", "EC2"]);
        d["volumes"] = json!([{"name": "b"}, {"name": "a"}]);
        d["containerDefinitions"].as_array_mut().unwrap().reverse();
        for list in ["environment", "portMappings"] {
            d["containerDefinitions"][1][list].as_array_mut().unwrap().reverse();
        }
    });
    assert_eq!(lines(&definition(), &shuffled), [""; 0]);
}

#[test]
fn what_ecs_fills_in_is_no_difference() {
    let filled = changed(|d| {
        d["placementConstraints"] = json!([]);
        d["pidMode"] = json!(null);
        let api = &mut d["containerDefinitions"][0];
        api["cpu"] = json!(0);
        api["essential"] = json!(true);
        api["mountPoints"] = json!([]);
        api["dockerLabels"] = json!({});
        api["portMappings"][0] =
            json!({"containerPort": 8080, "hostPort": 8080, "protocol": "tcp"});
    });
    assert_eq!(lines(&definition(), &filled), [""; 0]);
    assert_eq!(lines(&filled, &definition()), [""; 0]);
}

#[test]
fn a_value_other_than_the_default_is_a_difference() {
    let other = changed(|d| d["containerDefinitions"][0]["essential"] = json!(false));
    assert_eq!(lines(&definition(), &other), ["+ containers.api.essential  false"]);
}

#[test]
fn a_fixed_host_port_counts_where_ports_are_mapped() {
    let bridge = changed(|d| d["networkMode"] = json!("bridge"));
    let mut fixed = bridge.clone();
    fixed["containerDefinitions"][0]["portMappings"][0]["hostPort"] = json!(8080);
    let found = lines(&bridge, &fixed);
    assert_eq!(found, ["+ containers.api.portMappings.8080/tcp.hostPort  8080"]);
}

#[test]
fn differences_are_sorted_and_readable() {
    let next = changed(|d| {
        let api = &mut d["containerDefinitions"][0];
        api["image"] = json!("repo@sha256:b");
        api["environment"] = json!([
            {"name": "API_KEY", "value": "hunter2"},
            {"name": "NEW", "value": "1"},
        ]);
        api["portMappings"] = json!([{"containerPort": 8080}]);
        d["cpu"] = json!("512");
    });
    assert_eq!(
        lines(&definition(), &next),
        [
            "- containers.api.environment.LOG_LEVEL  info",
            "+ containers.api.environment.NEW  1",
            "~ containers.api.image  repo@sha256:a → repo@sha256:b",
            "- containers.api.portMappings.9090/tcp  present",
            "- containers.api.portMappings.9090/tcp.containerPort  9090",
            "+ cpu  512",
        ]
    );
}

#[test]
fn an_unknown_field_is_compared_like_any_other() {
    let next = changed(|d| d["containerDefinitions"][1]["invented"] = json!({"deep": [1, 2]}));
    assert_eq!(lines(&definition(), &next), ["+ containers.proxy.invented.deep  [1,2]"]);
}

#[test]
fn secrets_are_redacted_and_still_differ() {
    let next = changed(|d| {
        d["containerDefinitions"][0]["environment"][1]["value"] = json!("hunter3");
    });
    let found = lines(&definition(), &next);
    assert_eq!(found, ["~ containers.api.environment.API_KEY  (redacted) → (redacted, changed)"]);
}

#[test]
fn a_variable_that_becomes_a_secret_shows_the_reference_only() {
    let next = changed(|d| {
        let api = &mut d["containerDefinitions"][0];
        api["environment"].as_array_mut().unwrap().remove(1);
        let secret = json!({"name": "API_KEY", "valueFrom": "arn:aws:ssm:::parameter/key"});
        api["secrets"].as_array_mut().unwrap().push(secret);
    });
    assert_eq!(
        lines(&definition(), &next),
        [
            "- containers.api.environment.API_KEY  (redacted)",
            "+ containers.api.secrets.API_KEY  arn:aws:ssm:::parameter/key",
        ]
    );
}

#[test]
fn no_place_lets_a_secret_through() {
    let planted = "hunter2-planted";
    let places = [
        json!({"environment": [{"name": "DATABASE_URL", "value": format!("pg://u:{planted}@h/d")}]}),
        json!({"environment": [{"name": "TOKEN", "value": planted}, {"name": "TOKEN", "value": planted}]}),
        json!({"environment": [{"value": planted, "name": "TOKEN", "extra": 1}, {"no": "name"}]}),
        json!({"logConfiguration": {"options": {"splunk-token": planted}}}),
        json!({"dockerLabels": {"api.key": planted}}),
        json!({"command": ["run", "--password", planted]}),
        json!({"command": ["run", format!("--password={planted}")]}),
        json!({"entryPoint": ["sh", "-c", format!("pg://u:{planted}@h/d")]}),
        json!({"command": ["sh", "-c", format!("export A=b API_KEY={planted}; exec app")]}),
        json!({"command": ["sh", "-c", format!("exec app --port 80 --token '{planted}'")]}),
        json!({"healthCheck": {"command": ["CMD-SHELL",
            format!("curl -H 'Authorization: Bearer {planted}' http://localhost")]}}),
        json!({"environment": [{"name": "EXTRA", "value": format!("https://{planted}-0a1b2c@h")}]}),
        json!({"dockerLabels": {"source": format!("https://x:{planted}@git.example/a")}}),
        json!({"logConfiguration": {"options": {"splunk-url": format!("https://x:{planted}@h")}}}),
        json!({"invented": [{"secretKey": planted}, {"nested": {"name": "API_KEY", "value": planted}}]}),
    ];
    for place in places {
        let next = changed(|d| {
            let api = d["containerDefinitions"][0].as_object_mut().unwrap();
            api.shift_remove("environment");
            api.extend(place.as_object().unwrap().clone());
        });
        let bare = changed(|d| {
            d["containerDefinitions"][0].as_object_mut().unwrap().shift_remove("environment");
        });
        let found = lines(&bare, &next).join("\n");
        assert!(found.contains("(redacted)"), "{place}: {found}");
        assert!(!found.contains(planted), "{place}: {found}");
        assert!(!format!("{:?}", diff(&bare, &next)).contains(planted), "{place}");
    }
}

#[test]
fn names_of_containers_and_references_hide_nothing() {
    let with = |image: &str, reference: &str| {
        changed(|d| {
            d["containerDefinitions"][1] = json!({
                "name": "secret-agent",
                "image": image,
                "repositoryCredentials": {"credentialsParameter": reference}
            });
        })
    };
    assert_eq!(
        lines(&with("a:1", "arn:aws:x"), &with("a:2", "arn:aws:y")),
        [
            "~ containers.secret-agent.image  a:1 → a:2",
            "~ containers.secret-agent.repositoryCredentials.credentialsParameter  \
             arn:aws:x → arn:aws:y",
        ]
    );
}
