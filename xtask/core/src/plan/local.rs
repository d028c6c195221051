//! What it takes to bring the local stand-in for AWS up, as data.

use std::fmt;
use std::path::PathBuf;

use super::argv::Argv;

/// What is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The emulator's pinned version is installed.
    pub installed: bool,
    /// An emulator of ours runs, and is set up as configured.
    pub emulator: Running,
    /// A base image is in the local image store, or none is configured.
    pub base_image: bool,
}

/// Whether a process of ours runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// It does not.
    No,
    /// It does, and is set up otherwise.
    Outdated,
    /// It does.
    Yes,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The emulator's version.
    pub version: String,
    /// Where it answers.
    pub url: String,
    /// The folder of its virtual environment.
    pub venv: PathBuf,
    /// The base image: official name, name of the one that is made, command that makes it.
    pub base_image: Option<(String, String, Argv)>,
    /// The stack and its template.
    pub stack: Option<(String, String)>,
    /// The output of the stack that names the secret, and the secret's keys.
    pub secret: Option<(String, Vec<String>)>,
    /// Companions: name, command.
    pub companions: Vec<(String, Argv)>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Install the emulator.
    Install {
        /// Its version.
        version: String,
        /// Where to.
        venv: PathBuf,
    },
    /// Start it, after ending the one that is set up otherwise.
    Start {
        /// Its version.
        version: String,
        /// Where it answers.
        url: String,
        /// Whether one has to be ended first.
        restart: bool,
    },
    /// Get a base image into the local image store.
    BaseImage {
        /// The one to pull.
        official: String,
        /// The one to make, where that can not be reached.
        made: String,
        /// What makes it.
        make: Argv,
    },
    /// Create or update the stack.
    Stack {
        /// Its name.
        name: String,
        /// Its template.
        template: String,
    },
    /// Fill the secret's empty keys with made-up values.
    Secret {
        /// The output that names it.
        output: String,
        /// Its keys.
        keys: Vec<String>,
    },
    /// See that a companion runs.
    Companion {
        /// Its name.
        name: String,
        /// Its command.
        argv: Argv,
    },
}

/// Steps of one track follow each other; tracks before [`Track::Then`] go side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    /// The emulator.
    Emulator,
    /// The base image.
    Image,
    /// What needs a running emulator.
    Then,
}

impl Step {
    /// Its track.
    pub fn track(&self) -> Track {
        match self {
            Self::Install { .. } | Self::Start { .. } => Track::Emulator,
            Self::BaseImage { .. } => Track::Image,
            Self::Stack { .. } | Self::Secret { .. } | Self::Companion { .. } => Track::Then,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Install { version, venv } => {
                write!(f, "install MiniStack {version} into {}", venv.display())
            }
            Self::Start { version, url, restart } => {
                let again =
                    if *restart { "end MiniStack, which is set up otherwise, and " } else { "" };
                write!(f, "{again}start MiniStack {version} at {url}")
            }
            Self::BaseImage { official, made, make } => {
                write!(f, "pull {official}; if that can not be reached, make {made}: {make}")
            }
            Self::Stack { name, template } => {
                write!(f, "bring the stack {name} to what {template} wants")
            }
            Self::Secret { output, keys } => {
                write!(f, "fill what is empty in the secret {output}: {}", keys.join(", "))
            }
            Self::Companion { name, argv } => write!(f, "run {name}: {argv}"),
        }
    }
}

/// The steps that bring it up.
pub fn up(facts: &Facts, wanted: &Wanted) -> Vec<Step> {
    let mut steps = Vec::new();
    let version = &wanted.version;
    if !facts.installed {
        steps.push(Step::Install { version: version.clone(), venv: wanted.venv.clone() });
    }
    // One that runs from an installation that is gone can not be trusted to go on.
    if facts.emulator != Running::Yes || !facts.installed {
        steps.push(Step::Start {
            version: version.clone(),
            url: wanted.url.clone(),
            restart: facts.emulator != Running::No,
        });
    }
    if let (false, Some((official, made, make))) = (facts.base_image, &wanted.base_image) {
        steps.push(Step::BaseImage {
            official: official.clone(),
            made: made.clone(),
            make: make.clone(),
        });
    }
    if let Some((name, template)) = &wanted.stack {
        steps.push(Step::Stack { name: name.clone(), template: template.clone() });
        if let Some((output, keys)) = &wanted.secret {
            steps.push(Step::Secret { output: output.clone(), keys: keys.clone() });
        }
    }
    steps.extend(
        wanted
            .companions
            .iter()
            .map(|(name, argv)| Step::Companion { name: name.clone(), argv: argv.clone() }),
    );
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            version: "1.2".into(),
            url: "http://127.0.0.1:1".into(),
            venv: "v".into(),
            base_image: Some(("o".into(), "m".into(), Argv::new("make").arg("m"))),
            stack: Some(("s".into(), "t".into())),
            secret: Some(("SecretArn".into(), vec!["A".into()])),
            companions: vec![("c".into(), Argv::new("c"))],
        }
    }

    fn texts(facts: &Facts) -> Vec<String> {
        up(facts, &wanted()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_bare_machine_gets_everything() {
        let facts = Facts { installed: false, emulator: Running::No, base_image: false };
        assert_eq!(
            texts(&facts),
            [
                "install MiniStack 1.2 into v",
                "start MiniStack 1.2 at http://127.0.0.1:1",
                "pull o; if that can not be reached, make m: make m",
                "bring the stack s to what t wants",
                "fill what is empty in the secret SecretArn: A",
                "run c: c",
            ]
        );
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let facts = Facts { installed: true, emulator: Running::Yes, base_image: true };
        let tracks: Vec<_> = up(&facts, &wanted()).iter().map(Step::track).collect();
        assert_eq!(tracks, [Track::Then; 3]);
    }

    #[test]
    fn an_emulator_that_is_set_up_otherwise_is_started_anew() {
        let facts = Facts { installed: true, emulator: Running::Outdated, base_image: true };
        assert!(texts(&facts)[0].starts_with("end MiniStack"));
        let facts = Facts { installed: false, emulator: Running::Yes, base_image: true };
        assert!(texts(&facts)[1].starts_with("end MiniStack"));
    }
}
