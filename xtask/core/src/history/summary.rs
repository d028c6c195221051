//! Several builds summed up, and as rows of a table.

use serde::Serialize;

use super::median::median;
use super::{BuildkitBuild, Output, Record, Verdict};
use crate::progress::text::{bytes, duration};
use crate::units::format_ago;

/// A sparkline is at most so wide.
const MOST_SPARKS: usize = 60;

/// Builds summed up. Failed ones count only as builds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// Builds.
    pub builds: usize,
    /// Builds that went well.
    pub succeeded: usize,
    /// The median of how long these took.
    pub median_seconds: Option<f64>,
    /// The share of all their steps that came out of a cache, from 0 to 1.
    pub cache_hit_rate: Option<f64>,
}

impl Summary {
    /// Of these builds.
    pub fn of(records: &[Record]) -> Self {
        let good: Vec<&Record> = records.iter().filter(|record| well(record)).collect();
        let cached: usize = good.iter().map(|record| record.cached_steps).sum();
        let steps: usize = good.iter().map(|record| steps(record)).sum();
        Self {
            builds: records.len(),
            succeeded: good.len(),
            median_seconds: median(good.iter().map(|record| record.seconds).collect()),
            cache_hit_rate: (steps > 0).then(|| ratio(cached, steps)),
        }
    }
}

/// The share of a build's steps that came out of a cache, from 0 to 1. `None` when it had none.
pub fn hit_rate(record: &Record) -> Option<f64> {
    (steps(record) > 0).then(|| ratio(record.cached_steps, steps(record)))
}

fn steps(record: &Record) -> usize {
    record.cached_steps + record.run_steps
}

pub(super) fn well(record: &Record) -> bool {
    record.verdict == Verdict::Succeeded
}

#[expect(clippy::cast_precision_loss, reason = "no build has so many steps")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// Values as a row of bars, each between nothing and the largest of them; the latest ones, where
/// there are too many.
pub fn sparkline(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = &values[values.len().saturating_sub(MOST_SPARKS)..];
    let most = shown.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| {
        let part = if most > 0.0 { (value / most * 8.0).ceil() } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 8")]
        let place = (part.clamp(1.0, 8.0) as usize) - 1;
        BARS[place]
    };
    shown.iter().map(bar).collect()
}

/// A percentage without decimals; never 100 for less than all.
pub fn percent(rate: f64) -> String {
    format!("{:.0} %", (rate * 100.0).floor())
}

/// Builds as rows of a table, the newest first, below its header. `now` is in seconds since 1970.
pub fn rows(records: &[Record], now: i64) -> Vec<Vec<String>> {
    let header = ["WHEN", "ENV", "TO", "TOOK", "CACHED", "RUN", "PUSHED", "COMMIT", "RESULT"];
    let header = std::iter::once(header.map(str::to_owned).to_vec());
    header.chain(records.iter().rev().map(|record| row(record, now))).collect()
}

/// How duration and cache went over time, as lines; none where there is nothing to compare.
pub fn trend(records: &[Record]) -> Vec<String> {
    let good: Vec<&Record> = records.iter().filter(|record| well(record)).collect();
    if good.len() < 2 {
        return Vec::new();
    }
    let summary = Summary::of(records);
    let seconds: Vec<f64> = good.iter().map(|record| record.seconds).collect();
    let rates: Vec<f64> = good.iter().filter_map(|record| hit_rate(record)).collect();
    let median = summary.median_seconds.map(duration).unwrap_or_default();
    let rate = summary.cache_hit_rate.map(percent).unwrap_or_default();
    vec![
        format!("took    {}  median {median}", sparkline(&seconds)),
        format!("cached  {}  {rate} of all steps", sparkline(&rates)),
    ]
}

fn row(record: &Record, now: i64) -> Vec<String> {
    let dash = || "-".to_owned();
    let run: Vec<&str> = record
        .stages
        .iter()
        .filter(|stage| stage.run > 0)
        .map(|stage| stage.name.as_str())
        .collect();
    vec![
        record.at.map_or_else(dash, |at| format_ago(now, at.unix_seconds())),
        record.environment.clone().unwrap_or_else(dash),
        to(record).to_owned(),
        duration(record.seconds),
        hit_rate(record).map_or_else(dash, percent),
        if run.is_empty() { dash() } else { run.join(", ") },
        record.pushed_bytes.map_or_else(dash, bytes),
        record.commit.as_deref().map_or_else(dash, short),
        result(record),
    ]
}

/// Where the image went.
pub(super) fn to(record: &Record) -> &'static str {
    match record.output {
        Output::Push => "registry",
        Output::Load => "this machine",
        Output::Unknown => "-",
    }
}

/// How the build ended, in words.
pub(super) fn result(record: &Record) -> String {
    let word = match record.verdict {
        Verdict::Succeeded => "succeeded",
        Verdict::BuildFailed => "build failed",
        Verdict::PushFailed => "push failed",
        Verdict::Interrupted => "interrupted",
        Verdict::Unknown => "unknown",
    };
    if record.no_cache { format!("{word}, --no-cache") } else { word.to_owned() }
}

