//! What of a Dockerfile decides the result of one of its steps, and where two Dockerfiles differ
//! in that.

use std::collections::{BTreeMap, BTreeSet};

use super::instructions::{Instruction, instructions, squeeze, stage_name};

/// A Dockerfile by stage.
pub struct Dockerfile {
    /// What stands before the first `FROM`.
    globals: Vec<Instruction>,
    stages: Vec<Stage>,
}

struct Stage {
    name: String,
    /// The stage that it starts from.
    parent: Option<usize>,
    /// Steps of the `FROM`: 1 for an image, none for another stage or `scratch`.
    from: usize,
    /// Without the `FROM`.
    items: Vec<Instruction>,
}

/// A step of a stage, as BuildKit counts them: from 1, with the `FROM` of an image.
///
/// Source: github.com/moby/buildkit, `frontend/dockerfile/dockerfile2llb/convert.go`.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The stage.
    pub stage: &'a str,
    /// Which step.
    pub index: usize,
    /// How many the stage has.
    pub total: usize,
    /// Whether what the stage did before does not count: `COPY --link`.
    pub alone: bool,
}

impl Dockerfile {
    /// Reads a Dockerfile. What is none has no steps.
    pub fn parse(text: &str) -> Self {
        let mut read = Self { globals: Vec::new(), stages: Vec::<Stage>::new() };
        for instruction in instructions(text) {
            let (keyword, rest) = instruction.parts();
            if keyword == "FROM" {
                let image = rest.split_whitespace().find(|word| !word.starts_with("--"));
                let image = image.unwrap_or_default().to_ascii_lowercase();
                let parent = read.stages.iter().rposition(|stage| stage.name == image);
                let name = stage_name(rest, read.stages.len());
                let from = usize::from(parent.is_none() && image != "scratch");
                read.stages.push(Stage { name, parent, from, items: Vec::new() });
            } else if let Some(stage) = read.stages.last_mut() {
                stage.items.push(instruction);
            } else {
                read.globals.push(instruction);
            }
        }
        read
    }

    /// The names of the build arguments that a step sees or names. `None` when there is no such step.
    pub fn arguments(&self, place: Place<'_>) -> Option<BTreeSet<String>> {
        let chain = self.chain(place)?;
        let arguments = chain.iter().filter(|item| item.parts().0 == "ARG");
        Some(arguments.flat_map(|item| names(item)).collect())
    }

    /// The first line that a step's result hangs on and that is not as it was `before`.
    /// Defaults of arguments that were given do not count. The outer `None`: there is no such
    /// step in this file.
    pub fn difference(
        &self,
        before: &Self,
        place: Place<'_>,
        given: &BTreeMap<String, String>,
    ) -> Option<Option<usize>> {
        let now = self.chain(place)?;
        let own = *now.last()?;
        let text = |item: &&Instruction| meaning(item, given);
        let Some(then) = before.counterpart(place, own, given) else { return Some(Some(own.line)) };
        if now.iter().map(text).eq(then.iter().map(text)) {
            return Some(None);
        }
        let same = now.iter().zip(&then).take_while(|(now, then)| text(now) == text(then)).count();
        Some(Some(now.get(same).unwrap_or(&own).line))
    }

    /// The chain of the step of the same stage that says the same, the nearest if several do.
    fn counterpart(
        &self,
        place: Place<'_>,
        own: &Instruction,
        given: &BTreeMap<String, String>,
    ) -> Option<Vec<&Instruction>> {
        let stage = &self.stages[self.at(place.stage)?];
        let steps: Vec<_> = stage.steps().collect();
        let same = steps
            .iter()
            .zip(stage.from + 1..)
            .filter(|(step, _)| meaning(step, given) == meaning(own, given));
        let (_, index) = same.min_by_key(|(_, index)| place.index.abs_diff(*index))?;
        self.chain(Place { index, total: stage.from + steps.len(), ..place })
    }

