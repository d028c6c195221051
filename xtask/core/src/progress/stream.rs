//! The lines that buildx writes to standard error with `--progress=rawjson`.
//!
//! Field names are BuildKit's (`SolveStatus` of its client API), down to its `vertexes`. Fields that
//! nothing here needs are not read, fields that are not known do no harm.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::time::Timestamp;

/// One line of the stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// An update of the build's state.
    Status(SolveStatus),
    /// What buildx says in plain text: usage errors before a build, the failing lines of the
    /// Dockerfile and the error after it. Not sanitised.
    Text(String),
}

/// A line that begins like an update, and is none. The build is not affected, its display is.
#[derive(Debug)]
pub struct MalformedLine {
    cause: serde_json::Error,
    start: String,
}

impl fmt::Display for MalformedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a progress line of buildx can not be read ({}), its display is incomplete; \
             `docker buildx version` should say 0.13 or later; the line begins with `{}`",
            self.cause, self.start
        )
    }
}

impl std::error::Error for MalformedLine {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// Reads one line. What is not a JSON object of BuildKit's is text, and no error.
///
/// # Errors
/// If the line is a JSON object cut short, or with BuildKit's fields in shapes unknown here.
pub fn parse(line: &str) -> Result<Line, MalformedLine> {
    let line = line.trim_end_matches(['\r', '\n']);
    if !line.starts_with('{') {
        return Ok(Line::Text(line.to_owned()));
    }
    let malformed = |cause| MalformedLine {
        cause,
        start: super::text::sanitise(&line.chars().take(80).collect::<String>()),
    };
    let status: SolveStatus = serde_json::from_str(line).map_err(malformed)?;
    if status.is_empty() && !line.trim_start_matches(['{', ' ']).starts_with('}') {
        return Ok(Line::Text(line.to_owned()));
    }
    Ok(Line::Status(status))
}

/// An update: what changed since the one before, though BuildKit repeats itself.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct SolveStatus {
    /// Vertices of the build graph that are new, have started or have completed.
    #[serde(default, deserialize_with = "null_is_default")]
    pub vertexes: Vec<VertexUpdate>,
    /// Work within a vertex: transfers, layers, phases of an export.
    #[serde(default, deserialize_with = "null_is_default")]
    pub statuses: Vec<StatusUpdate>,
    /// Output of the build's commands.
    #[serde(default, deserialize_with = "null_is_default")]
    pub logs: Vec<LogChunk>,
    /// Findings of the Dockerfile checks.
    #[serde(default, deserialize_with = "null_is_default")]
    pub warnings: Vec<WarningUpdate>,
}

impl SolveStatus {
    fn is_empty(&self) -> bool {
        self.vertexes.is_empty()
            && self.statuses.is_empty()
            && self.logs.is_empty()
            && self.warnings.is_empty()
    }
}

/// A vertex. It may start and complete several times: a cache key is worked on before the content.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct VertexUpdate {
    /// What identifies the vertex.
    pub digest: String,
    /// Digests of the vertices that it depends on.
    #[serde(default, deserialize_with = "null_is_default")]
    pub inputs: Vec<String>,
    /// See [`VertexKind`](super::name::VertexKind).
    #[serde(default)]
    pub name: String,
    /// When it started (this time).
    pub started: Option<Timestamp>,
    /// When that came to an end.
    pub completed: Option<Timestamp>,
    /// Whether its result was in a cache.
    #[serde(default)]
    pub cached: bool,
    /// Why it failed; empty if it did not.
    #[serde(default)]
    pub error: String,
}

/// Progress within a vertex.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StatusUpdate {
    /// What is done: `transferring context:`, `sha256:…`, `pushing layers`.
    pub id: String,
    /// Digest of the vertex.
    pub vertex: String,
    /// Bytes done, where there are bytes.
    #[serde(default)]
    pub current: i64,
    /// Bytes to do, where that is known; else 0.
    #[serde(default)]
    pub total: i64,
    /// When this was so.
    pub timestamp: Option<Timestamp>,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it was done.
    pub completed: Option<Timestamp>,
}

/// A piece of a command's output, not necessarily whole lines.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LogChunk {
    /// Digest of the vertex that runs the command.
    pub vertex: String,
    /// 1 is standard output, 2 standard error.
    #[serde(default)]
    pub stream: i64,
    /// The bytes.
    #[serde(default, deserialize_with = "base64_bytes")]
    pub data: Vec<u8>,
    /// When it was written.
    pub timestamp: Option<Timestamp>,
}

/// A finding of the Dockerfile checks, or another warning.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct WarningUpdate {
    /// One line: `RuleName: what is wrong (line 6)`.
    #[serde(default, deserialize_with = "base64_bytes")]
    pub short: Vec<u8>,
    /// More lines about it.
    #[serde(default, deserialize_with = "base64_list")]
    pub detail: Vec<Vec<u8>>,
    /// Where it is documented.
    #[serde(default)]
    pub url: String,
    /// The file.
    #[serde(rename = "sourceInfo")]
    pub source_info: Option<SourceInfo>,
    /// The lines.
    #[serde(default, deserialize_with = "null_is_default")]
    pub range: Vec<SourceRange>,
}

/// The file that a warning is about.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SourceInfo {
    /// Its name, as given to buildx.
    #[serde(default)]
    pub filename: String,
}

/// Lines of a file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SourceRange {
    /// Where it starts.
    #[serde(default)]
    pub start: SourcePosition,
}

/// A place in a file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct SourcePosition {
    /// The line, from 1; 0 is not known.
    #[serde(default)]
    pub line: usize,
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

fn base64_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    BASE64_STANDARD.decode(text).map_err(D::Error::custom)
}

fn base64_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
    let texts = Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default();
    texts.iter().map(|text| BASE64_STANDARD.decode(text).map_err(D::Error::custom)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_and_not_an_error() {
        for line in [
            "",
            "ERROR: failed to build: failed to solve: x",
            "   5 |     COPY app/ /srv/app/",
            "[1, 2]",
            "{\"level\":\"warn\",\"msg\":\"not BuildKit's\"}",
        ] {
            assert_eq!(parse(line).unwrap(), Line::Text(line.to_owned()));
        }
    }

    #[test]
    fn an_update_is_read_and_unknown_fields_are_ignored() {
        let line =
            r#"{"vertexes":[{"digest":"sha256:a","name":"x","started":"2026-01-01T00:00:00Z",
            "invented":{"a":[1]}}],"logs":[{"vertex":"sha256:a","stream":2,"data":"aGk=",
            "timestamp":"2026-01-01T00:00:01Z"}],"warnings":null,"statuses":null}"#
                .replace('\n', " ");
        let Line::Status(status) = parse(&line).unwrap() else { panic!("an update") };
        assert_eq!(status.vertexes[0].name, "x");
        assert_eq!(status.logs[0].data, b"hi");
        assert_eq!(parse("{}").unwrap(), Line::Status(SolveStatus::default()));
    }

    #[test]
    fn a_broken_update_is_an_error_that_says_so() {
        for line in [
            r#"{"vertexes":[{"digest":"sha256:a","#,
            r#"{"vertexes":"none"}"#,
            r#"{"logs":[{"vertex":"a","data":"%%%"}]}"#,
            r#"{"vertexes":[{"digest":"a","started":"yesterday"}]}"#,
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains("can not be read") && error.contains(&line[..12]), "{error}");
        }
    }
}
