//! The exact commands of every driver.

use std::collections::BTreeMap;

use super::*;
use crate::config::builder::{Buildkitd, Limits, Space};

fn node(endpoint: Option<&str>, options: &[(&str, &str)], platforms: &[&str]) -> Node {
    Node {
        name: None,
        endpoint: endpoint.map(str::to_owned),
        platforms: platforms.iter().map(|platform| (*platform).to_owned()).collect(),
        options: options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    }
}

fn creation(driver: Driver, nodes: Vec<Node>, buildkitd: Buildkitd) -> Option<Creation> {
    let builder = Builder { name: Some("b".into()), driver, nodes, buildkitd };
    create(&builder, Path::new("/s"))
}

fn lines(driver: Driver, nodes: Vec<Node>) -> Vec<String> {
    let created = creation(driver, nodes, Buildkitd::default()).unwrap();
    assert_eq!(created.config, None);
    created.commands.iter().map(ToString::to_string).collect()
}

#[test]
fn every_driver_has_its_command_and_none_is_made_current() {
    assert_eq!(creation(Driver::Docker, vec![], Buildkitd::default()), None);
    assert_eq!(
        lines(Driver::DockerContainer, vec![node(None, &[("network", "host")], &[])]),
        [
            "docker buildx create --name b --driver docker-container --driver-opt network=host --bootstrap"
        ]
    );
    assert_eq!(
        lines(
            Driver::Remote,
            vec![node(
                Some("tcp://b:1"),
                &[("cacert", "/p/ca.pem"), ("servername", "b")],
                &["linux/arm64"]
            )]
        ),
        ["docker buildx create --name b --driver remote --driver-opt cacert=/p/ca.pem \
             --driver-opt servername=b --platform linux/arm64 tcp://b:1"]
    );
    assert_eq!(
        lines(
            Driver::Kubernetes,
            vec![node(None, &[("nodeselector", "a=b,c=d"), ("replicas", "2")], &[])]
        ),
        ["docker buildx create --name b --driver kubernetes \
             --driver-opt '\"nodeselector=a=b,c=d\"' --driver-opt replicas=2 --bootstrap"]
    );
}

#[test]
fn further_nodes_are_appended_and_the_last_command_starts_them_all() {
    let mut arm = node(Some("ssh://arm"), &[], &["linux/arm64", "linux/arm/v7"]);
    arm.name = Some("arm".into());
    let amd = node(Some("default"), &[("memory", "4294967296")], &["linux/amd64"]);
    assert_eq!(
        lines(Driver::DockerContainer, vec![amd, arm]),
        [
            "docker buildx create --name b --driver docker-container --driver-opt memory=4294967296 \
             --platform linux/amd64 default",
            "docker buildx create --append --name b --driver docker-container --node arm \
             --platform linux/arm64,linux/arm/v7 --bootstrap ssh://arm",
        ]
    );
}

#[test]
fn limits_go_into_a_file_for_buildkit() {
    let limits = Limits { max_used: Some(Space::Bytes(20_000_000_000)), ..Limits::default() };
    let buildkitd = Buildkitd { limits, ..Buildkitd::default() };
    let created = creation(Driver::DockerContainer, vec![node(None, &[], &[])], buildkitd).unwrap();
    assert_eq!(
        created.to_string(),
        "docker buildx create --name b --driver docker-container --buildkitd-config \
         /s/buildkitd.toml --bootstrap, with /s/buildkitd.toml: [worker.oci]\ngc = true\n\
         maxUsedSpace = 20000000000"
    );
}

#[test]
fn a_removal_can_keep_the_cache() {
    assert_eq!(remove("b", false).to_string(), "docker buildx rm b");
    assert_eq!(remove("b", true).to_string(), "docker buildx rm --keep-state b");
}

/// From `docker buildx inspect` of a builder that was made by such a command, with buildx 0.29.
const INSPECTED: &str = "\
Name:          b
Driver:        docker-container
Last Activity: 2026-11-24 06:22:57 +0000 UTC

Nodes:
Name:                  b0
Endpoint:              unix:///var/run/docker.sock
Driver Options:        memory=\"4294967296\" network=\"host\" nodeselector=\"a=\\\"b\\\"\"
Status:                running
BuildKit daemon flags: --allow-insecure-entitlement=network.host
BuildKit version:      v0.25.1
Platforms:             linux/amd64*, linux/amd64/v2, linux/386
Labels:
 org.mobyproject.buildkit.worker.executor:         oci
 org.mobyproject.buildkit.worker.hostname:         0123456789ab
GC Policy rule#0:
 All:            true
 Max Used Space: 18.63GiB
File#buildkitd.toml:
 > [worker]
 >   [worker.oci]
 >     gc = true
 >     maxUsedSpace = 20000000000
 >
File#certs/r.example/ca.pem:
 > -----BEGIN CERTIFICATE-----

Name:     b1
Endpoint: ssh://arm
Error:    no route to host
";

