//! All sources were asked about the same builder, one after the other.

use std::collections::BTreeMap;

use super::*;
use crate::registry::fixture::NOW;

const ENGINE_JSON: &str = include_str!("../testdata/system-df.json");
const BUILDX_LINES: &str = include_str!("../testdata/buildx-du.jsonl");

fn by_id(cache: &BuilderCache) -> BTreeMap<&str, &CacheRecord> {
    cache.records.iter().map(|record| (record.id.as_str(), record)).collect()
}

#[test]
fn the_engine_tells_bytes() {
    let cache = parse_engine(ENGINE_JSON.as_bytes()).unwrap();
    assert!(cache.exact);
    assert_eq!(cache.records.len(), 16);
    assert_eq!(cache.records[0].bytes, 4_160_350, "largest first");
    let copy = cache.records.iter().find(|r| r.description.contains("COPY rootfs/ /")).unwrap();
    assert_eq!((&copy.kind, copy.shared), (&RecordKind::Layer, true));
    assert_eq!(copy.created_at, Some(1_795_386_590));
    assert!(copy.parents.is_empty() && copy.reclaimable() && copy.usage_count > 0);
    // The name of the list of parents has a blank in front.
    let child = cache.records.iter().find(|r| r.parents == [copy.id.clone()]).unwrap();
    assert!(child.description.starts_with("mount / from exec"));
}

#[test]
fn cache_mounts_have_their_id() {
    let cache = parse_engine(ENGINE_JSON.as_bytes()).unwrap();
    let mut mounts: Vec<(String, u64)> = cache
        .records
        .iter()
        .filter(|record| record.kind == RecordKind::CacheMount)
        .map(|record| (record.mount_id().unwrap(), record.bytes))
        .collect();
    mounts.sort();
    let expected =
        [("/root/.cache/pip", 131_072), ("/var/cache/apt", 311_296), ("apt-lists", 45_056)];
    assert_eq!(mounts, expected.map(|(id, bytes)| (id.to_owned(), bytes)));
    assert!(
        cache.records.iter().all(|r| r.kind == RecordKind::CacheMount || r.mount_id().is_none())
    );
}

#[test]
fn the_rest_of_a_mount_s_command_does_not_confuse() {
    let record = CacheRecord {
        description: r#"cached mount /c from exec /bin/sh -c echo " with id " && x from exec y with id "/a \"b\" \\""#
            .to_owned(),
        ..parse_engine(ENGINE_JSON.as_bytes()).unwrap().records.remove(0)
    };
    let record = CacheRecord { kind: RecordKind::CacheMount, ..record };
    assert_eq!(record.mount_id().as_deref(), Some(r#"a "b" \"#));
}

#[test]
fn buildx_tells_the_same_within_rounding() {
    let exact = parse_engine(ENGINE_JSON.as_bytes()).unwrap();
    let rounded = parse_buildx(BUILDX_LINES, NOW).unwrap();
    assert!(!rounded.exact);
    let (exact, rounded) = (by_id(&exact), by_id(&rounded));
    assert_eq!(exact.len(), rounded.len());
    for (id, exact) in &exact {
        let rounded = rounded[id];
        assert!(exact.bytes.abs_diff(rounded.bytes) * 1000 <= exact.bytes, "{exact:?} {rounded:?}");
        assert_eq!((&exact.kind, &exact.description), (&rounded.kind, &rounded.description));
        assert_eq!((&exact.parents, exact.shared), (&rounded.parents, rounded.shared));
        assert_eq!((exact.created_at, exact.in_use), (rounded.created_at, rounded.in_use));
        assert!(rounded.last_used.is_some_and(|at| (NOW - 3600..=NOW).contains(&at)));
    }
    assert!(rounded.values().any(|record| record.mutable == Some(true)));
    assert_eq!(parse_buildx("\n", NOW).unwrap().records, []);
}

#[test]
fn buildctl_tells_bytes() {
    let json = br#"[
      {"id":"a1","mutable":false,"inUse":true,"size":12419,"createdAt":"2026-11-22T22:29:50.894Z",
       "lastUsedAt":null,"usageCount":0,"parents":null,"description":"[linux/arm64 runtime 1/4] COPY a /b",
       "recordType":"regular","shared":false},
      {"id":"b2","mutable":true,"inUse":false,"size":-1,"createdAt":"2026-11-22T22:29:50Z",
       "lastUsedAt":"2026-11-22T22:29:51Z","usageCount":3,"parents":["a1"],"description":"x",
       "recordType":"future","shared":false}]"#;
    let cache = parse_buildctl(json).unwrap();
    assert!(!cache.records[0].reclaimable());
    assert_eq!(cache.records[1].bytes, 0, "-1 is unknown");
    assert_eq!(cache.records[1].last_used, Some(1_795_386_591));
    assert_eq!(cache.records[1].kind, RecordKind::Other("future".to_owned()));
    assert_eq!(parse_buildctl(b"null\n").unwrap().records, []);
}

#[test]
fn the_engine_s_answer_is_taken_from_http() {
    let answer = |status: &str, body: &str| {
        let head = format!("HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n");
        parse_engine_response(format!("{head}{body}").as_bytes())
    };
    assert_eq!(answer("200 OK", ENGINE_JSON), parse_engine(ENGINE_JSON.as_bytes()));
    let newer =
        r#"{"BuildCacheUsage":{"TotalCount":1,"Items":[{"ID":"a","Size":5,"Parents":["b"]}]}}"#;
    assert_eq!(answer("200 OK", newer).unwrap().records[0].parents, ["b"]);
    let empty = r#"{"LayersSize":0,"BuildCache":[]}"#;
    assert_eq!(answer("200 OK", empty).unwrap().records, []);

    let refused = r#"{"message":"client version 1.99 is too new"}"#;
    for (result, says) in [
        (answer("400 Bad Request", refused), "400 Bad Request: client version 1.99 is too new"),
        (answer("502 Bad Gateway", "proxy\n"), "502 Bad Gateway: proxy"),
        (answer("200 OK", r#"{"LayersSize":0,"BuildCache":null}"#), "no BuildCache"),
        (answer("200 OK", "{\"BuildCache\":[{\"ID\":"), "EOF"),
        (parse_engine_response(b"HTTP/1.0 200 OK"), "ended before its header"),
        (parse_buildx("Reclaimable: 0B", NOW), "expected value"),
        (parse_buildctl(b"Error: no such container"), "expected value"),
    ] {
        let error = result.expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
        assert!(error.contains("did not say what the builder's cache holds"), "{error}");
    }
}

#[test]
fn ages_in_words_are_read() {
    for (text, seconds) in [
        ("Less than a second ago", 0),
        ("1 second ago", 1),
        ("42 seconds ago", 42),
        ("About a minute ago", 60),
        ("3 minutes ago", 180),
        ("About an hour ago", 3_600),
        ("5 days ago", 432_000),
        ("2 weeks ago", 1_209_600),
        ("4 months ago", 10_368_000),
        ("2 years ago", 63_072_000),
    ] {
        assert_eq!(parse_age(text), Some(seconds), "{text}");
    }
    assert_eq!(parse_age(""), None);
    assert_eq!(parse_age("yesterday"), None);
}
