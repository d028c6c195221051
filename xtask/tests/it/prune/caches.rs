//! Caches in the registry: in a repository of their own, and of branches.

use serde_json::{Value, json};

use super::world::{Aws, digest};
use crate::stand_in::server::Asked;
use crate::support::Project;

fn described(number: usize, tags: &[&str]) -> Value {
    json!({ "imageDigest": digest(number), "imageTags": tags, "imagePushedAt": 1,
        "imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json" })
}

/// The manifests that are asked for: caches, and an image with the number 13.
fn manifests(asked: &Asked) -> Value {
    let image = |id: &Value| {
        let cache = json!({ "layers": [{ "digest": digest(50), "size": 1_000_000_000 }],
            "config": { "digest": id["imageDigest"], "size": 1,
                "mediaType": "application/vnd.buildkit.cacheconfig.v0" } });
        let plain = json!({ "layers": [] });
        let manifest = if id["imageDigest"] == digest(13) { plain } else { cache };
        json!({ "imageId": id, "imageManifest": manifest.to_string() })
    };
    let ids = asked.request["imageIds"].as_array().unwrap().iter();
    json!({ "images": ids.map(image).collect::<Vec<_>>(), "failures": [] })
}

/// A repository whose tags can not move, and that of its cache.
fn immutable(asked: &Asked) -> Option<(u16, Value)> {
    let request = &asked.request;
    let answer = match (asked.operation.as_str(), request["repositoryName"].as_str()) {
        ("DescribeRepositories", _) => json!({ "repositories":
            [{ "repositoryName": "app", "imageTagMutability": "IMMUTABLE" }] }),
        ("DescribeImages", Some("app-cache")) => {
            let images = [(11, &["buildcache"][..]), (12, &[]), (13, &["v1"])];
            json!({ "imageDetails": images.map(|(n, tags)| described(n, tags)) })
        }
        ("BatchGetImage", Some("app-cache")) => manifests(asked),
        ("GetLifecyclePolicy", _) => {
            return Some((400, json!({ "__type": "LifecyclePolicyNotFoundException" })));
        }
        _ => return None,
    };
    Some((200, answer))
}

#[test]
fn the_cache_s_own_repository_is_listed_with_its_size_and_cost() {
    let aws = Aws::new(Box::new(immutable));
    let mut project = aws.project("keep-untagged = \"0\"");
    project.program("docker", "exit 1");
    project.append("storage-price = 0.1\n");
    let run = project.run(&["du", "--env", "test", "--format", "json"]).code(0);
    let report = run.json();
    let uris: Vec<_> =
        report["registry"].as_array().unwrap().iter().map(|of| &of["repository"]).collect();
    assert_eq!(uris, ["r.example/app", "r.example/app-cache"], "{report}");
    let cost = &report["registry"][1]["monthly-cost"];
    assert!(cost["usd"].as_f64().unwrap() > 0.09, "{cost}");
    let row = |what: &str| {
        let rows = report["rows"].as_array().unwrap();
        let found = rows.iter().find(|row| row["what"] == what && row["repository"] == "app-cache");
        found.unwrap_or_else(|| panic!("{what}: {report}")).clone()
    };
    assert_eq!(row("build cache buildcache")["name"], "buildcache");
    assert_eq!(row("other build caches")["count"], 1);
    assert_eq!(row("total")["bytes"], 1_000_000_002);
}

#[test]
fn the_cache_s_own_repository_is_pruned_by_the_same_rules() {
    let aws = Aws::new(Box::new(immutable));
    let project = aws.project("keep-untagged = \"0\"\nkeep-last = 0");
    let args = ["prune", "--env", "test", "--registry-only", "--yes", "--format", "json"];
    let report = project.run(&args).code(0).json();
    let of =
        |at: usize| (&report["registry"][at]["repository"], &report["registry"][at]["deleted"]);
    assert_eq!(of(0), (&json!("r.example/app"), &json!([digest(1), digest(2), digest(3)])));
    // What is not a cache is somebody else's there.
    assert_eq!(of(1), (&json!("r.example/app-cache"), &json!([digest(11), digest(12)])));
    let calls = aws.server.calls("BatchDeleteImage");
    assert_eq!(calls[1]["repositoryName"], "app-cache");
    // Manifests are read once, and not again at the second look.
    assert_eq!(aws.server.calls("BatchGetImage").len(), 2);
}

