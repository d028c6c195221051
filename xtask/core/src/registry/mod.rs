//! What lies in an ECR repository and in a builder's cache, who needs it, and
//! what may go.
//!
//! Everything here is pure: facts in, facts and plans out, no clock, network,
//! process or terminal. The caller reads a repository (`DescribeImages`,
//! `BatchGetImage`) and what ECS runs, [`plan`](plan::plan)s a prune, shows it,
//! reads again, [`recheck`](recheck::recheck)s and only then deletes.
//! Points in time are seconds since 1970 (`i64`), sizes bytes (`u64`).

pub mod builder_cache;
pub mod builder_prune;
pub mod cost;
pub mod digest;
pub mod glob;
pub mod graph;
pub mod in_use;
pub mod lifecycle;
pub mod manifest;
pub mod mutability;
pub mod outcome;
pub mod plan;
pub mod policy;
pub mod recheck;
pub mod repository;
pub mod revisions;
pub mod stages;
pub mod usage;
pub mod users;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod properties;

/// Reads what Go writes as `null` when it is empty: a list or a map.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + serde::Deserialize<'de>,
{
    Ok(<Option<T> as serde::Deserialize>::deserialize(deserializer)?.unwrap_or_default())
}
