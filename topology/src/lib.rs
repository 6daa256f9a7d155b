//! Reads and checks `topology.toml` into a typed graph. No I/O, no async.
//!
//! A mistake in a topology that is found an hour into a run, or never, teaches the wrong lesson: a misspelt
//! `max-atempts` would quietly be the default. So the file is checked as a whole before anything starts, unknown keys
//! are errors, and all errors come at once, each with file, line, column, key, rule, cure and the nearest valid name.
//!
//! From text to graph: `tree` (text to values that know their place) -> `apply` (settings) -> `part` (what `only` leaves) ->
//! `read` and `check` (every rule) -> `graph`, the checked result. Kinds of services declare their own parameters with [`params!`].

mod apply;
mod check;
mod curve;
mod graph;
mod params;
mod part;
mod policy;
mod problem;
mod read;
mod schema;
mod setting;
pub mod time;
mod tree;
mod words;

pub use curve::Curve;
pub use graph::{
    Capacity, Discipline, Distribution, Operation, OperationCall, Queue, Record, Region, Resolver, Service,
    Step, Topology,
};
pub use params::{Params, kebab_bytes};
pub use policy::{
    Backoff, Breaker, Budget, ClientThrottle, Concurrency, Connections, Edge, Hedge, Jitter, Policy,
    RateLimit, Retry, RetryOn, SlowCall, Trip,
};
pub use problem::{Problem, Problems, nearest};
pub use schema::{KindSchema, ParamSchema, ParamType, ParamValue, Parameter};
pub use setting::{Setting, SettingError};
pub use time::{Moment, Span};
pub use words::Word;

/// A topology file: its name (for messages) and its text.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file's name, as messages should show it.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
}

#[cfg(test)]
mod tests;
