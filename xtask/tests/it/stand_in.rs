//! The stand-in for AWS of the unit tests, for runs of the whole tool.

#[path = "../../src/aws/stand_in/cloud.rs"]
pub mod cloud;
#[path = "../../src/aws/stand_in/server.rs"]
pub mod server;