/// Twelve digits of a commit, and what is behind it.
pub(super) fn short(commit: &str) -> String {
    let (hash, rest) = commit.split_once('-').map_or((commit, ""), |(hash, _)| (hash, "-dirty"));
    format!("{}{rest}", hash.chars().take(12).collect::<String>())
}

/// BuildKit's builds as rows of a table, the newest first, below its header.
pub fn buildkit_rows(builds: &[BuildkitBuild], now: i64) -> Vec<Vec<String>> {
    let dash = || "-".to_owned();
    let header = ["WHEN", "TOOK", "CACHED", "STATUS", "NAME"].map(str::to_owned).to_vec();
    let row = |build: &BuildkitBuild| {
        let rate = (build.total_steps > 0).then(|| ratio(build.cached_steps, build.total_steps));
        vec![
            build.at.map_or_else(dash, |at| format_ago(now, at.unix_seconds())),
            build.seconds.map_or_else(dash, duration),
            rate.map_or_else(dash, percent),
            build.status.to_lowercase(),
            build.name.clone(),
        ]
    };
    std::iter::once(header).chain(builds.iter().map(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::record::StageRecord;
    use crate::progress::Timestamp;

    fn record(minute: u32, seconds: f64, (cached, run): (usize, usize)) -> Record {
        Record {
            at: Timestamp::parse(&format!("2026-11-24T06:{minute:02}:00Z")),
            verdict: Verdict::Succeeded,
            environment: Some("local".into()),
            output: Output::Push,
            seconds,
            cached_steps: cached,
            run_steps: run,
            commit: Some("0123456789abcdef0123-dirty".into()),
            pushed_bytes: Some(1_500_000),
            stages: vec![StageRecord { name: "runtime".into(), run, ..StageRecord::default() }],
            ..Record::default()
        }
    }

    #[test]
    fn bars_are_as_high_as_their_values() {
        assert_eq!(sparkline(&[0.0, 1.0, 4.0, 8.0]), "▁▁▄█");
        assert_eq!(sparkline(&[0.0, 0.0]), "▁▁");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[1.0; 99]).chars().count(), MOST_SPARKS);
    }

    #[test]
    fn builds_are_summed_up_without_those_that_failed() {
        let failed = Record { verdict: Verdict::BuildFailed, ..record(3, 90.0, (0, 9)) };
        let records = [record(1, 10.0, (0, 10)), record(2, 2.0, (10, 0)), failed];
        let summary = Summary::of(&records);
        assert_eq!((summary.builds, summary.succeeded), (3, 2));
        assert_eq!((summary.median_seconds, summary.cache_hit_rate), (Some(6.0), Some(0.5)));
        assert_eq!(Summary::of(&[]).cache_hit_rate, None);
        assert_eq!(percent(0.999), "99 %");
    }

    #[test]
    fn the_newest_build_is_the_first_row() {
        let failed =
            Record { verdict: Verdict::BuildFailed, no_cache: true, ..record(3, 90.0, (0, 9)) };
        let records = [record(1, 10.0, (0, 10)), record(2, 2.0, (10, 0)), failed];
        let now = record(9, 0.0, (0, 0)).at.unwrap().unix_seconds();
        let lines: Vec<String> = rows(&records, now).iter().map(|row| row.join(" | ")).collect();
        assert_eq!(
            lines,
            [
                "WHEN | ENV | TO | TOOK | CACHED | RUN | PUSHED | COMMIT | RESULT",
                "6m ago | local | registry | 1m30s | 0 % | runtime | 1.5 MB | 0123456789ab-dirty \
                 | build failed, --no-cache",
                "7m ago | local | registry | 2.0s | 100 % | - | 1.5 MB | 0123456789ab-dirty | succeeded",
                "8m ago | local | registry | 10.0s | 0 % | runtime | 1.5 MB | 0123456789ab-dirty \
                 | succeeded",
            ]
        );
        assert_eq!(trend(&records), ["took    █▂  median 6.0s", "cached  ▁█  50 % of all steps"]);
        assert_eq!(trend(&records[..1]), Vec::<String>::new());
    }

    #[test]
    fn what_buildkit_remembers_has_its_own_rows() {
        let build = BuildkitBuild {
            reference: "r".into(),
            name: "other (x)".into(),
            status: "Completed".into(),
            at: Timestamp::parse("2026-11-24T06:00:00Z"),
            seconds: Some(1.5),
            total_steps: 4,
            cached_steps: 1,
        };
        let now = build.at.unwrap().unix_seconds() + 30;
        let rows = buildkit_rows(&[build], now);
        assert_eq!(rows[1], ["30s ago", "1.5s", "25 %", "completed", "other (x)"]);
    }
}
