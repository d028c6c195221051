//! Every ordering of what ECS may answer, as tables.

mod blind;
mod build;
mod events;
mod exits;
mod messages;
mod phases;
mod property;
mod service_deployments;
mod verdicts;
