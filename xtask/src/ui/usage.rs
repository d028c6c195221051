//! A command line that can not be understood: there are no options yet that say how to show it.

use std::ffi::OsString;
use std::io::Write as _;

use clap::error::ErrorKind;

use super::document::ErrorReport;
use super::github::Github;
use xtask_core::exit::Exit;

/// Shows what clap says: help where that was asked for, else what is wrong, also as JSON where
/// the command line asks for that.
pub fn usage(error: &clap::Error) -> Exit {
    // Where it can not be written there is nowhere left to say so.
    let _ = error.print();
    if !error.use_stderr() {
        return Exit::Success;
    }
    let report = report(error);
    if let Some(github) = Github::detect() {
        let _ = writeln!(
            std::io::stderr(),
            "{}",
            github.error(Exit::Usage.meaning(), &report.error, report.hint.as_deref(), None)
        );
    }
    if wants_json(std::env::args_os()) {
        let json = serde_json::to_string_pretty(&report).unwrap_or_default();
        let _ = writeln!(std::io::stdout(), "{json}");
    }
    Exit::Usage
}

fn report(error: &clap::Error) -> ErrorReport {
    let text = error.render().to_string();
    let (what, rest) = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => ("a command is missing", &*text),
        _ => text.split_once("\n\n").unwrap_or((&text, "")),
    };
    let rest = rest.trim();
    ErrorReport {
        error: what.trim_start_matches("error: ").to_owned(),
        hint: (!rest.is_empty()).then(|| rest.to_owned()),
        exit_code: Exit::Usage.code(),
    }
}

/// Whether these arguments ask for JSON, whatever else is wrong with them.
fn wants_json(args: impl Iterator<Item = OsString>) -> bool {
    let args: Vec<_> = args.collect();
    args.iter().any(|arg| arg == "--format=json")
        || args.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn what_is_wrong_is_told_from_how_to_mend_it() {
        let of = |args: &[&str]| report(&Cli::try_parse_from(args).unwrap_err());
        let wrong = of(&["xtask", "deplyo"]);
        assert_eq!(wrong.error, "unrecognized subcommand 'deplyo'");
        assert!(wrong.hint.unwrap().starts_with("tip: a similar subcommand exists: 'deploy'"));
        let none = of(&["xtask"]);
        assert_eq!((none.error.as_str(), none.exit_code), ("a command is missing", 2));
        assert!(none.hint.unwrap().contains("Usage: cargo xtask"));
    }

    #[test]
    fn json_is_asked_for_in_two_ways() {
        let wants = |text: &str| wants_json(text.split(' ').map(OsString::from));
        assert!(wants("biuld --format json") && wants("--format=json biuld"));
        assert!(!wants("build --format text json") && !wants("build --tag format=json"));
    }
}
