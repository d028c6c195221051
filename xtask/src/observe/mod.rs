//! Read-only: git, the engine and the builder, ECR, ECS are asked, side by side where they
//! do not depend on each other, and answer in plain structs.

pub mod beside;
pub mod branches;
pub mod builder_cache;
pub mod caches;
pub mod ecr;
pub mod ecs;
pub mod engine;
pub mod git;
pub mod history;
pub mod inputs;
pub mod layers;
pub mod lock;
pub mod logs;
pub mod platforms;
pub mod preflight;
pub mod repository;
pub mod revisions;
pub mod rollout;
pub mod stack;
pub mod task_definitions;
pub mod uses;
