//! BuildKit's own record of builds: `docker buildx history ls --format json`.

use serde::{Deserialize, Serialize};

use super::Record;
use crate::progress::{Timestamp, sanitise};

/// Seconds by which the clocks of this machine and of the builder may differ, and which buildx
/// takes before BuildKit hears of a build.
const CLOCKS: f64 = 5.0;

/// What this tool calls builds that only look at the context: they are nobody's builds.
const PROBE: &str = "xtask-context";

/// A build that BuildKit remembers, of whatever project.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct BuildkitBuild {
    /// BuildKit's reference to it, for `docker buildx history`.
    pub reference: String,
    /// What it calls the build: the folder or the Dockerfile, and the target.
    pub name: String,
    /// `Completed`, `Error`, `Running`, `Canceled`.
    pub status: String,
    /// When it began, by the builder's clock: RFC 3339.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub at: Option<Timestamp>,
    /// How long it took, if it has ended.
    pub seconds: Option<f64>,
    /// Vertices of the build, BuildKit's own among them.
    pub total_steps: usize,
    /// How many of them came out of a cache.
    pub cached_steps: usize,
}

/// Reads one JSON object a line, as buildx prints them, the newest first. What is none is passed
/// over, and so is what this tool asked BuildKit by way of a build.
pub fn parse(lines: &str) -> Vec<BuildkitBuild> {
    #[derive(Deserialize)]
    struct Wire {
        #[serde(rename = "ref")]
        reference: String,
        #[serde(default)]
        name: String,
        #[serde(default)]
        status: String,
        created_at: Option<Timestamp>,
        completed_at: Option<Timestamp>,
        #[serde(default)]
        total_steps: usize,
        #[serde(default)]
        cached_steps: usize,
    }
    let read = |line: &str| {
        let wire: Wire = serde_json::from_str(line).ok()?;
        let took = |at: Timestamp| wire.completed_at.map(|end| end.seconds_since(at));
        Some(BuildkitBuild {
            reference: sanitise(&wire.reference),
            name: sanitise(&wire.name),
            status: sanitise(&wire.status),
            at: wire.created_at,
            seconds: wire.created_at.and_then(took),
            total_steps: wire.total_steps,
            cached_steps: wire.cached_steps,
        })
    };
    let mut builds: Vec<_> =
        lines.lines().filter_map(read).filter(|build| build.name != PROBE).collect();
    builds.sort_by_key(|build| std::cmp::Reverse(build.at));
    builds
}

impl BuildkitBuild {
    /// Whether one of these records is of this build: it began while that was under way.
    pub fn is_recorded(&self, records: &[Record]) -> bool {
        let Some(at) = self.at else { return false };
        records.iter().any(|record| {
            record.at.is_some_and(|began| {
                at.seconds_since(began) <= record.seconds + CLOCKS
                    && began.seconds_since(at) <= CLOCKS
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"{"cached_steps":22,"completed_at":"2026-11-24T06:15:51.688Z","completed_steps":32,"created_at":"2026-11-24T06:15:49.988Z","name":"app (runtime)","ref":"default/default/a","status":"Completed","total_steps":32}
{"created_at":"2026-11-24T07:00:00Z","name":"x","ref":"default/default/b","status":"Running"}
{"created_at":"2026-11-24T07:01:00Z","name":"xtask-context","ref":"default/default/c","status":"Completed"}
not json
"#;

    #[test]
    fn what_buildx_prints_is_read_newest_first() {
        let builds = parse(LINES);
        assert_eq!(builds.len(), 2);
        assert_eq!((builds[0].status.as_str(), builds[0].seconds), ("Running", None));
        assert_eq!((builds[1].seconds, builds[1].cached_steps), (Some(1.7), 22));
        assert_eq!(parse(""), []);
    }

    #[test]
    fn a_build_is_recorded_when_it_began_while_a_recorded_one_was_under_way() {
        let build = &parse(LINES)[1];
        let record =
            |at: &str| Record { at: Timestamp::parse(at), seconds: 3.0, ..Record::default() };
        for (at, expected) in [
            ("2026-11-24T06:15:49Z", true),
            ("2026-11-24T06:15:43Z", true),
            ("2026-11-24T06:15:54Z", true),
            ("2026-11-24T06:15:41Z", false),
            ("2026-11-24T06:15:56Z", false),
        ] {
            assert_eq!(build.is_recorded(&[record(at)]), expected, "{at}");
        }
    }
}