#[test]
fn a_repository_of_that_name_is_not_ours_where_tags_can_move() {
    let aws = Aws::new(Box::new(|asked| match asked.operation.as_str() {
        "DescribeRepositories" => None,
        _ => immutable(asked),
    }));
    let project = aws.project("keep-untagged = \"0\"");
    let args = ["prune", "--env", "test", "--registry-only", "--yes", "--format", "json"];
    let report = project.run(&args).code(0).json();
    assert_eq!(report["registry"].as_array().unwrap().len(), 1, "{report}");
}

/// The caches of the main branch, of two others and of a pull request.
fn of_branches(asked: &Asked) -> Option<(u16, Value)> {
    let answer = match asked.operation.as_str() {
        "DescribeImages" => {
            let tags = ["buildcache", "buildcache-here", "buildcache-gone", "buildcache-pr-gone"];
            let images = [1, 2, 3, 4].map(|n| described(n, &[tags[n - 1]]));
            json!({ "imageDetails": images })
        }
        "BatchGetImage" => manifests(asked),
        _ => return None,
    };
    Some((200, answer))
}

fn git(project: &Project, dir: &str, args: &[&str]) {
    let dir = project.path(dir);
    std::fs::create_dir_all(&dir).unwrap();
    let mut command = std::process::Command::new("git");
    let output = command.args(args).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A clone with the branch `main`, and a remote that has `here` besides.
fn cloned(aws: &Aws) -> Project {
    let project = aws.project("");
    project.append("[cache]\nbranches = true\n");
    git(&project, "remote", &["init", "--quiet", "--bare"]);
    git(&project, ".", &["init", "--quiet", "--initial-branch", "main"]);
    let commit = ["commit", "--quiet", "--allow-empty", "--message", "x"];
    git(&project, ".", &[&["-c", "user.name=x", "-c", "user.email=x@x"][..], &commit].concat());
    git(&project, ".", &["remote", "add", "origin", "./remote"]);
    git(&project, ".", &["push", "--quiet", "origin", "main", "main:here"]);
    project
}

#[test]
fn only_caches_of_branches_that_are_gone_go() {
    let aws = Aws::new(Box::new(of_branches));
    let project = cloned(&aws);
    let args = ["prune", "--env", "test", "--registry-only", "--format", "json"];
    let plan = project.run(&[&args[..], &["--dry-run"]].concat()).code(0).json();
    let goes = &plan["registry"][0]["delete"];
    assert_eq!((goes[0]["digest"].as_str(), &goes[1]), (Some(&*digest(3)), &Value::Null), "{plan}");
    assert_eq!((&goes[0]["why"]["why"], &plan["warnings"]), (&json!("branch-gone"), &json!([])));
    let report = project.run(&[&args[..], &["--yes"]].concat()).code(0).json();
    assert_eq!(report["registry"][0]["deleted"], json!([digest(3)]));
}

#[test]
fn without_a_remote_that_answers_no_cache_of_a_branch_goes() {
    let aws = Aws::new(Box::new(of_branches));
    let project = cloned(&aws);
    for (change, why) in [
        (&["remote", "set-url", "origin", "./nowhere"][..], "`git ls-remote --heads origin`: "),
        (&["remote", "remove", "origin"], "this clone has no remote"),
    ] {
        git(&project, ".", change);
        let args = ["prune", "--env", "test", "--registry-only", "--yes", "--format", "json"];
        let run = project.run(&args).code(0).says("caches of branches stay").says(why);
        let report = run.json();
        assert_eq!((&report["registry"], &report["error"]), (&json!([]), &Value::Null));
        assert_eq!(report["warnings"].as_array().unwrap().len(), 1, "{report}");
    }
    assert!(aws.server.calls("BatchDeleteImage").is_empty());
}
