//! What would change, decided without doing anything.

#![allow(dead_code, unused_imports)]