    /// Which stage it is. BuildKit leaves out the name of an only one.
    fn at(&self, name: &str) -> Option<usize> {
        let only = self.stages.len() == 1 && name == "stage-0";
        self.stages.iter().rposition(|stage| only || stage.name == name)
    }

    /// What decides a step's result, in order; the step itself is the last.
    fn chain(&self, place: Place<'_>) -> Option<Vec<&Instruction>> {
        let stage = &self.stages[self.at(place.stage)?];
        if stage.from + stage.steps().count() != place.total {
            return None;
        }
        let own = stage.steps().nth(place.index.checked_sub(stage.from + 1)?)?;
        let until = stage.items.iter().position(|item| item.line == own.line)?;
        let mut chain: Vec<&Instruction> = stage.items[..=until].iter().collect();
        let mut parent = stage.parent;
        while let Some(at) = parent {
            chain.splice(0..0, &self.stages[at].items);
            parent = self.stages[at].parent;
        }
        let last_run = chain.iter().rposition(|item| item.parts().0 == "RUN");
        let counts = |(at, item): (usize, &&Instruction)| match item.parts().0.as_str() {
            "RUN" | "COPY" | "ADD" | "WORKDIR" => !place.alone || item.line == own.line,
            // A command sees all of these, a copy what it names.
            "ARG" | "ENV" | "USER" | "SHELL" => {
                (!place.alone && last_run.is_some_and(|run| at < run)) || is_named(item, own)
            }
            _ => false,
        };
        let mut counted: Vec<_> =
            chain.iter().enumerate().filter(|one| counts(*one)).map(|(_, item)| *item).collect();
        // An argument without a default of its own has that of the file.
        let open =
            counted.iter().filter(|item| item.parts().0 == "ARG" && !item.text.contains('='));
        let open: BTreeSet<String> = open.flat_map(|item| names(item)).collect();
        let of_file =
            self.globals.iter().filter(|item| names(item).iter().any(|n| open.contains(n)));
        counted.splice(0..0, of_file.collect::<Vec<_>>());
        Some(counted)
    }
}

impl Stage {
    fn steps(&self) -> impl Iterator<Item = &Instruction> {
        let step = |item: &&Instruction| {
            matches!(item.parts().0.as_str(), "RUN" | "COPY" | "ADD" | "WORKDIR")
        };
        self.items.iter().filter(step)
    }
}

/// The variables that an `ARG` or `ENV` sets.
fn names(item: &Instruction) -> Vec<String> {
    let (keyword, rest) = item.parts();
    if keyword == "ENV" && !rest.split_whitespace().next().is_some_and(|word| word.contains('=')) {
        // The old form: `ENV NAME value`.
        return rest.split_whitespace().take(1).map(str::to_owned).collect();
    }
    let name = |word: &str| word.split('=').next().unwrap_or_default().to_owned();
    rest.split_whitespace().map(name).collect()
}

/// Whether an instruction other than `RUN` names one of the variables that `item` sets.
fn is_named(item: &Instruction, own: &Instruction) -> bool {
    let named = |name: &String| {
        own.text.contains(&format!("${name}")) || own.text.contains(&format!("${{{name}"))
    };
    matches!(item.parts().0.as_str(), "ARG" | "ENV")
        && own.parts().0 != "RUN"
        && names(item).iter().any(named)
}

