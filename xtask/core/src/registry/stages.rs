//! Which stage of a Dockerfile made a record of the builder's cache.
//!
//! BuildKit describes a record by the step that made it: a `COPY` by the step's name, stage
//! included (`[runtime 2/7] COPY …`), a `RUN` by nothing but what it ran (`mount / from exec
//! /bin/sh -c …`). Both are looked for among the steps of the Dockerfile as it is now, so that a
//! step of another project, or of last week's Dockerfile, is not taken for one of its stages.

use super::glob::Glob;
use crate::fingerprint::instructions::{Instruction, heredocs, instructions, squeeze, stage_name};
use crate::progress::VertexKind;

/// The shell that runs a `RUN` where the Dockerfile names no other.
const SHELL: &str = "/bin/sh -c";

/// The steps of a Dockerfile, by stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stages {
    names: Vec<String>,
    shells: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    stage: usize,
    /// The instruction as BuildKit names it; what it puts in for a variable is any text.
    instruction: Glob,
    /// What a `RUN` runs.
    ran: Option<String>,
}

impl Stages {
    /// Reads a Dockerfile. What is none has no stages: a build will say what is wrong with it.
    #[must_use]
    pub fn parse(dockerfile: &str) -> Self {
        let mut stages = Self { shells: vec![SHELL.to_owned()], ..Self::default() };
        for instruction in instructions(dockerfile) {
            let (keyword, rest) = instruction.parts();
            let Instruction { bodies, .. } = &instruction;
            match keyword.as_str() {
                "FROM" => stages.names.push(stage_name(rest, stages.names.len())),
                "SHELL" => stages.shells.extend(exec_form(rest)),
                _ if stages.names.is_empty() => {}
                keyword => {
                    let ran = (keyword == "RUN").then(|| ran(without_flags(rest), bodies));
                    let instruction = named(&format!("{keyword} {rest}"));
                    stages.steps.push(Step { stage: stages.names.len() - 1, instruction, ran });
                }
            }
        }
        stages
    }

    /// The stages' names in the order of the Dockerfile.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The place of the stage that made a record with this description. `None` when no step is
    /// described so, or steps of several stages are.
    #[must_use]
    pub fn of(&self, description: &str) -> Option<usize> {
        let made: Box<dyn Fn(&Step) -> bool> = match VertexKind::parse(description) {
            VertexKind::Step(name) => Box::new(move |step| {
                self.names[step.stage] == name.stage && step.instruction.matches(&name.instruction)
            }),
            _ => {
                let (_, args) = description.split_once(" from exec ")?;
                let args = squeeze(args);
                let in_a_shell = |ran: &str| {
                    let of = |shell: &String| args.strip_prefix(shell.as_str());
                    self.shells.iter().filter_map(of).any(|rest| rest.trim_start() == ran)
                };
                let ran: Vec<&str> = (self.steps.iter().filter_map(|step| step.ran.as_deref()))
                    .filter(|ran| args == **ran || in_a_shell(ran))
                    .collect();
                Box::new(move |step| step.ran.as_deref().is_some_and(|own| ran.contains(&own)))
            }
        };
        let mut found = self.steps.iter().filter(|step| made(step)).map(|step| step.stage);
        let first = found.next()?;
        found.all(|stage| stage == first).then_some(first)
    }
}

/// What a `RUN` without its flags hands to the shell, or runs by itself.
fn ran(rest: &str, bodies: &[String]) -> String {
    if let Some(args) = exec_form(rest) {
        return args;
    }
    match bodies {
        [] => squeeze(rest),
        // Nothing but a script.
        [body] if rest.split_whitespace().count() == 1 => squeeze(body),
        bodies => {
            let words = heredocs(&format!("RUN {rest}"));
            let text = bodies
                .iter()
                .zip(words)
                .fold(rest.to_owned(), |text, (body, (word, _))| format!("{text}\n{body}\n{word}"));
            squeeze(&text)
        }
    }
}

/// `["a", "b"]` as BuildKit shows it: `a b`.
fn exec_form(rest: &str) -> Option<String> {
    let args: Vec<String> = serde_json::from_str(rest).ok()?;
    Some(squeeze(&args.join(" ")))
}

fn without_flags(mut rest: &str) -> &str {
    while rest.starts_with("--") {
        rest = rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest).trim_start();
    }
    rest
}

