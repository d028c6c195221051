//! Which task definition revisions are deregistered, which stay, and why.
//!
//! A revision stays when something uses it, when a rollback of what is used goes back to it, when
//! the stack made it, or when it is among the newest of its family. Every other one goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::in_use::User;

/// A revision that can be used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Revision {
    /// Its family.
    pub family: String,
    /// Its number: the higher, the newer.
    pub revision: u64,
    /// Its ARN.
    pub arn: String,
}

impl Revision {
    /// From an ARN, which ends with `/family:revision`.
    #[must_use]
    pub fn parse(arn: &str) -> Option<Self> {
        let (family, number) = arn.rsplit('/').next()?.rsplit_once(':')?;
        let revision = number.parse().ok()?;
        Some(Self { family: family.to_owned(), revision, arn: arn.to_owned() })
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.family, self.revision)
    }
}

/// The revisions of some families, and who needs them.
#[derive(Debug, Clone, Default)]
pub struct Revisions {
    /// Those that are active.
    pub active: Vec<Revision>,
    /// Who uses which, by its ARN; also what is not active or of another family.
    pub in_use: BTreeMap<String, BTreeSet<User>>,
    /// What a rollback goes back to, as `family:revision`, and from which.
    pub previous: BTreeMap<String, BTreeSet<String>>,
    /// The ARNs of those that a CloudFormation stack made.
    pub of_stack: BTreeSet<String>,
}

/// What is deregistered and what stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct RevisionPlan {
    /// What goes, by family, the oldest first.
    pub deregister: Vec<Revision>,
    /// What stays, by family, the newest first.
    pub keep: Vec<KeptRevision>,
}

/// A revision that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct KeptRevision {
    /// Which.
    #[serde(flatten)]
    pub revision: Revision,
    /// Every reason.
    pub reasons: Vec<KeptFor>,
}

/// Why a revision stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "reason", content = "of", rename_all = "kebab-case")]
pub enum KeptFor {
    /// Somebody uses it.
    InUse(User),
    /// A rollback of this one, which is used, goes back to it.
    PreviousOf(String),
    /// The stack made it, and goes back to it when an update fails.
    Stack,
    /// It is among the newest of its family, at this place (the newest is 1).
    Newest(usize),
}

impl fmt::Display for KeptFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(user) => write!(f, "used by {user}"),
            Self::PreviousOf(revision) => write!(f, "a rollback of {revision} goes back to it"),
            Self::Stack => f.write_str("of the CloudFormation stack"),
            Self::Newest(place) => write!(f, "number {place} of the newest"),
        }
    }
}

impl fmt::Display for KeptRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<String> = self.reasons.iter().map(ToString::to_string).collect();
        write!(f, "{}  {}", self.revision, reasons.join("; "))
    }
}

impl fmt::Display for RevisionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (goes, stays) = (self.deregister.len(), self.keep.len());
        let kept = self.keep.iter().map(|kept| &kept.revision);
        let families: BTreeSet<&str> =
            self.deregister.iter().chain(kept).map(|revision| revision.family.as_str()).collect();
        let families: Vec<&str> = families.into_iter().collect();
        write!(f, "deregister {goes} of {} revisions of {}", goes + stays, families.join(", "))
    }
}

/// Decides which revisions go. Of each family the `newest` stay at least.
#[must_use]
pub fn plan(revisions: &Revisions, newest: usize) -> RevisionPlan {
    let mut active = revisions.active.clone();
    active.sort_by(|a, b| (&a.family, b.revision).cmp(&(&b.family, a.revision)));
    active.dedup();
    let mut plan = RevisionPlan::default();
    for family in active.chunk_by(|a, b| a.family == b.family) {
        for (at, revision) in family.iter().enumerate() {
            let reasons = reasons(revisions, revision, at + 1, newest);
            if reasons.is_empty() {
                plan.deregister.push(revision.clone());
            } else {
                plan.keep.push(KeptRevision { revision: revision.clone(), reasons });
            }
        }
    }
    plan.deregister.sort();
    plan
}

fn reasons(
    revisions: &Revisions,
    revision: &Revision,
    place: usize,
    newest: usize,
) -> Vec<KeptFor> {
    let users = revisions.in_use.get(&revision.arn).into_iter().flatten();
    let of = revisions.previous.get(&revision.to_string()).into_iter().flatten();
    users
        .map(|user| KeptFor::InUse(user.clone()))
        .chain(of.map(|of| KeptFor::PreviousOf(of.clone())))
        .chain(revisions.of_stack.contains(&revision.arn).then_some(KeptFor::Stack))
        .chain((place <= newest).then_some(KeptFor::Newest(place)))
        .collect()
}

/// What was to go and stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct ChangedRevision {
    /// Which.
    #[serde(flatten)]
    pub revision: Revision,
    /// Why it stays now; empty when somebody else deregistered it.
    pub reasons: Vec<KeptFor>,
}

impl fmt::Display for ChangedRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reasons.is_empty() {
            return write!(f, "{} was deregistered meanwhile", self.revision);
        }
        let reasons: Vec<String> = self.reasons.iter().map(ToString::to_string).collect();
        write!(f, "{} stays: {} meanwhile", self.revision, reasons.join("; "))
    }
}

/// Looks at a plan again with what is true now. This only ever takes away from it.
#[must_use]
pub fn recheck(
    first: &RevisionPlan,
    now: &Revisions,
    newest: usize,
) -> (RevisionPlan, Vec<ChangedRevision>) {
    let again = plan(now, newest);
    let still: BTreeSet<&Revision> = again.deregister.iter().collect();
    let kept: BTreeMap<&Revision, &KeptRevision> =
        again.keep.iter().map(|kept| (&kept.revision, kept)).collect();
    let (goes, stays): (Vec<_>, Vec<_>) =
        first.deregister.iter().cloned().partition(|revision| still.contains(revision));
    let changes = stays.into_iter().map(|revision| {
        let reasons = kept.get(&revision).map(|kept| kept.reasons.clone()).unwrap_or_default();
        ChangedRevision { revision, reasons }
    });
    let changes = changes.collect();
    (RevisionPlan { deregister: goes, keep: again.keep }, changes)
}

#[cfg(test)]
mod tests;
