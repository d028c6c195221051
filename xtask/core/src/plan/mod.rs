//! What would change, decided without doing anything: no clock, no network,
//! no process, no terminal.

pub mod argv;
pub mod branch;
pub mod build;
pub mod builder;
pub mod cache;
pub mod changes;
pub mod deploy;
pub mod diff;
pub mod fit;
pub mod infra;
pub mod local;
pub mod needs;
pub mod probe;
pub mod prune;
pub mod reuse;
pub mod run;
pub mod secret;
pub mod taskdef;
pub mod version;
