//! What a job of GitHub Actions shows and is told.

mod deploys;

use crate::support::{MINIMAL, NOWHERE, Project, Run};

/// A project whose runs believe that they are in a job.
fn job(config: &str) -> Project {
    let mut project = Project::new(config);
    join(&mut project);
    project
}

/// Lets a project's runs believe that they are in a job, with an empty file for outputs and for
/// the summary.
fn join(project: &mut Project) {
    let (output, summary) = (project.path("output"), project.path("summary"));
    project.set("GITHUB_ACTIONS", "true");
    project.set("GITHUB_OUTPUT", output);
    project.set("GITHUB_STEP_SUMMARY", summary);
    let workspace = project.path("");
    project.set("GITHUB_WORKSPACE", workspace);
}

fn read(project: &Project, name: &str) -> String {
    std::fs::read_to_string(project.path(name)).unwrap_or_default()
}

/// What differs from run to run, and is not the point.
fn redacted(project: &Project, text: &str) -> String {
    let root = project.path("").display().to_string();
    let text = text.replace(root.trim_end_matches('/'), "PROJECT");
    // Annotations are read as they are shown.
    let text = text.replace(&"ab".repeat(32), "DIGEST").replace("%0A", "\n");
    let redact = |line: &str| {
        // Its arguments are told elsewhere.
        if let Some((before, _)) = line.split_once("docker buildx build") {
            return format!("{before}docker buildx build …");
        }
        let words: Vec<&str> = line.split(' ').collect();
        let seconds = |at: usize| words.get(at + 1).is_some_and(|next| *next == "s");
        let words = words
            .iter()
            .enumerate()
            .map(|(at, word)| if word.parse::<f64>().is_ok() && seconds(at) { "N" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    let routine = |line: &&str| !line.contains("| log line");
    text.lines().filter(routine).map(|line| redact(line) + "\n").collect()
}

/// Groups are closed before the next one begins and before the end, and nothing else is a
/// command but what we mean as one.
#[track_caller]
pub fn assert_groups(run: &Run) {
    // Actions reads both.
    for line in run.stdout().lines() {
        assert!(!line.trim_start().starts_with("::") && !line.contains("##["), "{line}\n{run}");
    }
    let mut open = false;
    for line in run.stderr().lines() {
        if let Some(title) = line.strip_prefix("::group::") {
            assert!(title.starts_with('['), "which step it is: {line}\n{run}");
            assert!(!open, "a group in a group: {line}\n{run}");
            open = true;
        } else if line == "::endgroup::" {
            assert!(open, "no group is open\n{run}");
            open = false;
        } else if line.trim_start().starts_with("::") {
            let ours = line.starts_with("::error title=") || line.starts_with("::warning::");
            assert!(ours, "a command that is not ours: {line}\n{run}");
            assert!(!open || line.starts_with("::warning::"), "folded away: {line}\n{run}");
        }
        assert!(!line.contains("##["), "{line}\n{run}");
    }
    assert!(!open, "the last group is not closed\n{run}");
}

#[test]
fn a_build_that_goes_well() {
    let mut project = job(MINIMAL);
    project.fake_docker("cached_load.jsonl", 0);
    let run = project.run(&["build", "--progress", "quiet"]).code(0);
    assert_groups(&run);
    let shown = "\
::group::[1/1] docker buildx build …
::endgroup::
      8 of 8 steps cached, 1.23 MB, sha256:DIGEST N s
";
    assert_eq!(redacted(&project, &run.stderr()), shown);
    let outputs = "image=app:latest\ndigest=sha256:DIGEST\nverdict=succeeded\n";
    assert_eq!(redacted(&project, &read(&project, "output")), outputs);
    let summary = redacted(&project, &read(&project, "summary"));
    let begin = "### build: succeeded\n\nImage `app:latest`\n\n```text\n";
    assert!(summary.starts_with(begin), "{summary}");
    assert!(summary.ends_with("\n```\n"), "{summary}");
}

#[test]
fn a_build_that_fails() {
    let mut project = job(MINIMAL);
    project.fake_docker("failing_run.jsonl", 1);
    let run = project.run(&["build", "--progress", "quiet"]).code(4);
    assert_groups(&run);
    let reason = "\
runtime 2/2 failed: exit code 3
Fail.Dockerfile:6
  5 | COPY app/ /srv/app/
> 6 | RUN echo \"compiling\" && \\
> 7 |     for i in $(seq 1 60); do echo \"log line $i\"; done && \\
> 8 |     echo \"error: no such module\" >&2 && exit 3
  9 |
last 50 lines of its output:
  | error: no such module
";
    let hint = "mend the step above; the whole log is in PROJECT/target/xtask/build.log";
    let shown = format!(
        "::group::[1/1] docker buildx build …\n::endgroup::\n\
         ::error title=the build failed,file=Dockerfile,line=6::{reason}\nhint: {hint}\n"
    );
    assert_eq!(redacted(&project, &run.stderr()), shown);
    assert_eq!(read(&project, "output"), "verdict=build-failed\n");
    let summary = format!("### build-failed\n\n```text\n{reason}```\n\n**Hint:** {hint}\n");
    assert_eq!(redacted(&project, &read(&project, "summary")), summary);
}

#[test]
fn what_is_missing_is_told_also_before_anything_was_done() {
    let mut project = job(NOWHERE);
    project.fake_docker("cold_load.jsonl", 0);
    let run = project.run(&["deploy", "--env", "test", "--format", "json"]).code(3);
    assert_groups(&run);
    assert_eq!(run.json()["exit-code"], 3);
    assert_eq!(read(&project, "output"), "verdict=error\n");
    assert!(read(&project, "summary").starts_with("### error\n\n```text\n"), "{run}");
}

#[test]
fn a_wrong_command_line_is_an_annotation() {
    let project = job(MINIMAL);
    let run = project.run(&["biuld"]).code(2);
    run.says(
        "::error title=usage or configuration::unrecognized subcommand 'biuld'%0A%0Ahint: tip:",
    );
}
