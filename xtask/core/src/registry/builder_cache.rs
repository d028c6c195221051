//! What a builder's cache holds: its records, from whichever source can tell.
//!
//! Three sources, from exact to rough:
//! - the Engine's own builder (driver `docker`): the Engine API in bytes
//!   ([`engine_request`], [`parse_engine`]);
//! - a builder that runs `buildkitd` where `buildctl` can be run beside it
//!   (drivers `docker-container`, `kubernetes`): `buildctl du --format
//!   '{{json .}}'` in bytes ([`parse_buildctl`]);
//! - any builder: `docker buildx du --format json`, whose sizes are rounded to
//!   four digits and whose times are ages in words ([`parse_buildx`]).

use std::error::Error;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::null_as_default;
use crate::units::{parse_size, parse_timestamp};

/// What a record of the cache is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordKind {
    /// A layer: the result of a step.
    Layer,
    /// What a `RUN --mount=type=cache` keeps.
    CacheMount,
    /// Files of a build context, or a Dockerfile.
    LocalSource,
    /// A checked-out Git repository.
    GitSource,
    /// The image of a frontend (`# syntax=`).
    Frontend,
    /// Something of the builder's own.
    Internal,
    /// A kind that is not known here, by the builder's name for it.
    Other(String),
}

impl From<&str> for RecordKind {
    fn from(name: &str) -> Self {
        match name {
            // Records of before BuildKit 0.4 have no type.
            "regular" | "" => Self::Layer,
            "exec.cachemount" => Self::CacheMount,
            "source.local" => Self::LocalSource,
            "source.git.checkout" => Self::GitSource,
            "frontend" => Self::Frontend,
            "internal" => Self::Internal,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl RecordKind {
    /// The kind as JSON has it; the builder's own name where it is not known here.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Layer => "layer",
            Self::CacheMount => "cache-mount",
            Self::LocalSource => "local-source",
            Self::GitSource => "git-source",
            Self::Frontend => "frontend",
            Self::Internal => "internal",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Layer => "layers",
            Self::CacheMount => "cache mounts",
            Self::LocalSource => "local sources",
            Self::GitSource => "git sources",
            Self::Frontend => "frontends",
            Self::Internal => "internal",
            Self::Other(name) => name,
        })
    }
}

/// One record of a builder's cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CacheRecord {
    /// BuildKit's id of it.
    pub id: String,
    /// What it is.
    pub kind: RecordKind,
    /// The step that made it, in BuildKit's words.
    pub description: String,
    /// Its own size on disk, without that of its parents.
    pub bytes: u64,
    /// Whether its bytes are also those of an image in the Engine's store.
    pub shared: bool,
    /// Whether a build holds it right now.
    pub in_use: bool,
    /// Whether it can still be written to; the Engine API does not say.
    pub mutable: Option<bool>,
    /// When it was made.
    pub created_at: Option<i64>,
    /// When a build last used it.
    pub last_used: Option<i64>,
    /// How often builds used it.
    pub usage_count: u64,
    /// Ids of the records that it is built on.
    pub parents: Vec<String>,
}

impl CacheRecord {
    /// Whether a prune could remove it.
    #[must_use]
    pub fn reclaimable(&self) -> bool {
        !self.in_use
    }

    /// For a cache mount, its id: the one that the Dockerfile gives it, else its target.
    #[must_use]
    pub fn mount_id(&self) -> Option<String> {
        if self.kind != RecordKind::CacheMount {
            return None;
        }
        let (_, quoted) = self.description.rsplit_once(" with id ")?;
        let id = unquote(quoted)?;
        // BuildKit puts the frontend's namespace, "/" by default, in front.
        Some(id.strip_prefix('/').map(str::to_owned).unwrap_or(id))
    }
}

/// The records of one builder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BuilderCache {
    /// All records, the largest first.
    pub records: Vec<CacheRecord>,
    /// Whether bytes and times are exact, or rounded by what reported them.
    pub exact: bool,
}

/// Output that does not hold a builder's cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheError {
    source: &'static str,
    problem: String,
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} did not say what the builder's cache holds: {}", self.source, self.problem)
    }
}

