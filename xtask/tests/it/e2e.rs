//! With the real Docker Engine, BuildKit and the emulator.
//!
//! Each test works on a copy of the repository, with ports of its own, so that a local
//! environment that is up stays as it is. One runs at a time, also of several checkouts.

mod branches;
mod builder_prune;
mod faults;
mod fingerprint;
mod http;
mod image;
mod lock;
mod main_job;
mod project;
mod secrets;
