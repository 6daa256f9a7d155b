//! How many calls may be under way.
//!
//! A callee that hangs fills its callers' threads and memory with calls that wait; a bulkhead keeps one edge from
//! taking all. [`fixed`] sheds above a number that somebody has to know, [`queue`] makes the calls above it wait,
//! [`adaptive`] finds the number from the latency.

pub mod adaptive;
pub mod fixed;
pub mod queue;