impl Error for CacheError {}

const ENGINE: &str = "the Docker Engine (GET /system/df?type=build-cache)";
const BUILDCTL: &str = "buildctl du";
const BUILDX: &str = "docker buildx du";

/// The request for [`parse_engine`], to be sent to the Engine as it stands. HTTP
/// 1.0, so that the answer is in one piece and ends with the connection. The
/// way to the Engine that respects contexts is `docker system dial-stdio`, whose
/// standard input has to stay open: when the connection is half closed the
/// Engine stops measuring and tells 0 bytes of what it had not measured yet.
#[must_use]
pub fn engine_request() -> &'static str {
    "GET /system/df?type=build-cache HTTP/1.0\r\nHost: docker\r\nAccept: application/json\r\n\r\n"
}

/// Reads the Engine's whole answer to [`engine_request`].
///
/// # Errors
/// When the Engine answered with another status (its message is in the error),
/// or with something else.
pub fn parse_engine_response(response: &[u8]) -> Result<BuilderCache, CacheError> {
    let fail = |problem: String| CacheError { source: ENGINE, problem };
    let end = response.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(end) = end else {
        return Err(fail("the answer ended before its header did".to_owned()));
    };
    let head = String::from_utf8_lossy(&response[..end]);
    let body = &response[end + 4..];
    let status = head.lines().next().unwrap_or_default();
    if status.split_whitespace().nth(1) != Some("200") {
        #[derive(Deserialize)]
        struct Message {
            message: String,
        }
        let message = serde_json::from_slice(body).map_or_else(
            |_| String::from_utf8_lossy(body).trim().to_owned(),
            |Message { message }| message,
        );
        return Err(fail(format!("{status}: {message}")));
    }
    parse_engine(body)
}

/// Reads the JSON of the Engine API's `/system/df`.
///
/// # Errors
/// When it is something else.
pub fn parse_engine(json: &[u8]) -> Result<BuilderCache, CacheError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Usage {
        build_cache: Option<Vec<Record>>,
        build_cache_usage: Option<Items>,
    }
    /// Where API versions after 1.51 put the records.
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Items {
        items: Option<Vec<Record>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Record {
        #[serde(rename = "ID")]
        id: String,
        // The name has a blank in front in every Engine up to 28.
        #[serde(
            rename = "Parents",
            alias = " Parents",
            default,
            deserialize_with = "null_as_default"
        )]
        parents: Vec<String>,
        #[serde(rename = "Type", default)]
        kind: String,
        #[serde(default)]
        description: String,
        #[serde(default)]
        in_use: bool,
        #[serde(default)]
        shared: bool,
        size: i64,
        created_at: Option<String>,
        last_used_at: Option<String>,
        #[serde(default)]
        usage_count: u64,
    }
    let usage: Usage = read(ENGINE, json)?;
    let records = usage
        .build_cache
        .or_else(|| usage.build_cache_usage.and_then(|usage| usage.items))
        .ok_or_else(|| CacheError {
            source: ENGINE,
            problem: "the answer has no BuildCache".to_owned(),
        })?;
    let records = records.into_iter().map(|record| CacheRecord {
        kind: record.kind.as_str().into(),
        id: record.id,
        description: record.description,
        bytes: bytes(record.size),
        shared: record.shared,
        in_use: record.in_use,
        mutable: None,
        created_at: record.created_at.as_deref().and_then(parse_timestamp),
        last_used: record.last_used_at.as_deref().and_then(parse_timestamp),
        usage_count: record.usage_count,
        parents: record.parents,
    });
    Ok(largest_first(records.collect(), true))
}

