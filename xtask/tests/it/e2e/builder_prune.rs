//! The options that steer a prune of the builder's cache, as buildx and BuildKit really take them:
//! always with an age that nothing in it has, so that what others build stays cached.

use crate::support::{MINIMAL, Project};

/// A hundred years.
const NOTHING: [&str; 2] = ["--older-than", "36500d"];

#[test]
fn buildkit_takes_every_option_of_a_prune() {
    let project = Project::new(MINIMAL);
    let all = [
        "--max-used-space",
        "1MB",
        "--reserved-space",
        "1kB",
        "--min-free-space",
        "1TB",
        "--keep-mounts",
        "--all",
    ];
    for (options, argv) in [
        (&[][..], ""),
        (&["--max-used-space", "1MB"], " --max-used-space 1000000"),
        (&["--reserved-space", "500MiB"], " --reserved-space 524288000"),
        (&["--min-free-space", "999TB"], " --min-free-space 999000000000000"),
        (&["--keep-mounts"], " --filter 'type!=exec.cachemount'"),
        (&["--all"], " --all"),
        (&all[..], ""),
    ] {
        let args = [&["prune", "--yes", "--format", "json"][..], &NOTHING, options].concat();
        let run = project.run(&args).code(0);
        let report = run.json();
        let Some(builder) = report["builder"].as_object() else {
            // There is nothing at all in the builder's cache.
            assert!(report["builder"].is_null() && report["error"].is_null(), "{run}");
            continue;
        };
        let command = builder["command"].as_str().unwrap();
        assert!(command.contains(" --filter until=876000h0m0s"), "{run}");
        assert!(command.contains(argv), "{run}");
        assert!(builder["failed"].is_null() && report["error"].is_null(), "{run}");
    }
    // A filter is read: `du` takes the same, and a wrong one is refused.
    let docker = |args: &[&str]| std::process::Command::new("docker").args(args).output().unwrap();
    let mounts = docker(&["buildx", "du", "--verbose", "--filter", "type!=exec.cachemount"]);
    let shown = String::from_utf8_lossy(&mounts.stdout).into_owned();
    assert!(mounts.status.success() && !shown.contains("exec.cachemount"), "{shown}");
    let refused = docker(&["buildx", "prune", "--force", "--filter", "until=never"]);
    assert!(!refused.status.success(), "{refused:?}");
}
