//! Which files of the context a step takes, by its instruction as BuildKit names it.

/// Files and folders of a context, as patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken(Vec<Vec<String>>);

impl Taken {
    /// What a `COPY`, `ADD` or `RUN --mount=type=bind` takes. `None` when that can not be told:
    /// variables that BuildKit did not expand, exclusions, and the rarer patterns.
    ///
    /// Source: <https://docs.docker.com/reference/dockerfile/>.
    pub fn by(instruction: &str) -> Option<Self> {
        let (keyword, rest) = instruction.split_once(' ')?;
        let mut flags = Vec::new();
        let mut rest = rest.trim_start();
        while rest.starts_with("--") {
            let (flag, after) = rest.split_once(' ')?;
            flags.push(flag);
            rest = after.trim_start();
        }
        let sources = match keyword {
            "RUN" => flags.iter().filter_map(|flag| bound(flag)).collect(),
            "COPY" | "ADD" => {
                if flags.iter().any(|flag| flag.starts_with("--exclude")) {
                    return None;
                }
                copied(rest)?
            }
            _ => return None,
        };
        sources.iter().map(|source| pattern(source)).collect::<Option<_>>().map(Self)
    }

    /// Whether a file or folder is among them, or below one of them.
    pub fn has(&self, path: &str) -> bool {
        self.0.iter().any(|pattern| {
            let mut parts = path.split('/');
            pattern.iter().all(|pattern| parts.next().is_some_and(|part| matches(pattern, part)))
        })
    }
}

/// The folder of the context that a `RUN` sees, if this flag is for one.
fn bound(flag: &str) -> Option<String> {
    let options = flag.strip_prefix("--mount=")?;
    let option = |names: &[&str]| {
        let mut pairs = options.split(',').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| names.contains(name)).map(|(_, value)| value)
    };
    let of_context =
        option(&["type"]).is_none_or(|kind| kind == "bind") && option(&["from"]).is_none();
    of_context.then(|| option(&["source", "src"]).unwrap_or(".").to_owned())
}

/// All words but the last; what is downloaded or stands in the Dockerfile is no file.
fn copied(rest: &str) -> Option<Vec<String>> {
    let words: Vec<String> = serde_json::from_str(rest)
        .unwrap_or_else(|_| rest.split_whitespace().map(str::to_owned).collect());
    let (_, sources) = words.split_last()?;
    let elsewhere =
        |word: &&String| word.starts_with("<<") || word.contains("://") || word.starts_with("git@");
    Some(sources.iter().filter(|word| !elsewhere(word)).cloned().collect())
}

fn pattern(source: &str) -> Option<Vec<String>> {
    if source.contains(['$', '[', '\\', '"', '\'']) || source.contains("**") {
        return None;
    }
    let mut parts: Vec<String> = Vec::new();
    for part in source.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part.to_owned()),
        }
    }
    Some(parts)
}

/// `*` is any run of characters, `?` is one.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .any(|at| matches(&pattern[1..], &text[at..])),
        Some(one) => text.chars().next().is_some_and(|found| {
            (one == '?' || one == found)
                && matches(&pattern[one.len_utf8()..], &text[found.len_utf8()..])
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(instruction: &str, path: &str) -> Option<bool> {
        Some(Taken::by(instruction)?.has(path))
    }

    #[test]
    fn a_step_takes_its_sources_and_what_is_below() {
        for (instruction, path, expected) in [
            ("COPY api/loppestars /app/", "api/loppestars/main.py", true),
            ("COPY api/loppestars /app/", "api/loppestars", true),
            ("COPY api/loppestars /app/", "api/loppestars2/main.py", false),
            ("COPY --chmod=755 --link ./a/../b/ /x/", "b/c", true),
            ("COPY . /", "anything/at/all", true),
            ("COPY / /", "anything", true),
            ("COPY a b /x/", "b", true),
            ("COPY a b /x/", "x", false),
            (r#"COPY ["a b", "/x/"]"#, "a b/c", true),
            ("COPY req*.t?t /x/", "requirements.txt", true),
            ("COPY req*.t?t /x/", "api/requirements.txt", false),
            ("COPY */main.py /x/", "api/main.py", true),
            ("COPY */main.py /x/", "api/sub/main.py", false),
            ("COPY <<EOF /x", "EOF", false),
            ("ADD https://example.com/a /x", "a", false),
            ("RUN --mount=type=bind,source=api,target=/x make", "api/a", true),
            ("RUN --mount=type=bind,source=api,target=/x make", "b", false),
            ("RUN --mount=type=bind,target=/x make", "b", true),
            ("RUN --mount=type=bind,from=base,target=/x make", "b", false),
            ("RUN --mount=type=cache,target=/x --mount=type=secret,id=a make", "b", false),
        ] {
            assert_eq!(has(instruction, path), Some(expected), "{instruction}: {path}");
        }
    }

    #[test]
    fn what_can_not_be_told_is_not_guessed() {
        for instruction in [
            "COPY $SRC /x",
            "COPY --exclude=*.md . /x",
            "COPY **/*.py /x",
            "COPY [ab].py /x",
            "RUN --mount=type=bind,source=$SRC,target=/x make",
            "WORKDIR /x",
            "COPY",
        ] {
            assert_eq!(Taken::by(instruction), None, "{instruction}");
        }
    }
}
