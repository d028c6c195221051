//! What buildx prints after a failed build: the lines of the Dockerfile, and the error.

use serde::Serialize;

use super::text::sanitise;

/// The failing lines of a Dockerfile with some around them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Excerpt {
    /// The file, as it was given to buildx.
    pub file: String,
    /// The first failing line, from 1.
    pub line: usize,
    /// The lines.
    pub lines: Vec<ExcerptLine>,
}

/// One line of an [`Excerpt`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct ExcerptLine {
    /// Its number, from 1.
    pub number: usize,
    /// Whether it is (part of) what failed.
    pub failing: bool,
    /// Its text, sanitised.
    pub text: String,
}

impl Excerpt {
    /// Finds the excerpt among the plain text of buildx:
    ///
    /// ```text
    /// Dockerfile:6
    /// --------------------
    ///    5 |     COPY app/ /srv/app/
    ///    6 | >>> RUN exit 3
    /// --------------------
    /// ```
    pub fn find(text: &[String]) -> Option<Self> {
        text.windows(2).enumerate().find_map(|(at, pair)| {
            let (file, line) = pair[0].rsplit_once(':')?;
            let line = line.parse().ok()?;
            pair[1].starts_with("-----").then_some(())?;
            let lines: Vec<_> = text[at + 2..].iter().map_while(|l| excerpt_line(l)).collect();
            (!lines.is_empty()).then(|| Self { file: sanitise(file), line, lines })
        })
    }

    /// The lines as they are shown, the failing ones marked.
    pub fn render(&self) -> Vec<String> {
        let digits = self.lines.iter().map(|l| l.number).max().unwrap_or(0).to_string().len();
        let lines = self.lines.iter().map(|line| {
            let mark = if line.failing { '>' } else { ' ' };
            format!("{mark} {:>digits$} | {}", line.number, line.text).trim_end().to_owned()
        });
        std::iter::once(format!("{}:{}", self.file, self.line)).chain(lines).collect()
    }
}

fn excerpt_line(line: &str) -> Option<ExcerptLine> {
    let (number, rest) = line.split_once('|')?;
    let number = number.trim().parse().ok()?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let failing = rest.starts_with(">>>");
    // Four columns hold the mark or nothing; a blank line may have lost them.
    let text = rest.get(4..).unwrap_or("");
    Some(ExcerptLine { number, failing, text: sanitise(text) })
}

/// The error that buildx ends with, without what it puts in front of every error.
pub fn final_error(text: &[String]) -> Option<String> {
    let at = text.iter().rposition(|line| line.starts_with("ERROR: "))?;
    let mut error = text[at..].join("\n");
    for prefix in ["ERROR: ", "failed to build: ", "failed to solve: "] {
        error = error.strip_prefix(prefix).map(str::to_owned).unwrap_or(error);
    }
    Some(error.lines().map(sanitise).collect::<Vec<_>>().join("\n").trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn an_excerpt_is_found_and_shown() {
        let text = lines(
            "some notice: 3\nDockerfile:9\n--------------------\n   8 |     COPY a /\n   9 | >>> RUN x && \\\n  \
             10 | >>>     printf '\u{1b}[2J'\n  11 |\n--------------------\nERROR: failed to build: no\n",
        );
        let excerpt = Excerpt::find(&text).unwrap();
        assert_eq!((excerpt.file.as_str(), excerpt.line), ("Dockerfile", 9));
        assert_eq!(
            excerpt.render(),
            [
                "Dockerfile:9",
                "   8 | COPY a /",
                ">  9 | RUN x && \\",
                "> 10 |     printf ''",
                "  11 |"
            ]
        );
        assert_eq!(final_error(&text).unwrap(), "no");
    }

    #[test]
    fn other_text_has_none() {
        for text in ["", "a:1", "a:1\n-----", "a:b\n-----\n 1 | x", "ERROR: x\nUsage:"] {
            assert_eq!(Excerpt::find(&lines(text)), None, "{text}");
        }
        assert_eq!(final_error(&lines("unknown flag: --nope")), None);
        assert_eq!(final_error(&lines("ERROR: a\nmore")).unwrap(), "a\nmore");
    }
}
