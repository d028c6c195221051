//! Two deploys of the same service in the same moment: one after the other.

use super::project::Copy;
use crate::support::Run;

#[test]
fn two_deploys_at_once_come_one_after_the_other() {
    let copy = Copy::of_this_repository();
    copy.run(&["local", "up"]).code(0);
    copy.run(&["deploy"]).code(0);
    let code = copy.read("api/loppestars/main.py");
    let digests: Vec<String> = (1..=2)
        .map(|number| {
            copy.write("api/loppestars/main.py", &format!("{code}\n# {number}\n"));
            let report = copy.run(&["build", "--push", "--format", "json"]).code(0).json();
            report["digest"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_ne!(digests[0], digests[1]);

    let deploy =
        |digest: &str| copy.run(&["deploy", "--image", digest, "--format", "json"]).code(0);
    let runs: Vec<Run> = std::thread::scope(|scope| {
        let started: Vec<_> =
            digests.iter().map(|digest| scope.spawn(move || deploy(digest))).collect();
        started.into_iter().map(|run| run.join().unwrap()).collect()
    });

    let waited = |run: &Run| run.stderr().contains("is being deployed by ");
    let second = usize::from(waited(&runs[1]));
    assert!(waited(&runs[second]) && !waited(&runs[1 - second]), "{}{}", runs[0], runs[1]);
    let reports: Vec<_> = runs.iter().map(Run::json).collect();
    let (first, second) = (&reports[1 - second], &reports[second]);
    for report in [first, second] {
        assert_eq!(report["verdict"], "succeeded", "{report}");
    }
    let service = |report: &serde_json::Value| report["services"][0].clone();
    assert_eq!(
        service(second)["previous"],
        service(first)["task-definition"],
        "the second one began where the first one had ended"
    );
    assert_eq!(copy.digest(), second["digest"], "the last one runs");
    copy.run(&["doctor"]).prints("free");
}
