//! How a deploy introduces itself to those who wait for it.

use xtask_core::plan::secret::hide;

/// Variables in which CI systems say where a run can be looked at.
const RUNS: [&str; 4] = ["CI_JOB_URL", "BUILD_URL", "BUILDKITE_BUILD_URL", "CIRCLE_BUILD_URL"];

/// A run of a CI by its address, or a person on a machine.
pub(super) fn who() -> String {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // Everybody reads it who waits.
    hide(&said(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()), &machine))
}

fn said(variable: &dyn Fn(&str) -> Option<String>, machine: &str) -> String {
    let github = || {
        let (server, repository) = (variable("GITHUB_SERVER_URL")?, variable("GITHUB_REPOSITORY")?);
        let run = variable("GITHUB_RUN_ID")?;
        let by = variable("GITHUB_ACTOR").map(|actor| format!(" by {actor}")).unwrap_or_default();
        Some(format!("{server}/{repository}/actions/runs/{run}{by}"))
    };
    if let Some(run) = github().or_else(|| RUNS.iter().find_map(|name| variable(name))) {
        return run;
    }
    let user = variable("USER")
        .or_else(|| variable("LOGNAME"))
        .unwrap_or_else(|| format!("user {}", rustix::process::getuid().as_raw()));
    format!("{user}@{machine}, process {}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_its_address_and_a_person_by_name_and_machine() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs.to_vec();
            let variable = move |name: &str| {
                pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
            };
            said(&variable, "desk")
        };
        assert_eq!(
            of(&[
                ("GITHUB_SERVER_URL", "https://github.com"),
                ("GITHUB_REPOSITORY", "a/b"),
                ("GITHUB_RUN_ID", "7"),
                ("GITHUB_ACTOR", "maria"),
                ("USER", "runner"),
            ]),
            "https://github.com/a/b/actions/runs/7 by maria"
        );
        assert_eq!(of(&[("CI_JOB_URL", "https://ci/7"), ("USER", "x")]), "https://ci/7");
        let person = of(&[("LOGNAME", "maria")]);
        assert_eq!(person, format!("maria@desk, process {}", std::process::id()));
        assert!(of(&[]).starts_with("user "));
    }
}
