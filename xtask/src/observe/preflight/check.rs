//! One thing that was looked at, and all of them together.

use anyhow::Result;

use crate::ui::Ui;
use xtask_core::event::Event;
use xtask_core::exit::{Failure, hint_of};

/// One thing that was looked at.
#[derive(Debug)]
pub struct Check {
    /// What.
    pub what: &'static str,
    /// What was found.
    pub found: Found,
}

/// What a look found.
#[derive(Debug)]
pub enum Found {
    /// It is as it has to be.
    Ok(String),
    /// Nothing is wrong, as far as is known: what could not be looked at, or what is worth
    /// knowing.
    Note(Finding),
    /// A deploy goes on, and is worse for it.
    Warning(Finding),
    /// A deploy can not go on: what is wrong, with its fix and its exit code.
    Wrong(anyhow::Error),
}

/// Something that was found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub fix: String,
}

impl Check {
    /// What is as it has to be, or is wrong.
    pub fn new(what: &'static str, found: Result<String>) -> Self {
        let found = match found {
            Ok(text) => Found::Ok(text),
            Err(error) => Found::Wrong(error),
        };
        Self { what, found }
    }

    /// What is well.
    pub fn ok(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, found: Found::Ok(text.into()) }
    }

    /// What is worth knowing.
    pub fn note(what: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what, found: Found::Note(Finding { text: text.into(), fix: fix.into() }) }
    }

    /// What should be mended.
    pub fn warning(what: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what, found: Found::Warning(Finding { text: text.into(), fix: fix.into() }) }
    }

    /// What has to be mended.
    pub fn wrong(what: &'static str, error: impl Into<anyhow::Error>) -> Self {
        Self { what, found: Found::Wrong(error.into()) }
    }

    /// The check of something that is needed afterwards, and what was found if it is well.
    pub(super) fn of<T>(
        what: &'static str,
        found: Result<T>,
        text: impl Fn(&T) -> String,
    ) -> (Self, Option<T>) {
        match found {
            Ok(value) => (Self::ok(what, text(&value)), Some(value)),
            Err(error) => (Self::wrong(what, error), None),
        }
    }

    /// Whether a deploy can not go on.
    pub fn is_wrong(&self) -> bool {
        matches!(self.found, Found::Wrong(_))
    }
}

impl Found {
    /// `ok`, `note`, `warning` or `wrong`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Note(_) => "note",
            Self::Warning(_) => "warning",
            Self::Wrong(_) => "wrong",
        }
    }

    /// What was found.
    pub fn text(&self) -> String {
        match self {
            Self::Ok(text) => text.clone(),
            Self::Note(finding) | Self::Warning(finding) => finding.text.clone(),
            Self::Wrong(error) => format!("{error:#}"),
        }
    }

    /// What to do about it.
    pub fn fix(&self) -> Option<&str> {
        match self {
            Self::Ok(_) => None,
            Self::Note(finding) | Self::Warning(finding) => Some(&finding.fix),
            Self::Wrong(error) => hint_of(error),
        }
    }
}

/// Everything that is wrong before anything is changed, as one failure. Warnings are shown;
/// what is well is told with `-v`.
///
/// # Errors
/// When anything is wrong: with the exit code of the first finding.
pub fn well(ui: &Ui, checks: Vec<Check>) -> Result<()> {
    let mut wrong = Vec::new();
    for Check { what, found } in checks {
        match found {
            Found::Ok(text) => ui.emit(&Event::Detail { text: format!("{what}: {text}") }),
            Found::Note(Finding { text, fix }) => {
                ui.emit(&Event::Detail { text: format!("{what}: {text} ({fix})") });
            }
            Found::Warning(Finding { text, fix }) => {
                ui.emit(&Event::Warning { text, hint: Some(fix) });
            }
            Found::Wrong(error) => wrong.push(error),
        }
    }
    if wrong.len() <= 1 {
        return wrong.pop().map_or(Ok(()), Err);
    }
    let heading = format!("{} things are missing, and nothing was changed", wrong.len());
    let failure = Failure::several(&heading, &wrong);
    Err(failure.hint("`cargo xtask doctor` shows every check").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask_core::exit::{Exit, exit_of};

    #[test]
    fn everything_wrong_is_told_at_once() {
        let bad = |text: &str, hint: &str| {
            Check::wrong("x", Failure::new(Exit::Prerequisite, text).hint(hint))
        };
        let others =
            [Check::ok("y", ""), Check::note("y", "n", "f"), Check::warning("y", "w", "f")];
        let ui = Ui::silent();
        let mut checks = vec![bad("no engine", "start it")];
        checks.extend(others);
        checks.push(bad("no role", "make one"));
        let error = well(&ui, checks).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Prerequisite);
        assert_eq!(
            error.to_string(),
            "2 things are missing, and nothing was changed\n  - no engine\n    start it\n  - no role\n    make one"
        );
        assert_eq!(well(&ui, vec![bad("one", "h")]).unwrap_err().to_string(), "one");
        let well_enough = vec![Check::warning("y", "w", "f"), Check::note("y", "n", "f")];
        assert!(well(&ui, well_enough).is_ok());
    }

    #[test]
    fn a_finding_has_its_word_text_and_fix() {
        let of = |check: Check| {
            let (word, text) = (check.found.word(), check.found.text());
            (word, text, check.found.fix().map(str::to_owned))
        };
        assert_eq!(of(Check::ok("x", "t")), ("ok", "t".into(), None));
        assert_eq!(of(Check::note("x", "t", "f")), ("note", "t".into(), Some("f".into())));
        assert_eq!(of(Check::warning("x", "t", "f")), ("warning", "t".into(), Some("f".into())));
        let wrong = Check::wrong("x", Failure::new(Exit::Usage, "t").hint("f"));
        assert_eq!(of(wrong), ("wrong", "t".into(), Some("f".into())));
    }
}