/// An instruction as BuildKit names a step after it. Variables that it expands, and quotes around
/// the word of a here-document, which it drops, match any text.
fn named(instruction: &str) -> Glob {
    let name = match VertexKind::parse(&format!("[x 1/1] {instruction}")) {
        VertexKind::Step(name) => name.instruction,
        _ => squeeze(instruction),
    };
    let mut pattern = String::new();
    let mut rest = name.as_str();
    while let Some(at) = rest.find('$') {
        let (before, variable) = rest.split_at(at);
        pattern.push_str(before);
        pattern.push('*');
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        rest = match variable.strip_prefix("${") {
            Some(inside) => inside.split_once('}').map_or("", |(_, rest)| rest),
            None => variable[1..].trim_start_matches(word),
        };
    }
    pattern.push_str(rest);
    Glob::new(
        pattern.replace("<<'", "<<").replace("<<\"", "<<").replace("' ", "*").replace("\" ", "*"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKERFILE: &str = r#"# syntax comment
ARG BASE=python:3.13
FROM --platform=$BUILDPLATFORM ${BASE} AS Base
# a comment
RUN <<'SCRIPT'
set -eu
echo "$HOME" \
    done
SCRIPT
FROM base AS dependencies
COPY --chmod=755 <<'SCRIPT' /usr/local/bin/install
#!/bin/sh
FROM is not an instruction here
SCRIPT
RUN --mount=type=cache,target=/root/.cache \
    # in between
    --mount=type=secret,id=pip-conf \
    install light.txt && \
      install heavy.txt
RUN ["python3", "-m", "compileall"]
FROM base
WORKDIR /srv/${NAME}-$OTHER/x
copy --link --from=dependencies /opt /opt
RUN same
FROM base AS last
SHELL ["/bin/bash", "-eu", "-c"]
RUN same
RUN only here
RUN cat <<EOF > /etc/x
a
EOF
"#;

    fn stage(description: &str) -> Option<&'static str> {
        let stages = Stages::parse(DOCKERFILE);
        assert_eq!(stages.names(), ["base", "dependencies", "stage-2", "last"]);
        let names = ["base", "dependencies", "stage-2", "last"];
        stages.of(description).map(|at| names[at])
    }

    #[test]
    fn steps_are_told_by_what_buildkit_says_of_their_records() {
        for (description, expected) in [
            ("mount / from exec /bin/sh -c set -eu\necho \"$HOME\" \\\n    done\n", "base"),
            ("[dependencies 1/3] COPY --chmod=755 <<SCRIPT /usr/local/bin/install", "dependencies"),
            (
                "mount / from exec /bin/sh -c install light.txt &&       install heavy.txt",
                "dependencies",
            ),
            ("mount / from exec python3 -m compileall", "dependencies"),
            ("[stage-2 1/3] WORKDIR /srv/app-1/x", "stage-2"),
            ("[stage-2 2/3] LINK COPY --link --from=dependencies /opt /opt", "stage-2"),
            ("[linux/arm64 stage-2 2/3] COPY --link --from=dependencies /opt /opt", "stage-2"),
            ("mount / from exec /bin/bash -eu -c only here", "last"),
            ("mount / from exec /bin/bash -eu -c cat <<EOF > /etc/x\na\nEOF", "last"),
        ] {
            assert_eq!(stage(description), Some(expected), "{description}");
        }
    }

    #[test]
    fn what_is_not_of_this_dockerfile_or_of_several_stages_is_of_none() {
        for description in [
            "",
            "pulled from docker.io/library/python:3.13",
            "[base 2/2] COPY other /srv",
            "[dependencies 1/3] COPY --chmod=755 <<SCRIPT /usr/local/bin/other",
            "[other 2/3] COPY --link --from=dependencies /opt /opt",
            "mount / from exec /bin/sh -c install",
            "mount / from exec /bin/sh -c please only here",
            "mount / from exec /bin/sh -c same",
            "mount / from exec /bin/bash -eu -c same",
        ] {
            assert_eq!(stage(description), None, "{description}");
        }
    }

    #[test]
    fn every_text_can_be_read() {
        for text in [
            "",
            "RUN x",
            "FROM",
            "FROM a AS",
            "FROM a\nRUN <<EOF",
            "\\",
            "FROM a\nRUN \\",
            "# escape=`\nFROM a\nRUN b `\n c\nCOPY $",
        ] {
            let _ = Stages::parse(text);
        }
        let windows = Stages::parse("# escape=`\nFROM a\nRUN b `\n c");
        assert_eq!(windows.of("mount / from exec /bin/sh -c b c"), Some(0));
        let single = Stages::parse("FROM a\nCOPY x /y");
        assert_eq!(single.of("[2/2] COPY x /y"), Some(0), "BuildKit leaves out the only stage");
    }
}
