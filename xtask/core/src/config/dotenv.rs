//! `.env`: `NAME=value` lines, read for the names that the configuration asks for.
//!
//! Nothing of it is exported to children. The dialect is the common core of what shells and
//! Docker Compose read: comments, `export`, single and double quotes; no interpolation.

use std::collections::BTreeMap;

/// Reads the text of a `.env` file.
///
/// # Errors
/// A line that is not `NAME=value`, by its number. Its text is not shown: it may be a secret.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let number = index + 1;
        let (name, value) =
            line.split_once('=').ok_or(format!("line {number}: not of the form NAME=value"))?;
        let name = name.trim();
        if !is_name(name) {
            return Err(format!("line {number}: not a name of an environment variable before `=`"));
        }
        let value = unquote(value.trim()).ok_or(format!("line {number}: a quote is not closed"))?;
        values.insert(name.to_owned(), value);
    }
    Ok(values)
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn unquote(value: &str) -> Option<String> {
    let closed = |rest: &str| {
        let rest = rest.trim_start();
        rest.is_empty() || rest.starts_with('#')
    };
    if let Some(rest) = value.strip_prefix('\'') {
        let (inner, after) = rest.split_once('\'')?;
        return closed(after).then(|| inner.to_owned());
    }
    if let Some(rest) = value.strip_prefix('"') {
        let mut out = String::new();
        let mut chars = rest.chars();
        loop {
            match chars.next()? {
                '"' => return closed(chars.as_str()).then_some(out),
                '\\' => match chars.next()? {
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    other => out.push(other),
                },
                other => out.push(other),
            }
        }
    }
    let end = value.find(" #").unwrap_or(value.len());
    Some(value[..end].trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_common_dialect() {
        let text =
            "# c\n\nA=1\nexport B = two words # c\nC='x # y'\nD=\"a\\n\\\"b\\\"\" # c\nE=\nF=a#b\n";
        let values = parse(text).unwrap();
        let of = |name: &str| values[name].as_str();
        assert_eq!([of("A"), of("B"), of("C")], ["1", "two words", "x # y"]);
        assert_eq!([of("D"), of("E"), of("F")], ["a\n\"b\"", "", "a#b"]);
    }

    #[test]
    fn an_error_names_the_line_and_not_its_text() {
        for (text, line) in [("A=1\nhunter2", 2), ("A='open", 1), ("1A=hunter2", 1)] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(&format!("line {line}:")), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
