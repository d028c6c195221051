//! Which input of a step changed since an earlier build.
//!
//! Nothing is concluded here that was not compared: where a part of a step's inputs is not known of
//! both builds, the result says so.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::{
    cause::Cause,
    event::StepRef,
    lineage::Lineage,
    report::{BuildReport, FirstRun},
    text::{count, sanitise},
};
use crate::fingerprint::{
    chain::{Dockerfile, Place},
    sources::Sources,
    taken::Taken,
};

/// So many changes are listed at most.
const MOST: usize = 20;
/// And so many are shown in a line.
const SHOWN: usize = 2;

/// What a comparison with an earlier build came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Compared {
    /// What the step is made from, directly or not, and what is not as it was in the last build
    /// of its kind that was built to its end: the first twenty.
    pub changed: Vec<Change>,
    /// How many there are.
    pub changes: usize,
    /// What could not be compared.
    pub not_compared: Vec<NotCompared>,
}

/// An input that changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "input", rename_all = "kebab-case")]
pub enum Change {
    /// A file or folder of the build context: what is in it, or its permissions.
    File {
        /// Its path in the context.
        path: String,
        /// In what way.
        how: How,
    },
    /// A build argument that the step sees.
    Argument {
        /// Its name.
        name: String,
    },
    /// The step in the Dockerfile, or what comes before it: the first line that differs.
    Dockerfile {
        /// The file.
        file: String,
        /// The line.
        line: usize,
    },
    /// The name of the base image stands for another image, or it is another name.
    BaseImage {
        /// Its name.
        name: String,
    },
}

/// In what way a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// It is another.
    Changed,
    /// It was not there.
    New,
    /// It is not there any more.
    Gone,
}

/// What could not be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum NotCompared {
    /// Anything: no earlier build of this kind is known.
    NoEarlierBuild,
    /// The files: they are known only of builds that push, and not of every instruction.
    Files,
    /// The Dockerfile: its steps are not those that BuildKit took.
    Dockerfile,
    /// What comes from a named context or an address.
    Elsewhere,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, how: How::Changed } => write!(f, "{path} changed"),
            Self::File { path, how: How::New } => write!(f, "{path} is new"),
            Self::File { path, how: How::Gone } => write!(f, "{path} is gone"),
            Self::Argument { name } => write!(f, "build argument {name} changed"),
            Self::Dockerfile { file, line } => write!(f, "{file}:{line} changed"),
            Self::BaseImage { name } => write!(f, "base image {name} changed"),
        }
    }
}

impl FirstRun {
    /// Why it was run, in a few words.
    pub fn because(&self) -> String {
        let Compared { changed, changes, not_compared } = &self.compared;
        if !changed.is_empty() {
            let shown: Vec<_> = changed.iter().take(SHOWN).map(ToString::to_string).collect();
            let more = changes - shown.len();
            let more = if more > 0 {
                format!(" and {}", count(more, "more change"))
            } else {
                String::new()
            };
            return shown.join(", ") + &more;
        }
        if !self.looked {
            return self.cause.to_string();
        }
        let open = match (&self.cause, not_compared.first()) {
            (Cause::NoCache, _) => "",
            (_, None) => return "nothing changed, but no cache has its result".to_owned(),
            (_, Some(NotCompared::NoEarlierBuild)) => "; no earlier build to compare with",
            (_, Some(NotCompared::Files)) => ", which were not compared",
            (_, Some(NotCompared::Dockerfile | NotCompared::Elsewhere)) => {
                "; not all of it could be compared"
            }
        };
        format!("{}{open}", self.cause)
    }
}

impl BuildReport {
    /// Says of the first step of each stage that was run which input changed.
    pub fn compare(&mut self, before: Option<&Sources>, now: &Sources, no_cache: bool) {
        let firsts = self.stages.iter_mut().filter_map(|stage| stage.first_run.as_mut());
        for first in firsts.filter(|first| !matches!(first.cause, Cause::StepRan { .. })) {
            let Some(lineage) = &first.lineage else { continue };
            first.looked = true;
            if no_cache {
                first.cause = Cause::NoCache;
                continue;
            }
            first.compared = match before {
                Some(before) => compared(lineage, before, now),
                None => Compared {
                    not_compared: vec![NotCompared::NoEarlierBuild],
                    ..Compared::default()
                },
            };
        }
    }
}

