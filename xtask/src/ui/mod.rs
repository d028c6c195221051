//! Everything that is printed: the only module that does.
//!
//! Standard output carries the result, standard error what happens on the way there.
//! Colour, verbosity and the form of both are decided once, in [`Ui::new`].

mod build;
pub mod document;
mod github;
mod style;
mod table;
mod usage;

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use serde::Serialize;

use crate::cli::build::Progress;
use crate::cli::{Color, Format, Global};
use document::{DryRun, ErrorReport};
pub use github::fenced;
use style::Style;
pub use style::{human_bytes, human_seconds};
pub use table::table;
pub use usage::usage;
use xtask_core::event::Event;
use xtask_core::exit::{Exit, Failure, exit_of, hint_of, place_of};
use xtask_core::plan::changes::ServiceChanges;
use xtask_core::plan::deploy::{Plan, Step};
use xtask_core::plan::secret::{hide, hide_in};
use xtask_core::progress::{BuildState, sanitise};

/// The front of the tool.
pub struct Ui {
    format: Format,
    verbose: u8,
    style: Style,
    interactive: bool,
    github: Option<github::Github>,
    build: Mutex<build::BuildView>,
    /// Whether the one JSON object was printed.
    reported: AtomicBool,
    /// Every line, for tests of what is said.
    #[cfg(test)]
    heard: Mutex<Vec<String>>,
}

