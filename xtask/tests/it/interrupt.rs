//! What is left when `xtask` is ended, or ends on its own: nothing that it started.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{MINIMAL, Project, Run};

/// Long enough for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A `docker` that notes its process id and hangs, and a process that it started.
const HANGS: &str = r#"
hang() { sleep 300 & echo "$$ $!" > "$PIDS"; wait; exit 1; }"#;

/// Whether a process runs: one that nobody has reaped does not.
fn runs(pid: &str) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", pid]).output().unwrap();
    let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

/// Asserts that processes end. Those that were started by what was started are not waited for by
/// who ends them, and a busy machine takes a moment.
#[track_caller]
fn assert_gone(pids: &[String], signal: &str) {
    let end = Instant::now() + Duration::from_secs(5);
    while pids.iter().any(|pid| runs(pid)) {
        assert!(Instant::now() < end, "some of {pids:?} outlived SIG{signal}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes that the fake `docker` noted, once it hangs.
fn hanging(project: &Project) -> Vec<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(project.path("pids")).unwrap_or_default();
        if text.ends_with('\n') {
            return text.split_whitespace().map(str::to_owned).collect();
        }
        assert!(Instant::now() < end, "docker was not started");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn send(signal: &str, pid: u32) {
    let sent = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

#[track_caller]
fn end(child: Child, args: &[&str]) -> Run {
    Run::new(args, child.wait_with_output().unwrap())
}

fn hanging_docker(case: &str) -> Project {
    let mut project = Project::new(MINIMAL);
    let pids = project.path("pids");
    project.fake_docker("cold_load.jsonl", 0);
    project.set("PIDS", pids);
    let path = project.path("bin/docker");
    let script = std::fs::read_to_string(&path).unwrap();
    let script = script.trim_start_matches("#!/bin/sh\n");
    project
        .program("docker", &format!("{HANGS}\ncase \"$1 $2\" in\n{case}) hang ;;\nesac\n{script}"));
    project
}

#[test]
fn a_question_that_hangs_is_ended_by_a_signal() {
    for signal in ["TERM", "INT", "HUP"] {
        let project = hanging_docker("'info --format'");
        let args = ["build"];
        let child = project.command(&args).spawn().unwrap();
        let pids = hanging(&project);
        send(signal, child.id());
        end(child, &args).code(130).says("interrupted; nothing was changed");
        assert_gone(&pids, signal);
    }
}

#[test]
fn a_build_that_hangs_is_ended_by_a_signal() {
    let project = hanging_docker("'buildx build'");
    let args = ["build"];
    let child = project.command(&args).spawn().unwrap();
    let pids = hanging(&project);
    send("TERM", child.id());
    end(child, &args).code(130).says("interrupted");
    assert_gone(&pids, "TERM");
}

#[test]
fn a_run_that_was_started_to_outlive_its_terminal_does() {
    let project = hanging_docker("'buildx build'");
    let args = ["build"];
    let xtask = project.command(&args);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(xtask.get_program());
    command.args(xtask.get_args()).current_dir(project.path("")).env_clear();
    command.envs(xtask.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pids = hanging(&project);
    send("HUP", child.id());
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "SIGHUP was ignored before, and ended it");
    send("TERM", child.id());
    end(child, &args).code(130);
    assert_gone(&pids, "TERM");
}

/// Nobody can hear `kill -9`: a guard ends the build and removes what was temporary.
#[test]
fn a_build_whose_xtask_is_killed_ends_and_leaves_no_files() {
    let mut project = hanging_docker("'buildx build'");
    let tmp = project.path("tmp");
    std::fs::create_dir(&tmp).unwrap();
    project.set("TMPDIR", &tmp);
    let child = project.command(&["build"]).spawn().unwrap();
    let pids = hanging(&project);
    assert_ne!(std::fs::read_dir(&tmp).unwrap().count(), 0, "there is something to remove");
    send("KILL", child.id());
    child.wait_with_output().unwrap();
    let end = Instant::now() + PATIENCE;
    let left = || std::fs::read_dir(&tmp).unwrap().count();
    while left() > 0 || pids.iter().any(|pid| runs(pid)) {
        assert!(Instant::now() < end, "{} files and some of {pids:?} are left", left());
        std::thread::sleep(Duration::from_millis(50));
    }
}