/// Reads what `buildctl du --format '{{json .}}'` prints.
///
/// # Errors
/// When it is something else.
pub fn parse_buildctl(json: &[u8]) -> Result<BuilderCache, CacheError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Record {
        id: String,
        mutable: bool,
        in_use: bool,
        size: i64,
        created_at: Option<String>,
        last_used_at: Option<String>,
        #[serde(default)]
        usage_count: u64,
        #[serde(default, deserialize_with = "null_as_default")]
        parents: Vec<String>,
        #[serde(default)]
        description: String,
        #[serde(default)]
        record_type: String,
        #[serde(default)]
        shared: bool,
    }
    // An empty cache is `null`.
    let records: Option<Vec<Record>> = read(BUILDCTL, json)?;
    let records = records.unwrap_or_default().into_iter().map(|record| CacheRecord {
        kind: record.record_type.as_str().into(),
        id: record.id,
        description: record.description,
        bytes: bytes(record.size),
        shared: record.shared,
        in_use: record.in_use,
        mutable: Some(record.mutable),
        created_at: record.created_at.as_deref().and_then(parse_timestamp),
        last_used: record.last_used_at.as_deref().and_then(parse_timestamp),
        usage_count: record.usage_count,
        parents: record.parents,
    });
    Ok(largest_first(records.collect(), true))
}

/// Reads what `docker buildx du --format json` prints: one record a line, of
/// all nodes of the builder. `now` turns its ages into points in time.
///
/// # Errors
/// When a line is something else.
pub fn parse_buildx(lines: &str, now: i64) -> Result<BuilderCache, CacheError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Record {
        #[serde(rename = "ID")]
        id: String,
        #[serde(default, deserialize_with = "null_as_default")]
        parents: Vec<String>,
        #[serde(rename = "Type", default)]
        kind: String,
        #[serde(default)]
        description: String,
        mutable: bool,
        reclaimable: bool,
        #[serde(default)]
        shared: bool,
        size: String,
        created_at: Option<String>,
        last_used_at: Option<String>,
        #[serde(default)]
        usage_count: u64,
    }
    let record = |line: &str| -> Result<CacheRecord, CacheError> {
        let record: Record = read(BUILDX, line.as_bytes())?;
        Ok(CacheRecord {
            kind: record.kind.as_str().into(),
            bytes: parse_size(&record.size).map_err(|error| CacheError {
                source: BUILDX,
                problem: format!("size of record {}: {error}", record.id),
            })?,
            id: record.id,
            description: record.description,
            shared: record.shared,
            in_use: !record.reclaimable,
            mutable: Some(record.mutable),
            created_at: record.created_at.as_deref().and_then(parse_timestamp),
            last_used: record.last_used_at.as_deref().and_then(parse_age).map(|age| now - age),
            usage_count: record.usage_count,
            parents: record.parents,
        })
    };
    let lines = lines.lines().filter(|line| !line.trim().is_empty());
    Ok(largest_first(lines.map(record).collect::<Result<_, _>>()?, false))
}

fn read<T: DeserializeOwned>(source: &'static str, json: &[u8]) -> Result<T, CacheError> {
    serde_json::from_slice(json).map_err(|error| CacheError { source, problem: error.to_string() })
}

/// BuildKit has -1 for a size that it does not know.
fn bytes(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}

fn largest_first(mut records: Vec<CacheRecord>, exact: bool) -> BuilderCache {
    records.sort_by(|a, b| (b.bytes, &a.id).cmp(&(a.bytes, &b.id)));
    BuilderCache { records, exact }
}

/// An age in the words of buildx, `3 minutes ago`, in seconds.
fn parse_age(text: &str) -> Option<i64> {
    let words: Vec<&str> = text.strip_suffix(" ago")?.split_whitespace().collect();
    let (number, unit) = match words.as_slice() {
        ["Less", "than", "a", "second"] => return Some(0),
        ["About", "a" | "an", unit] => (1, *unit),
        [number, unit] => (number.parse::<i64>().ok()?, *unit),
        _ => return None,
    };
    let seconds = match unit.trim_end_matches('s') {
        "second" => 1,
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        "week" => 7 * 86_400,
        "month" => 30 * 86_400,
        "year" => 365 * 86_400,
        _ => return None,
    };
    number.checked_mul(seconds)
}

/// A string as Go quotes it, as far as ids of cache mounts need it.
fn unquote(quoted: &str) -> Option<String> {
    let inside = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::new();
    let mut characters = inside.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?,
            other => other,
        });
    }
    Some(text)
}

#[cfg(test)]
mod tests;
