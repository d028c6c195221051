//! This machine: no room for files, and nobody who reads what is printed.

use std::fs::File;
use std::process::{Command, Stdio};

use super::stage::{Stage, Turn};
use crate::support::Run;

const ARGS: [&str; 3] = ["deploy", "--format", "json"];

/// `xtask`, started as `"$@"` by a shell's script, which is started by what `words` name.
fn through(stage: &Stage, words: &[&str], script: &str, args: &[&str]) -> Command {
    let xtask = stage.command(args);
    let words = [words, &["sh", "-c", script, "sh"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(xtask.get_program()).args(args);
    command.current_dir(stage.path("")).stdin(Stdio::null());
    for (name, value) in xtask.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// A deploy for which another file system lies over a folder, and for nobody else.
fn deploy_over(stage: &Stage, options: &str, folder: &str) -> Run {
    let unshare = match rustix::process::geteuid().is_root() {
        true => &["unshare", "--mount"][..],
        false => &["unshare", "--mount", "--map-root-user"],
    };
    let script = format!("mount -t tmpfs -o {options} none {folder} && exec \"$@\"");
    Run::new(&ARGS, through(stage, unshare, &script, &ARGS).output().unwrap())
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

#[test]
fn a_machine_without_room_is_told_before_anything_is_changed() {
    let stage = Turn::take();
    let before = stage.serving();
    stage.version("serves");
    let mut nowhere = stage.command(&ARGS);
    nowhere.env("TMPDIR", stage.path("nowhere"));
    let nowhere = Run::new(&ARGS, nowhere.output().unwrap());
    for (run, says) in [
        (nowhere, "No such file or directory"),
        (deploy_over(&stage, "ro", "\"$TMPDIR\""), "Read-only file system"),
        (deploy_over(&stage, "nr_inodes=1", "\"$TMPDIR\""), "No space left on device"),
        (deploy_over(&stage, "size=4k", "\"$TMPDIR\""), "No space left on device"),
    ] {
        let run = run.code(3).says("no temporary file can be written in ").says(says);
        let run = run.says("make room there, or name another folder with TMPDIR");
        assert_eq!(run.json()["exit-code"], 3, "{run}");
        stage.still_serves(&before);
        stage.nothing_is_left();
    }
    let run = deploy_over(&stage, "size=4k", "\"$XDG_RUNTIME_DIR\"").code(3);
    run.says("no space left on device").says("or name another folder with XDG_RUNTIME_DIR");
    stage.still_serves(&before);
    stage.nothing_is_left();
}

#[test]
fn what_can_not_be_written_beside_a_deploy_does_not_stop_it() {
    let stage = Turn::take();
    let version = stage.version("serves");
    let run = deploy_over(&stage, "size=4k", "target/xtask").code(0);
    run.says("build.log can not be written").says("the build goes on");
    assert_eq!(stage.serving().version, version);
    stage.nothing_is_left();

    let version = stage.version("serves");
    let mut closed = through(&stage, &[], "exec \"$@\" >&-", &["deploy"]);
    assert!(closed.stderr(full()).status().unwrap().success());
    assert_eq!(stage.serving().version, version);
    stage.nothing_is_left();

    let version = stage.version("serves");
    let mut command = stage.command(&["deploy"]);
    let child = command.stderr(Stdio::piped()).stdout(full()).spawn().unwrap();
    let run = Run::new(&["deploy"], child.wait_with_output().unwrap()).code(1);
    run.says("standard output can not be written: No space left").says("what was done is done");
    assert_eq!(stage.serving().version, version);
    stage.nothing_is_left();
}
