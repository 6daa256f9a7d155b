//! Reads and checks `topology.toml` into a typed graph. No I/O, no async.

pub mod time;
