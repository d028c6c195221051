//! What builds of the same kind usually take.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Record, Verdict};

/// Builds that are looked back at, at most.
const LOOK_BACK: usize = 20;

/// Medians of earlier builds of the same kind, in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Medians {
    /// How many builds these are of.
    pub builds: usize,
    /// The whole build.
    pub seconds: f64,
    /// Each stage, by its name.
    pub stages: BTreeMap<String, f64>,
    /// Reading the caches' manifests.
    pub cache_import_seconds: Option<f64>,
    /// Writing the caches.
    pub cache_export_seconds: Option<f64>,
}

impl Medians {
    /// Of the latest builds that went well and built what `like` does. `None` where there are none.
    pub fn of(earlier: &[Record], like: &Record) -> Option<Self> {
        let same = |record: &&Record| {
            record.verdict == Verdict::Succeeded
                && (&record.environment, &record.image, &record.target, &record.platforms)
                    == (&like.environment, &like.image, &like.target, &like.platforms)
                && (record.output, record.no_cache) == (like.output, like.no_cache)
        };
        let builds: Vec<&Record> = earlier.iter().rev().filter(same).take(LOOK_BACK).collect();
        let each = |value: fn(&Record) -> Option<f64>| {
            median(builds.iter().filter_map(|record| value(record)).collect())
        };
        let stage = |name: &str| {
            let stages = builds.iter().flat_map(|record| &record.stages);
            median(stages.filter(|stage| stage.name == name).map(|stage| stage.seconds).collect())
        };
        Some(Self {
            builds: builds.len(),
            seconds: each(|record| Some(record.seconds))?,
            stages: like
                .stages
                .iter()
                .filter_map(|of| Some((of.name.clone(), stage(&of.name)?)))
                .collect(),
            cache_import_seconds: each(|record| record.cache_import_seconds),
            cache_export_seconds: each(|record| record.cache_export_seconds),
        })
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::record::StageRecord;

    fn record(seconds: f64) -> Record {
        let stage =
            StageRecord { name: "base".into(), seconds: seconds / 2.0, ..Default::default() };
        Record { verdict: Verdict::Succeeded, seconds, stages: vec![stage], ..Record::default() }
    }

    #[test]
    fn medians_are_of_the_same_kind_of_build_and_of_the_latest() {
        let like = record(0.0);
        assert_eq!(Medians::of(&[], &like), None);
        let others = [
            Record { verdict: Verdict::BuildFailed, ..record(99.0) },
            Record { no_cache: true, ..record(99.0) },
            Record { target: Some("base".into()), ..record(99.0) },
            Record { environment: Some("production".into()), ..record(99.0) },
        ];
        assert_eq!(Medians::of(&others, &like), None);
        let mut earlier: Vec<Record> = others.to_vec();
        earlier.extend([1.0, 9.0, 2.0].map(record));
        let medians = Medians::of(&earlier, &like).unwrap();
        assert_eq!((medians.builds, medians.seconds), (3, 2.0));
        assert_eq!(medians.stages, BTreeMap::from([("base".to_owned(), 1.0)]));
        assert_eq!(medians.cache_export_seconds, None);

        let long: Vec<Record> = (0..100).map(|_| record(5.0)).chain(earlier).collect();
        assert_eq!(Medians::of(&long, &like).unwrap().builds, LOOK_BACK);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![3.0, 1.0]), Some(2.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
    }
}
