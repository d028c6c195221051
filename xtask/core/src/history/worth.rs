//! Whether the caches are worth what they cost, from what was measured.

use std::collections::HashMap;

use super::{Record, Verdict, median};

/// Fewer builds than this say nothing.
const ENOUGH_BUILDS: usize = 8;
/// Builds that are looked back at, at most.
const LOOK_BACK: usize = 30;
/// By so much more do they have to cost before that is said.
const CLEARLY: f64 = 1.5;

/// What caches cost on this machine, and what they saved at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worth {
    /// How many builds this is of.
    pub builds: usize,
    /// Seconds that reading and writing them took.
    pub cost: f64,
    /// Seconds that the steps which came out of a cache took when they were last run. More than the
    /// caches saved: the builder itself knew many of these steps.
    pub saved: f64,
}

impl Worth {
    /// Of the latest builds that went well and read or wrote a cache, as far as it is known of
    /// each of their cached steps what it takes to run. `None` where these are too few.
    pub fn of(records: &[Record]) -> Option<Self> {
        let mut took: HashMap<(&str, &str), Vec<f64>> = HashMap::new();
        for (stage, step) in steps(records).filter(|(_, step)| !step.cached) {
            took.entry((stage, &step.instruction)).or_default().push(step.seconds);
        }
        let took: HashMap<_, _> =
            took.into_iter().filter_map(|(step, all)| Some((step, median(all)?))).collect();
        let uses = |record: &&Record| {
            record.verdict == Verdict::Succeeded
                && !record.no_cache
                && (record.cache_import_seconds.is_some() || record.cache_export_seconds.is_some())
        };
        let of_build = |record: &Record| {
            let cached = steps(std::slice::from_ref(record)).filter(|(_, step)| step.cached);
            let saved: Option<f64> = cached
                .map(|(stage, step)| took.get(&(stage, step.instruction.as_str())).copied())
                .sum();
            let cost = record.cache_import_seconds.unwrap_or(0.0)
                + record.cache_export_seconds.unwrap_or(0.0);
            saved.map(|saved| (cost, saved))
        };
        let builds: Vec<(f64, f64)> =
            records.iter().rev().filter(uses).take(LOOK_BACK).filter_map(of_build).collect();
        (builds.len() >= ENOUGH_BUILDS).then(|| Self {
            builds: builds.len(),
            cost: builds.iter().map(|(cost, _)| cost).sum(),
            saved: builds.iter().map(|(_, saved)| saved).sum(),
        })
    }

    /// Whether they clearly cost more than they can have saved.
    pub fn costs_more(&self) -> bool {
        self.cost > self.saved * CLEARLY
    }
}

fn steps(records: &[Record]) -> impl Iterator<Item = (&str, &super::record::StepRecord)> {
    records
        .iter()
        .flat_map(|record| &record.stages)
        .flat_map(|stage| stage.steps.iter().map(|step| (stage.name.as_str(), step)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::record::{StageRecord, StepRecord};

    fn build(cached: bool, seconds: f64, export: f64) -> Record {
        let step = StepRecord { instruction: "RUN a".into(), seconds, cached, pulled_bytes: 0 };
        let stage =
            StageRecord { name: "base".into(), steps: vec![step], ..StageRecord::default() };
        Record {
            verdict: Verdict::Succeeded,
            stages: vec![stage],
            cache_export_seconds: Some(export),
            ..Record::default()
        }
    }

    fn worth(run_seconds: f64, export: f64, hits: usize) -> Option<Worth> {
        let mut records = vec![build(false, run_seconds, export)];
        records.extend((0..hits).map(|_| build(true, 0.0, export)));
        Worth::of(&records)
    }

    #[test]
    fn it_is_said_only_of_enough_builds_and_only_where_it_is_clear() {
        assert_eq!(worth(1.0, 5.0, 3), None);
        assert!(worth(1.0, 5.0, 10).unwrap().costs_more());
        assert!(!worth(60.0, 5.0, 10).unwrap().costs_more());
        assert!(!worth(1.0, 1.1, 10).unwrap().costs_more(), "a little more is noise");
        let worth = worth(2.0, 5.0, 9).unwrap();
        assert_eq!((worth.builds, worth.cost, worth.saved), (10, 50.0, 18.0));
    }

    #[test]
    fn a_build_whose_hits_were_never_seen_to_run_says_nothing() {
        let records: Vec<_> = (0..20).map(|_| build(true, 0.0, 5.0)).collect();
        assert_eq!(Worth::of(&records), None);
        let failed = Record { verdict: Verdict::BuildFailed, ..build(false, 1.0, 5.0) };
        assert_eq!(Worth::of(&vec![failed; 20]), None);
    }
}