/// What an instruction says, without what makes no difference.
fn meaning(item: &Instruction, given: &BTreeMap<String, String>) -> (String, String, Vec<String>) {
    let (keyword, rest) = item.parts();
    let rest = match keyword.as_str() {
        // The shell sees every space.
        "RUN" => rest.to_owned(),
        "ARG" => {
            let word = |word: &str| {
                let name = word.split('=').next().unwrap_or_default();
                if given.contains_key(name) { name } else { word }.to_owned()
            };
            rest.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
        }
        _ => squeeze(rest),
    };
    (keyword, rest, item.bodies.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "\
ARG EPOCH=0
FROM python AS base
ENV A=1
RUN one
FROM base AS app
LABEL x=y
ARG EPOCH
ARG COMMIT=none
ARG DIR=src
RUN two
COPY $DIR /app
COPY --link files /files
ENV B=1
COPY last /last
";

    fn place(index: usize) -> Place<'static> {
        Place { stage: "app", index, total: 4, alone: index == 3 }
    }

    fn difference(place: Place<'_>, change: (&str, &str)) -> Option<Option<usize>> {
        assert!(BEFORE.contains(change.0), "{change:?}");
        let now = Dockerfile::parse(&BEFORE.replacen(change.0, change.1, 1));
        let given = BTreeMap::from([("COMMIT".to_owned(), String::new())]);
        now.difference(&Dockerfile::parse(BEFORE), place, &given)
    }

    #[test]
    fn the_line_that_a_step_hangs_on_is_named() {
        for (index, change, line) in [
            // The step itself, and its environment.
            (1, ("RUN two", "RUN three"), Some(10)),
            (1, ("ENV A=1", "ENV A=2"), Some(3)),
            (1, ("EPOCH=0", "EPOCH=1"), Some(1)),
            (1, ("RUN one", "RUN  one"), None),
            (1, ("RUN one", "RUN one  more"), Some(4)),
            (1, ("RUN one\n", ""), Some(6)),
            (1, ("ARG DIR=src", "ARG DIR=src\nUSER nobody"), Some(10)),
            // What is no input of it.
            (1, ("x=y", "x=z"), None),
            (1, ("COMMIT=none", "COMMIT=other"), None),
            (1, ("COPY last", "COPY other"), None),
            (1, ("COPY $DIR /app", "copy  $DIR   /app"), None),
            (4, ("ENV B=1", "ENV B=2"), None),
            (2, ("DIR=src", "DIR=api"), Some(9)),
            // A linked copy hangs on nothing but itself.
            (3, ("RUN two", "RUN three"), None),
            (3, ("files /files", "files /other"), Some(12)),
        ] {
            assert_eq!(difference(place(index), change), Some(line), "{index} {change:?}");
        }
    }

    #[test]
    fn a_step_that_is_not_there_is_not_guessed() {
        let change = ("RUN two", "RUN two\nRUN three");
        assert_eq!(difference(place(1), change), None, "BuildKit counts other steps");
        let other = Place { stage: "none", ..place(1) };
        assert_eq!(difference(other, ("x=y", "x=z")), None);
        assert_eq!(difference(Place { index: 0, ..place(1) }, ("x=y", "x=z")), None);
        let added = Place { total: 5, index: 2, ..place(1) };
        assert_eq!(difference(added, change), Some(Some(11)));
    }

    #[test]
    fn the_name_of_an_only_stage_does_not_count() {
        let read = |run: &str| Dockerfile::parse(&format!("FROM a AS b\nRUN {run}"));
        let place = Place { stage: "stage-0", index: 2, total: 2, alone: false };
        let found = read("x").difference(&read("y"), place, &BTreeMap::new());
        assert_eq!(found, Some(Some(2)));
    }

    #[test]
    fn a_command_sees_all_arguments_and_a_copy_those_that_it_names() {
        let read = Dockerfile::parse(BEFORE);
        let of = |index| {
            let found = read.arguments(place(index)).unwrap();
            found.into_iter().collect::<Vec<_>>().join(" ")
        };
        let base = Place { stage: "base", index: 2, total: 2, alone: false };
        assert_eq!(read.arguments(base).unwrap().len(), 0);
        let from = Place { index: 1, ..base };
        assert!(read.arguments(from).is_none(), "an image is no step");
        assert_eq!((of(1).as_str(), of(3).as_str()), ("COMMIT DIR EPOCH", ""));
    }
}
