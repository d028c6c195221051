//! Exit codes, and the error that carries one.
//!
//! Scripts and CI tell outcomes apart by these numbers; they never change
//! meaning. The same table is in `docs/guide.md`, and a test compares the two.

use std::fmt;
use std::path::PathBuf;

/// What the process's exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing had to be done.
    Success = 0,
    /// A bug, or something nobody thought of.
    Unexpected = 1,
    /// The command line, `xtask.toml` or a value that it refers to is wrong.
    Usage = 2,
    /// An engine, buildx, credentials, a cluster, service or repository is missing.
    Prerequisite = 3,
    /// The image could not be built.
    BuildFailed = 4,
    /// The image was built and could not be pushed.
    PushFailed = 5,
    /// The rollout failed, and the service is back on its earlier revision.
    RolledBack = 6,
    /// The rollout failed, and the service was not put back.
    RolloutFailed = 7,
    /// Another deployment took this one's place.
    Superseded = 8,
    /// The deadline passed; the rollout goes on.
    DeadlinePassed = 9,
    /// What runs is not what was pushed, or the health URL does not answer.
    VerificationFailed = 10,
    /// Ctrl-C or SIGTERM.
    Interrupted = 130,
}

impl Exit {
    /// Every code with its meaning, in the words of the user guide.
    pub const TABLE: [(Self, &'static str); 12] = [
        (Self::Success, "success, also `unchanged`"),
        (Self::Unexpected, "unexpected: a bug or something nobody thought of"),
        (Self::Usage, "usage or configuration"),
        (
            Self::Prerequisite,
            "a prerequisite is missing: engine, buildx, credentials, cluster, service, repository",
        ),
        (Self::BuildFailed, "the build failed"),
        (Self::PushFailed, "the push failed"),
        (Self::RolledBack, "the rollout failed, and ECS or we rolled it back"),
        (Self::RolloutFailed, "the rollout failed and was not rolled back"),
        (Self::Superseded, "superseded by another deployment"),
        (Self::DeadlinePassed, "deadline passed, still rolling out"),
        (
            Self::VerificationFailed,
            "verification failed: what runs is not what was pushed, or the health URL does not answer",
        ),
        (Self::Interrupted, "interrupted"),
    ];

    /// The verdict in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "succeeded",
            Self::RolledBack => "rolled-back",
            Self::RolloutFailed => "failed",
            Self::Superseded => "superseded",
            Self::DeadlinePassed => "deadline-passed",
            Self::VerificationFailed => "verification-failed",
            Self::BuildFailed => "build-failed",
            Self::PushFailed => "push-failed",
            Self::Interrupted => "interrupted",
            Self::Unexpected | Self::Usage | Self::Prerequisite => "error",
        }
    }

    /// What it means, in the words of [`Self::TABLE`].
    pub fn meaning(self) -> &'static str {
        Self::TABLE.iter().find(|(exit, _)| *exit == self).map_or("", |(_, meaning)| meaning)
    }

    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// The table as text, for `--help`.
pub fn help() -> String {
    let rows = Exit::TABLE.map(|(exit, meaning)| format!("  {:>3}  {meaning}\n", exit.code()));
    format!("Exit codes:\n{}", rows.concat())
}

/// An expected failure: what is wrong and where, what to do next, and the exit code.
///
/// Anything that is not a `Failure` ends as [`Exit::Unexpected`].
#[derive(Debug)]
pub struct Failure {
    /// Which exit code it ends with.
    pub exit: Exit,
    /// What is wrong, and where. No trailing dot.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Whether it may go away by itself.
    pub again: Again,
    /// Where in a file of the project, where that is known.
    pub place: Option<Place>,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

/// Whether the same thing may go well when it is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Again {
    /// It will fail again until somebody mends it.
    #[default]
    Useless,
    /// It may go well the next time.
    Soon,
    /// It may go well when it is tried less often.
    Slower,
    /// It may go well with the credentials that can be found by then.
    WithNewCredentials,
}

impl Failure {
    /// A failure that says what is wrong.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, again: Again::Useless, place: None }
    }

    /// Adds whether it may go away by itself.
    #[must_use]
    pub fn again(mut self, again: Again) -> Self {
        self.again = again;
        self
    }

    /// Adds where in a file it is wrong.
    #[must_use]
    pub fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Several failures as one, each with what to do about it; calls that failed for one reason
    /// are told together. It ends with the exit code of the first.
    pub fn several(heading: &str, failures: &[anyhow::Error]) -> Self {
        // Calls, why, and what to do.
        let mut told: Vec<(String, String, Option<&str>)> = Vec::new();
        for failure in failures {
            let (text, hint) = (format!("{failure:#}"), hint_of(failure));
            let (call, why) = text.split_once(": ").unwrap_or(("", &text));
            match told.iter_mut().find(|(_, other, to_do)| other == why && *to_do == hint) {
                Some((calls, ..)) if !call.is_empty() => calls.push_str(&format!(", {call}")),
                Some(_) => {}
                None => told.push((call.to_owned(), why.to_owned(), hint)),
            }
        }
        let mut text = heading.to_owned();
        for (calls, why, hint) in told {
            let colon = if calls.is_empty() { "" } else { ": " };
            text.push_str(&format!("\n  - {calls}{colon}{why}"));
            if let Some(hint) = hint {
                text.push_str(&format!("\n    {hint}"));
            }
        }
        Self::new(failures.first().map_or(Exit::Unexpected, exit_of), text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The exit code that an error ends with.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    error.downcast_ref::<Failure>().map_or(Exit::Unexpected, |failure| failure.exit)
}

/// Whether it is worth trying again after an error.
pub fn again(error: &anyhow::Error) -> Again {
    error.downcast_ref::<Failure>().map_or(Again::Useless, |failure| failure.again)
}

/// The line of a file that an error is about.
pub fn place_of(error: &anyhow::Error) -> Option<&Place> {
    error.downcast_ref::<Failure>().and_then(|failure| failure.place.as_ref())
}

/// The advice that an error carries.
pub fn hint_of(error: &anyhow::Error) -> Option<&str> {
    error.downcast_ref::<Failure>().and_then(|failure| failure.hint.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn the_code_survives_added_context() {
        let error =
            anyhow::Result::<()>::Err(Failure::new(Exit::PushFailed, "no").hint("go").into())
                .context("while pushing")
                .unwrap_err();
        assert_eq!(exit_of(&error), Exit::PushFailed);
        assert_eq!(hint_of(&error), Some("go"));
        assert_eq!(format!("{error:#}"), "while pushing: no");
    }

    #[test]
    fn the_guide_has_the_same_table() {
        let guide = include_str!("../../../docs/guide.md");
        for (exit, meaning) in Exit::TABLE {
            let row = format!("| {} | {meaning} |", exit.code());
            assert!(guide.contains(&row), "docs/guide.md lacks the row: {row}");
        }
    }

    #[test]
    fn calls_that_failed_for_one_reason_are_told_together() {
        let failure = |text: &str, hint: &str| Failure::new(Exit::Prerequisite, text).hint(hint);
        let failures = [
            failure("sts:Get: no credentials", "sign in"),
            failure("no engine", "start it"),
            failure("ecr:Describe: no credentials", "sign in"),
            failure("ecs:Describe: no credentials", "set a profile"),
        ];
        let several = Failure::several("4 things", &failures.map(anyhow::Error::from));
        assert_eq!(
            several.message,
            "4 things\n  - sts:Get, ecr:Describe: no credentials\n    sign in\n  - no engine\n    start it\n  \
             - ecs:Describe: no credentials\n    set a profile"
        );
    }
}
