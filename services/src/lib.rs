//! The stand-ins, one module a system.

pub mod dynamodb;
