//! GitHub Actions: groups, annotations, outputs and the job summary.
//!
//! The ECR token is not masked with `::add-mask::`: it is never printed, and the command itself
//! would print it for whoever else reads the log.
//!
//! Source: the GitHub documentation, "Workflow commands for GitHub Actions".

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};

use xtask_core::exit::Place;
use xtask_core::plan::secret::hide;
use xtask_core::progress::sanitise;

/// The most lines of failed tasks that go into the summary.
const TROUBLE: usize = 200;

/// The most bytes of a summary. Actions takes none that has more than 1 MiB.
const SUMMARY: usize = 1 << 20;

/// The end of a summary that was cut.
const CUT: &str = "\n\nCut here, as GitHub takes no longer summary: the log has more.\n";

/// A job of GitHub Actions.
pub struct Github {
    output: Option<PathBuf>,
    summary: Option<PathBuf>,
    /// Where the repository was checked out.
    workspace: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether a group of log lines is open.
    open: bool,
    /// Whether the summary has the verdict.
    published: bool,
    /// Why tasks failed, and what they logged.
    trouble: Vec<String>,
    /// Outputs that are known already, however the command ends.
    known: BTreeMap<&'static str, String>,
}

impl Github {
    /// The job that this runs in, if it does.
    pub fn detect() -> Option<Self> {
        let file = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        (std::env::var("GITHUB_ACTIONS").as_deref() == Ok("true")).then(|| Self {
            output: file("GITHUB_OUTPUT"),
            summary: file("GITHUB_STEP_SUMMARY"),
            workspace: file("GITHUB_WORKSPACE"),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a group of log lines. There are no groups in groups: an open one is closed.
    pub fn group(&self, title: &str) -> Vec<String> {
        let closed = self.end_group();
        self.state().open = true;
        closed.into_iter().chain([format!("::group::{}", escape(title))]).collect()
    }

    /// Closes the group that is open, if one is.
    pub fn end_group(&self) -> Option<String> {
        std::mem::take(&mut self.state().open).then(|| "::endgroup::".to_owned())
    }

    /// An error annotation, at a line of a file where that is known.
    pub fn error(
        &self,
        title: &str,
        text: &str,
        hint: Option<&str>,
        place: Option<&Place>,
    ) -> String {
        let hint = hint.map_or(String::new(), |hint| format!("\n\nhint: {hint}"));
        let place = place.map_or(String::new(), |Place { file, line }| {
            // Actions knows files by their path in the repository.
            let inside = self.workspace.as_ref().and_then(|root| file.strip_prefix(root).ok());
            let file = inside.unwrap_or(file).to_string_lossy();
            format!(",file={},line={line}", property(&file))
        });
        let title = property(title);
        format!("::error title={title}{place}::{}", data(&format!("{text}{hint}")))
    }

    /// A warning annotation.
    pub fn warning(&self, text: &str, hint: Option<&str>) -> String {
        let hint = hint.map_or(String::new(), |hint| format!("\nhint: {hint}"));
        format!("::warning::{}", data(&format!("{text}{hint}")))
    }

    /// Notes for the summary what a failed task said.
    pub fn trouble(&self, line: String) {
        let trouble = &mut self.state().trouble;
        match trouble.len() {
            ..TROUBLE => trouble.push(line),
            TROUBLE => trouble.push("…".into()),
            _ => {}
        }
    }

    /// Notes outputs that hold from now on, however the command ends. Empty ones are not known.
    pub fn know(&self, outputs: impl IntoIterator<Item = (&'static str, String)>) {
        let known = outputs.into_iter().filter(|(_, value)| !value.is_empty());
        self.state().known.extend(known);
    }

    /// The outputs that are known.
    pub fn known(&self) -> BTreeMap<&'static str, String> {
        self.state().known.clone()
    }

    /// Whether there were outputs and a summary already.
    pub fn published(&self) -> bool {
        self.state().published
    }

    /// Appends to the step's outputs and to the job summary.
    ///
    /// # Errors
    /// A file that Actions named can not be written.
    pub fn publish(&self, outputs: &[(&str, &str)], summary: &str) -> Result<()> {
        let append = |path: &PathBuf, text: &str| -> Result<()> {
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
            Ok(file.write_all(text.as_bytes())?)
        };
        let trouble = {
            let mut state = self.state();
            state.published = true;
            std::mem::take(&mut state.trouble)
        };
        if let Some(path) = &self.output {
            // A line break would let a value forge a further output.
            let line = |(name, value): &(&str, &str)| {
                format!("{name}={}\n", value.replace(['\r', '\n'], " "))
            };
            let text: String = outputs.iter().map(line).collect();
            append(path, &text).with_context(|| format!("GITHUB_OUTPUT {}", path.display()))?;
        }
        if let Some(path) = &self.summary {
            let mut text = summary.to_owned();
            if !trouble.is_empty() {
                let fenced = fenced("text", &trouble.join("\n"));
                text.push_str(&format!("\nTasks that failed:\n\n{fenced}\n"));
            }
            // A step has one summary, also for several commands.
            let before = std::fs::metadata(path).map_or(0, |file| file.len());
            let room = SUMMARY.saturating_sub(usize::try_from(before).unwrap_or(SUMMARY));
            append(path, &limited(hide(&text), room))
                .with_context(|| format!("GITHUB_STEP_SUMMARY {}", path.display()))?;
        }
        Ok(())
    }
}

/// A summary of so many bytes at most. That it was cut is said, outside of the block that is cut.
fn limited(text: String, room: usize) -> String {
    if text.len() <= room {
        return text;
    }
    let ticks = |line: &str| line.len() - line.trim_start_matches('`').len();
    let longest = text.lines().map(ticks).max().unwrap_or(0);
    let mut end = room.saturating_sub(CUT.len() + longest + 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let open = text[..end].lines().fold(0, |open, line| match (open, ticks(line)) {
        (0, found @ 3..) => found,
        (open, found) if open > 0 && found == open && found == line.len() => 0,
        (open, _) => open,
    });
    let cut = format!("{}\n{}{CUT}", &text[..end], "`".repeat(open));
    if cut.len() <= room { cut } else { String::new() }
}

/// A block of Markdown that its own text can not end, without what commands a terminal.
pub fn fenced(language: &str, text: &str) -> String {
    let lines: Vec<_> = text.lines().map(sanitise).collect();
    let longest = lines.iter().map(|line| ticks(line)).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}", lines.join("\n"))
}

/// The longest row of backticks.
fn ticks(line: &str) -> usize {
    line.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// A result of ours in which Actions finds no command. JSON stays the same value.
pub fn harmless(text: &str, json: bool) -> String {
    // Actions takes `##[…]` anywhere in a line, `::…::` where a line begins.
    if json {
        return text.replace("##[", "#\\u0023[");
    }
    let line = |line: &str| {
        let (blank, rest) = line.split_at(line.len() - line.trim_start().len());
        let rest = rest.replace("##[", "# #[");
        let colon = if rest.starts_with("::") { ": " } else { "" };
        format!("{blank}{colon}{}\n", &rest[usize::from(!colon.is_empty())..])
    };
    text.lines().map(line).collect()
}

/// A text as the data of an annotation, without what commands a terminal.
fn data(text: &str) -> String {
    escape(&text.lines().map(sanitise).collect::<Vec<_>>().join("\n"))
}

/// Escapes the data of a workflow command.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a workflow command.
fn property(text: &str) -> String {
    escape(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn github(output: Option<PathBuf>, summary: Option<PathBuf>) -> Github {
        Github { output, summary, workspace: Some("/checkout".into()), state: Mutex::default() }
    }

    #[test]
    fn outputs_are_appended_and_can_not_be_forged() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("output");
        std::fs::write(&output, "before=1\n").unwrap();
        let github = github(Some(output.clone()), None);
        github.publish(&[("digest", "sha256:1\nimage=evil")], "").unwrap();
        let text = std::fs::read_to_string(output).unwrap();
        assert_eq!(text, "before=1\ndigest=sha256:1 image=evil\n");
    }

    #[test]
    fn annotations_stay_one_line() {
        let github = github(None, None);
        assert_eq!(
            github.error("a: b, c", "a\n::set-output", Some("x"), None),
            "::error title=a%3A b%2C c::a%0A: :set-output%0A%0Ahint: x"
        );
        let at = |file: &str| {
            github.error("t", "a%0A", None, Some(&Place { file: file.into(), line: 6 }))
        };
        assert_eq!(
            at("/checkout/a,b/Dockerfile"),
            "::error title=t,file=a%2Cb/Dockerfile,line=6::a%250A"
        );
        assert_eq!(at("/elsewhere/x"), "::error title=t,file=/elsewhere/x,line=6::a%250A");
        let warning = github.warning("50%\r\n\u{1b}[31m::error::x", Some("y"));
        assert_eq!(warning, "::warning::50%25%0A: :error::x%0Ahint: y");
    }

    #[test]
    fn groups_do_not_nest_and_are_closed_once() {
        let github = github(None, None);
        assert_eq!(github.end_group(), None);
        assert_eq!(github.group("a"), ["::group::a"]);
        assert_eq!(github.group("b"), ["::endgroup::", "::group::b"]);
        assert_eq!(github.end_group().as_deref(), Some("::endgroup::"));
        assert_eq!(github.end_group(), None);
    }

    #[test]
    fn the_summary_ends_with_what_failed_tasks_said() {
        let dir = tempfile::tempdir().unwrap();
        let summary = dir.path().join("summary");
        let github = github(None, Some(summary.clone()));
        github.trouble("task 1 failed: exited with 1".into());
        github.trouble("| ``` ::error:: redis://app:hunter2@cache".into());
        assert!(!github.published());
        github.publish(&[], "### verdict\n").unwrap();
        assert!(github.published());
        let text = std::fs::read_to_string(summary).unwrap();
        let block =
            "````text\ntask 1 failed: exited with 1\n| ``` ::error:: redis://app:***@cache\n````\n";
        assert_eq!(text, format!("### verdict\n\nTasks that failed:\n\n{block}"));
    }

    #[test]
    fn a_summary_has_no_more_bytes_than_actions_takes() {
        let dir = tempfile::tempdir().unwrap();
        let summary = dir.path().join("summary");
        let github = github(None, Some(summary.clone()));
        github.publish(&[], "### first\n").unwrap();
        for _ in 0..TROUBLE {
            github.trouble(format!("``` {}", "ä€".repeat(4000)));
        }
        github.publish(&[], "### second\n").unwrap();
        let text = std::fs::read_to_string(&summary).unwrap();
        assert!(text.len() <= SUMMARY && text.len() > SUMMARY - 100, "{}", text.len());
        assert!(text.starts_with("### first\n### second\n\nTasks that failed:\n\n````text\n"));
        assert!(text.ends_with(&format!("\n````{CUT}")), "the block ends before what is said");
        github.publish(&[], "### third\n").unwrap();
        assert!(std::fs::metadata(&summary).unwrap().len() <= 1024 * 1024);
    }

    #[test]
    fn a_summary_is_cut_between_characters_and_outside_of_a_block_that_ended() {
        for room in 0..200 {
            let text = format!("a\n```text\nb\n```\n{}", "€".repeat(100));
            let cut = limited(text, room);
            assert!(cut.len() <= room, "{room}");
            assert!(cut.is_empty() || cut.ends_with(CUT), "{room}");
            assert!(room < 100 || !cut.contains(&format!("```{CUT}")), "{room}: {cut}");
        }
        assert_eq!(limited("€".into(), 3), "€");
    }

    #[test]
    fn a_result_gives_no_commands() {
        let text = "a ##[error]x\n  ::error::y\n::z\n";
        assert_eq!(harmless(text, false), "a # #[error]x\n  : :error::y\n: :z\n");
        let json = r###"{"a":"##[error]x"}"###;
        let same: serde_json::Value = serde_json::from_str(&harmless(json, true)).unwrap();
        assert_eq!(same["a"], "##[error]x");
        assert!(!harmless(json, true).contains("##["));
    }
}