#[test]
fn what_buildx_says_of_a_builder_is_read() {
    let inspected = parse_inspect(INSPECTED);
    assert_eq!((&*inspected.name, &*inspected.driver), ("b", "docker-container"));
    let [first, second] = &inspected.nodes[..] else { panic!("{inspected:?}") };
    assert_eq!(first.endpoint, "unix:///var/run/docker.sock");
    assert_eq!(first.status.as_deref(), Some("running"));
    assert_eq!(first.version.as_deref(), Some("v0.25.1"));
    assert_eq!(first.platforms, ["linux/amd64", "linux/amd64/v2", "linux/386"]);
    assert_eq!(first.fixed_platforms, ["linux/amd64"]);
    let options = [("memory", "4294967296"), ("network", "host"), ("nodeselector", "a=\"b\"")];
    let options: BTreeMap<_, _> =
        options.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect();
    assert_eq!(first.options, options);
    assert!(first.files["buildkitd.toml"].contains("maxUsedSpace = 20000000000"));
    assert_eq!(first.files.len(), 2);
    assert_eq!(second.error.as_deref(), Some("no route to host"));
}

#[test]
fn the_oldest_buildkit_counts() {
    let node =
        |line: &str| format!("Name: b\nDriver: docker-container\n\nNodes:\nName: a\n{line}\n");
    let of = |text: &str| parse_inspect(text).oldest_buildkit().map(str::to_owned);
    let two = node("BuildKit version: v0.29.0\nName: c\nBuildKit version: v0.9.1");
    assert_eq!(of(&two).as_deref(), Some("v0.9.1"));
    assert_eq!(of(&node("Buildkit:  v0.12.5")).as_deref(), Some("v0.12.5"));
    assert_eq!(of(&node("Status: inactive")), None);
}

#[test]
fn the_list_of_builders_is_read() {
    let text = r#"{"Current":true,"Driver":"docker","Dynamic":false,"LastActivity":"2026-11-24T06:22:57Z","Name":"default","Nodes":[{"Endpoint":"default","Name":"default","Platforms":["linux/amd64"],"Status":"running","Version":"v0.25.1"}]}
{"Current":false,"Driver":"docker-container","Name":"b","Nodes":[{"Name":"b0","Endpoint":"unix:///var/run/docker.sock","DriverOpts":{"network":"host"},"Files":{"buildkitd.toml":"Z2MgPSB0cnVlCg=="},"Status":"inactive"}]}
{"Current":false,"Driver":"remote","Name":"r","Err":"no such host","Nodes":null}"#;
    let builders = parse_ls(text).unwrap();
    let names: Vec<_> = builders.iter().map(|b| (&*b.name, b.current, b.nodes.len())).collect();
    assert_eq!(names, [("default", true, 1), ("b", false, 1), ("r", false, 0)]);
    assert_eq!(builders[1].nodes[0].files["buildkitd.toml"], "gc = true\n");
    assert_eq!(builders[2].error.as_deref(), Some("no such host"));
    assert!(parse_ls("not JSON").is_err());
}

fn wanted() -> Builder {
    let mut first = node(
        Some("unix:///var/run/docker.sock"),
        &[("memory", "4294967296"), ("network", "host"), ("nodeselector", "a=\"b\"")],
        &["linux/amd64"],
    );
    first.name = Some("b0".into());
    let limits = Limits { max_used: Some(Space::Bytes(20_000_000_000)), ..Limits::default() };
    Builder {
        name: Some("b".into()),
        driver: Driver::DockerContainer,
        nodes: vec![first, node(Some("ssh://arm"), &[], &[])],
        buildkitd: Buildkitd { limits, ..Buildkitd::default() },
    }
}

#[test]
fn a_builder_as_configured_has_no_differences() {
    assert_eq!(differences(&wanted(), &parse_inspect(INSPECTED)), []);
    // What is not configured is nobody's business: where the engine is, what buildx added.
    let mut vague = wanted();
    vague.nodes[0].endpoint = None;
    vague.nodes[0].platforms.clear();
    vague.buildkitd = Buildkitd::default();
    assert_eq!(differences(&vague, &parse_inspect(INSPECTED)), []);
}

#[test]
fn every_difference_is_told() {
    let told = |change: fn(&mut Builder)| {
        let mut builder = wanted();
        change(&mut builder);
        let found = differences(&builder, &parse_inspect(INSPECTED));
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        told(|b| b.driver = Driver::Kubernetes),
        ["driver: docker-container, and xtask.toml says kubernetes"]
    );
    assert_eq!(told(|b| drop(b.nodes.pop())), ["nodes: 2, and xtask.toml says 1"]);
    assert_eq!(
        told(|b| b.nodes[0].endpoint = Some("default".into())),
        ["endpoint of b0: unix:///var/run/docker.sock, and xtask.toml says default"]
    );
    assert_eq!(
        told(|b| b.nodes[0].platforms = vec!["linux/arm64/v8".into()]),
        ["platforms of b0: linux/amd64, and xtask.toml says linux/arm64"]
    );
    assert_eq!(
        told(|b| {
            let options = &mut b.nodes[0].options;
            options.remove("network");
            options.insert("memory".into(), "1".into());
            options.insert("image".into(), "x".into());
        }),
        [
            "driver option image of b0: not set, and xtask.toml says x",
            "driver option memory of b0: 4294967296, and xtask.toml says 1",
            "driver option network of b0: host, and xtask.toml says not set",
        ]
    );
    assert_eq!(
        told(|b| {
            b.buildkitd.limits.max_used = Some(Space::Percent(10));
            b.buildkitd.max_parallelism = Some(2);
        }),
        [
            "buildkitd worker.oci.max-parallelism of b0: not set, and xtask.toml says 2",
            "buildkitd worker.oci.maxUsedSpace of b0: 20000000000, and xtask.toml says \"10%\"",
        ]
    );
}
