//! What would change, decided without doing anything: no clock, no network,
//! no process, no terminal.

#![allow(dead_code, unused_imports)]

pub(crate) mod diff;
pub(crate) mod secret;
pub(crate) mod taskdef;