fn compared(lineage: &Lineage, before: &Sources, now: &Sources) -> Compared {
    let mut changed = Vec::new();
    let mut not_compared = Vec::new();
    match files(lineage, before, now) {
        Some(files) => changed.extend(files),
        None => not_compared.push(NotCompared::Files),
    }
    match instructions(lineage, before, now) {
        Some(instructions) => changed.extend(instructions),
        None => not_compared.push(NotCompared::Dockerfile),
    }
    let bases = lineage.bases.iter().filter(|(name, digest)| {
        before.bases.get(*name) != Some(digest) && !before.bases.values().any(|was| was == *digest)
    });
    changed.extend(bases.map(|(name, _)| Change::BaseImage { name: name.clone() }));
    if lineage.elsewhere {
        not_compared.push(NotCompared::Elsewhere);
    }
    let changes = changed.len();
    changed.truncate(MOST);
    Compared { changed, changes, not_compared }
}

/// The files that differ, of those that the step takes or builds on. `None` where not all of them
/// can be compared.
fn files(lineage: &Lineage, before: &Sources, now: &Sources) -> Option<Vec<Change>> {
    if lineage.readers.is_empty() {
        return Some(Vec::new());
    }
    let (before, now) = (before.files.as_ref()?, now.files.as_ref()?);
    let taken: Vec<Taken> =
        lineage.readers.iter().map(|step| Taken::by(&step.instruction)).collect::<Option<_>>()?;
    let is_taken = |path: &&String| taken.iter().any(|taken| taken.has(path));
    let file = |path: &String, how| Change::File { path: sanitise(path), how };
    let here = now.iter().filter_map(|(path, hash)| match before.get(path) {
        None => Some((path, How::New)),
        Some(was) if was != hash => Some((path, How::Changed)),
        Some(_) => None,
    });
    let gone = before.keys().filter(|path| !now.contains_key(*path)).map(|path| (path, How::Gone));
    let differ = here.chain(gone).filter(|(path, _)| is_taken(path));
    Some(differ.map(|(path, how)| file(path, how)).collect())
}

/// Build arguments and lines of the Dockerfile that differ. `None` when a step is not found there.
fn instructions(lineage: &Lineage, before: &Sources, now: &Sources) -> Option<Vec<Change>> {
    let (then, read) = (Dockerfile::parse(&before.text), Dockerfile::parse(&now.text));
    let given: BTreeMap<String, String> =
        before.args.iter().chain(&now.args).map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut arguments = Vec::new();
    let mut lines = Vec::new();
    for (at, step) in lineage.steps.iter().enumerate() {
        // The last of a stage has the others before it.
        let of_stage = |other: &&StepRef| other.stage == step.stage;
        if lineage.steps.iter().filter(of_stage).any(|other| other.index > step.index) {
            continue;
        }
        let alone = at == 0
            && step.instruction.contains(" --link")
            && lineage.steps.iter().filter(of_stage).count() == 1;
        let place = Place { stage: &step.stage, index: step.index, total: step.total, alone };
        let differ = |name: &String| before.args.get(name) != now.args.get(name);
        arguments.extend(read.arguments(place)?.into_iter().filter(differ));
        lines.extend(read.difference(&then, place, &given)?);
    }
    arguments.sort();
    arguments.dedup();
    lines.sort_unstable();
    lines.dedup();
    let arguments = arguments.into_iter().map(|name| Change::Argument { name: sanitise(&name) });
    let file = sanitise(&now.dockerfile);
    let lines = lines.into_iter().map(|line| Change::Dockerfile { file: file.clone(), line });
    Some(arguments.chain(lines).collect())
}
