//! A Dockerfile taken apart into its instructions, as far as is needed to find a step in it again.
//! What an instruction means is BuildKit's business.

/// One instruction: its lines as one, and the here-documents that follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Its first line, from 1.
    pub line: usize,
    /// Its lines as one, without comments.
    pub text: String,
    /// Its here-documents.
    pub bodies: Vec<String>,
}

impl Instruction {
    /// The keyword in capitals, and what follows it.
    pub fn parts(&self) -> (String, &str) {
        let text = self.text.as_str();
        let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        (keyword.to_ascii_uppercase(), rest.trim())
    }
}

/// The instructions of a Dockerfile, in order. Every text has some, if only wrong ones.
///
/// Source: <https://docs.docker.com/reference/dockerfile/>: escape directive, comments,
/// continued lines and here-documents.
pub fn instructions(dockerfile: &str) -> Vec<Instruction> {
    let comment = |line: &str| line.trim_start().starts_with('#');
    let directive = |line: &str| {
        let (name, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("escape").then(|| value.trim().chars().next())?
    };
    let escape = dockerfile.lines().take_while(|line| comment(line)).find_map(directive);
    let escape = escape.unwrap_or('\\');

    let mut found = Vec::new();
    let mut lines = dockerfile.lines().zip(1..);
    while let Some((mut line, number)) =
        lines.find(|(line, _)| !comment(line) && !line.trim().is_empty())
    {
        let mut text = String::new();
        while let Some(head) = line.trim_end().strip_suffix(escape) {
            text.push_str(head);
            let next = lines.find(|(line, _)| !comment(line) && !line.trim().is_empty());
            line = next.map_or("", |(line, _)| line);
        }
        text.push_str(line);
        let text = text.trim().to_owned();
        let bodies = heredocs(&text).into_iter().map(|(word, tabs)| {
            let strip =
                |line: &str| if tabs { line.trim_start_matches('\t') } else { line }.to_owned();
            let body: Vec<String> = lines
                .by_ref()
                .map(|(line, _)| strip(line))
                .take_while(|line| *line != word)
                .collect();
            body.join("\n")
        });
        let bodies = bodies.collect();
        found.push(Instruction { line: number, text, bodies });
    }
    found
}

/// The words that end the here-documents of an instruction, and whether tabs in front of their
/// lines are dropped (`<<-`).
pub fn heredocs(text: &str) -> Vec<(String, bool)> {
    let takes = ["RUN ", "COPY ", "ADD "];
    let takes = takes.iter().any(|keyword| {
        text.get(..keyword.len()).is_some_and(|start| start.eq_ignore_ascii_case(keyword))
    });
    let word = |word: &str| {
        let after = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
        let (after, tabs) = after.strip_prefix('-').map_or((after, false), |rest| (rest, true));
        let name = after.trim_matches(['"', '\'']);
        (!name.is_empty() && !name.contains('<')).then(|| (name.to_owned(), tabs))
    };
    text.split_whitespace().filter(|_| takes).filter_map(word).collect()
}

/// `[--platform=P] IMAGE [AS NAME]`; BuildKit numbers stages without a name.
pub fn stage_name(rest: &str, index: usize) -> String {
    let words: Vec<&str> = rest.split_whitespace().collect();
    match words.as_slice() {
        [.., word, name] if word.eq_ignore_ascii_case("as") => name.to_ascii_lowercase(),
        _ => format!("stage-{index}"),
    }
}

/// The words of a text with one space between them: so does BuildKit's name of a step come out.
pub fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_have_their_first_lines() {
        let text = "# a\nFROM a AS b\n\nRUN x && \\\n  # in between\n\n  y\n\
                    run <<EOF cat\n# kept\nEOF\nCOPY c d";
        let found: Vec<_> = instructions(text)
            .into_iter()
            .map(|instruction| {
                let (keyword, rest) = instruction.parts();
                (instruction.line, keyword, squeeze(rest), instruction.bodies.clone())
            })
            .collect();
        let of = |line, keyword: &str, rest: &str, bodies: &[&str]| {
            let bodies = bodies.iter().map(|body| (*body).to_owned()).collect();
            (line, keyword.to_owned(), rest.to_owned(), bodies)
        };
        assert_eq!(
            found,
            [
                of(2, "FROM", "a AS b", &[]),
                of(4, "RUN", "x && y", &[]),
                of(8, "RUN", "<<EOF cat", &["# kept"]),
                of(11, "COPY", "c d", &[]),
            ]
        );
    }
}