impl Ui {
    /// Decides from the options and the terminal how things are shown.
    pub fn new(global: &Global) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let colour = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none(),
        };
        Self {
            format: global.format,
            verbose: global.verbose,
            style: Style::new(colour),
            interactive: terminal && std::io::stdin().is_terminal(),
            github: github::Github::detect(),
            build: Mutex::new(build::BuildView::new(terminal)),
            reported: AtomicBool::new(false),
            #[cfg(test)]
            heard: Mutex::default(),
        }
    }

    /// One that shows nothing of itself: without colour, terminal or Actions.
    #[cfg(test)]
    pub fn silent() -> Self {
        Self {
            format: Format::Text,
            verbose: 0,
            style: Style::new(false),
            interactive: false,
            github: None,
            build: Mutex::new(build::BuildView::new(false)),
            reported: AtomicBool::new(false),
            heard: Mutex::default(),
        }
    }

    /// The lines that went to standard error, without what surrounds them.
    #[cfg(test)]
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|line| line.trim().to_owned()).collect()
    }

    /// Chooses how a build's progress is shown.
    pub fn progress(&self, progress: Progress) {
        self.view().choose(progress);
    }

    /// Shows an event.
    pub fn emit(&self, event: &Event) {
        let s = &self.style;
        match event {
            Event::StepStarted { number, of, step } => {
                let (number, step) = (format!("[{number}/{of}]"), sanitise(step));
                match &self.github {
                    Some(github) => {
                        let lines = github.group(&format!("{number} {step}"));
                        lines.iter().for_each(|line| self.line(line));
                    }
                    None => self.line(&format!("{} {step}", s.dim(&number))),
                }
            }
            Event::StepFinished { seconds, detail, .. } => {
                // What came of it is not folded away with how.
                self.end_group();
                let took = s.dim(&human_seconds(*seconds));
                match detail {
                    Some(detail) => self.line(&format!("      {} {took}", sanitise(detail))),
                    None => self.line(&format!("      done {took}")),
                }
            }
            Event::Build(event) => {
                let lines = self.view().event(event, s);
                lines.iter().for_each(|line| self.line(line));
            }
            Event::Rollout { service, event } => {
                if let (Some(github), Some(_)) = (&self.github, event.wants_log_of()) {
                    github.trouble(format!("{service}: {event}"));
                }
                self.line(&format!("      {} {}", s.dim(service), sanitise(&event.to_string())));
            }
            Event::TaskLog { task, container, lines } => {
                self.line(&format!(
                    "      {}",
                    s.dim(&format!("log of {container} in task {task}, its end:"))
                ));
                for line in lines {
                    self.line(&format!("      {} {}", s.dim("|"), sanitise(line)));
                    if let Some(github) = &self.github {
                        github.trouble(format!("  | {line}"));
                    }
                }
            }
            Event::ContainerLog { line } => {
                self.line(&format!("      {} {}", s.dim("|"), sanitise(line)));
            }
            Event::Note { text } => self.line(&format!("      {}", sanitise(text))),
            Event::Detail { text } if self.verbose > 0 => {
                self.line(&s.dim(&format!("      {}", sanitise(text))));
            }
            Event::Detail { .. } => {}
            Event::Warning { text, hint } => {
                if let Some(github) = &self.github {
                    // Actions shows it among the lines, too.
                    return self.line(&github.warning(text, hint.as_deref()));
                }
                self.line(&format!("{} {}", s.yellow("warning:"), sanitise(text)));
                if let Some(hint) = hint {
                    self.line(&format!("  {} {}", s.bold("hint:"), sanitise(hint)));
                }
            }
        }
    }

    /// Prints a command's result: text for people, or the same as one JSON object.
    ///
    /// # Errors
    /// Standard output can not be written.
    pub fn result<T: Serialize>(&self, report: &T, text: impl FnOnce() -> String) -> Result<()> {
        let mut out = match self.format {
            Format::Json => {
                let mut json = serde_json::to_value(report)?;
                hide_in(&mut json);
                serde_json::to_string_pretty(&json)?
            }
            Format::Text => hide(&text()),
        };
        if self.github.is_some() {
            self.end_group();
            out = github::harmless(&out, self.format == Format::Json);
        }
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        self.reported.store(true, Ordering::Relaxed);
        self.raw(out.as_bytes())
    }

    /// Prints one record of a result that has no end: text, or JSON on one line. Returns whether
    /// somebody still reads.
    ///
    /// # Errors
    /// Standard output can not be written.
    pub fn record<T: Serialize>(&self, record: &T, text: impl FnOnce() -> String) -> Result<bool> {
        let line = match self.format {
            Format::Json => {
                let mut json = serde_json::to_value(record)?;
                hide_in(&mut json);
                json.to_string()
            }
            Format::Text => sanitise(&hide(&text())),
        };
        self.reported.store(true, Ordering::Relaxed);
        written(writeln!(std::io::stdout().lock(), "{line}"))
    }

    /// Hands outputs and a summary to GitHub Actions, where it runs there.
    ///
    /// # Errors
    /// The files that Actions named can not be written.
    pub fn github(&self, outputs: &[(&str, &str)], summary: &str) -> Result<()> {
        self.github.as_ref().map_or(Ok(()), |github| github.publish(outputs, summary))
    }

    /// Notes what GitHub Actions is told at the end, however the command ends: also when it is
    /// interrupted.
    pub fn known(&self, outputs: impl IntoIterator<Item = (&'static str, String)>) {
        if let Some(github) = &self.github {
            github.know(outputs);
        }
    }

    /// Prints bytes as they are: a completion script.
    ///
    /// # Errors
    /// Standard output can not be written.
    pub fn raw(&self, bytes: &[u8]) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        written(stdout.write_all(bytes).and_then(|()| stdout.flush())).map(|_| ())
    }

    /// Shows a plan that is not going to be applied: the very values that would be.
    ///
    /// # Errors
    /// Standard output can not be written.
    pub fn dry_run(&self, plan: &Plan) -> Result<Exit> {
        self.dry_run_of(plan, Vec::new())
    }

    /// As [`Self::dry_run`], with what the plan's updates would change.
    ///
    /// # Errors
    /// Standard output can not be written.
    pub fn dry_run_of(&self, plan: &Plan, services: Vec<ServiceChanges>) -> Result<Exit> {
        let steps: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        let report = DryRun { dry_run: true, steps, services };
        self.result(&report, || {
            let mut text = String::new();
            for (index, (step, shown)) in plan.steps.iter().zip(&report.steps).enumerate() {
                // What a repository says of itself must not give commands to a terminal or to
                // Actions.
                text.push_str(&format!("{}. {}\n", index + 1, sanitise(shown)));
                let Step::Update(update) = step else { continue };
                let mut of = report.services.iter();
                if let Some(changes) = of.find(|changes| changes.name == update.service) {
                    for line in changes.lines() {
                        text.push_str(&format!("   {}\n", sanitise(&line)));
                    }
                }
            }
            text
        })?;
        Ok(Exit::Success)
    }

    /// Draws the live view of a build, where there is one.
    pub fn frame(&self, state: &BuildState) {
        let mut stderr = std::io::stderr().lock();
        // What can not be drawn is not worth stopping a build for.
        let _ = self.view().draw(state, &mut stderr);
    }

    /// Asks before something is changed.
    ///
    /// # Errors
    /// [`Exit::Usage`] where nobody can be asked, or the answer is no.
    pub async fn confirm(&self, question: &str) -> Result<()> {
        if !self.interactive {
            return Err(Failure::new(Exit::Usage, format!("{question} Nobody can be asked here"))
                .hint("add `--yes` to go on, or `--dry-run` to look")
                .into());
        }
        let mut stderr = std::io::stderr();
        write!(stderr, "{question} [y/N] ")?;
        stderr.flush()?;
        // Beside the runtime, which has to hear of Ctrl-C meanwhile.
        let answer = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer).map(|_| answer)
        });
        if matches!(answer.await??.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(Failure::new(Exit::Usage, "not confirmed, so nothing was changed").into())
    }

    /// Shows how a command failed, and returns its exit code.
    pub fn failed(&self, error: &anyhow::Error) -> Exit {
        let exit = exit_of(error);
        let (text, hint) = (hide(&format!("{error:#}")), hint_of(error));
        match &self.github {
            Some(github) => self.failed_job(github, error, &text, hint),
            None => {
                let text: Vec<_> = text.lines().map(sanitise).collect();
                self.line(&format!("{} {}", self.style.red("error:"), text.join("\n")));
                if let Some(hint) = hint {
                    self.line("");
                    self.line(&format!("{} {}", self.style.bold("hint:"), sanitise(hint)));
                }
            }
        }
        if self.format == Format::Json && !self.reported.load(Ordering::Relaxed) {
            // The exit code says it, too, where standard output is gone.
            let _ = self.result(&ErrorReport::from(error), String::new);
        }
        exit
    }

    /// An annotation in place of the error's lines, and outputs and a summary also where the
    /// command came to none.
    fn failed_job(
        &self,
        github: &github::Github,
        error: &anyhow::Error,
        text: &str,
        hint: Option<&str>,
    ) {
        let exit = exit_of(error);
        // Else the error would be folded away with the step that failed.
        self.end_group();
        self.line(&github.error(exit.meaning(), text, hint, place_of(error)));
        if github.published() {
            return;
        }
        let hint = hint.map_or(String::new(), |hint| format!("\n**Hint:** {}\n", sanitise(hint)));
        let known = github.known();
        let facts: String =
            known.iter().map(|(name, value)| format!("\n{name} `{}`\n", sanitise(value))).collect();
        let summary = format!("### {}\n\n{}\n{hint}{facts}", exit.word(), fenced("text", text));
        let mut outputs: Vec<_> =
            known.iter().map(|(name, value)| (*name, value.as_str())).collect();
        outputs.push(("verdict", exit.word()));
        if let Err(error) = github.publish(&outputs, &summary) {
            self.line(&github.warning(&format!("Actions was not told: {error:#}"), None));
        }
    }

    fn end_group(&self) {
        let end = self.github.as_ref().and_then(github::Github::end_group);
        end.iter().for_each(|line| self.line(line));
    }

    /// Writes one line to standard error. What can not be written is lost: there is
    /// nowhere left to say so.
    fn line(&self, line: &str) {
        #[cfg(test)]
        self.heard.lock().unwrap().push(line.to_owned());
        // A secret that gives itself away in an error, an event or a log of somebody else.
        let line = hide(line);
        let mut stderr = std::io::stderr().lock();
        let _ = self.view().hide(&mut stderr);
        let _ = writeln!(stderr, "{line}");
    }

    fn view(&self) -> std::sync::MutexGuard<'_, build::BuildView> {
        self.build.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what was written to standard output found a reader. Whoever reads it may have seen
/// enough, which is no error: how the command ends is another matter.
fn written(result: std::io::Result<()>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            let text = format!("standard output can not be written: {error}");
            Err(Failure::new(Exit::Unexpected, text)
                .hint("what was done is done: only what there is to say of it is lost")
                .into())
        }
    }
}
