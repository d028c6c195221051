//! The local stand-in for AWS.
