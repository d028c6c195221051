//! A branch's cache, from its build to its prune.

use serde_json::Value;

use super::project::Copy;
use crate::support::Run;

/// Whatever CI says that it builds.
const NO_CI: [(&str, &str); 2] = [("GITHUB_REF_NAME", ""), ("GITHUB_HEAD_REF", "")];

#[test]
fn the_cache_of_a_branch_goes_with_the_branch() {
    let copy = Copy::of_this_repository();
    copy.run(&["local", "up"]).code(0);
    let caches = "[env.local.cache]\nbranches = true\nmode = \"min\"\n\n[env.local.prune]";
    let config = copy.variant(&[("[env.local.prune]", caches)]);
    let run = |args: &[&str]| -> Run {
        copy.run_with(&NO_CI, &[args, &["--config", &config]].concat()).code(0)
    };
    copy.commit();
    copy.git(&["branch", "--move", "main"]);
    copy.git(&["init", "--quiet", "--bare", "target/remote.git"]);
    copy.git(&["remote", "add", "origin", "./target/remote.git"]);
    copy.git(&["push", "--quiet", "origin", "main"]);
    run(&["build", "--push"]);
    copy.git(&["checkout", "--quiet", "-b", "feature/x"]);
    copy.append("api/loppestars/main.py", "\n# of a branch\n");
    copy.commit();
    copy.git(&["push", "--quiet", "origin", "feature/x"]);
    run(&["build", "--push"]);

    let tags = || -> Vec<String> {
        let report = run(&["du", "--format", "json"]).json();
        let rows = report["rows"].as_array().unwrap().iter();
        let of_caches = rows.filter(|row| row["kind"] == "cache" && row["name"].is_string());
        of_caches.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    let before = tags();
    let branch = before.iter().find(|tag| tag.starts_with("buildcache-feature-x-"));
    assert!(branch.is_some() && before.contains(&"buildcache".to_owned()), "{before:?}");
    let prune = |more: &[&str]| -> Value {
        run(&[&["prune", "--registry-only", "--format", "json"][..], more].concat()).json()
    };
    let goes = |plan: &Value| -> Vec<String> {
        let images = plan["registry"][0]["delete"].as_array().unwrap().iter();
        let of_branches = images.filter(|image| image["why"]["why"] == "branch-gone");
        of_branches.map(|image| image["tags"][0].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(goes(&prune(&["--dry-run"])), Vec::<String>::new(), "the branch is there");

    copy.git(&["checkout", "--quiet", "main"]);
    copy.git(&["branch", "--quiet", "-D", "feature/x"]);
    assert_eq!(goes(&prune(&["--dry-run"])), Vec::<String>::new(), "the remote has it still");
    copy.git(&["push", "--quiet", "--delete", "origin", "feature/x"]);
    assert_eq!(goes(&prune(&["--dry-run"])), [branch.unwrap().clone()]);
    let report = prune(&["--yes"]);
    assert!(report["error"].is_null() && report["warnings"] == serde_json::json!([]), "{report}");
    assert_eq!(tags(), ["buildcache"], "the main branch's stays");
}
