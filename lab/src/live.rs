//! The live fleet: one process an instance, and the one that looks after them.
//!
//! The supervisor ([`supervisor`]) and an instance ([`serve`]) talk over the instance's standard input and output, a
//! JSON object a line ([`pipe`]). There is no socket that a stranger could talk to, and no process outlives its
//! supervisor: when that dies, however it dies, standard input ends and the instance does too. [`fleet`] is what the
//! chaos controller sees of it all, and [`up`] the command that launches it.

pub(crate) mod fleet;
mod lateness;
pub(crate) mod pipe;
mod preflight;
mod progress;
pub mod serve;
mod start;
pub(crate) mod supervisor;
mod traces;
pub mod up;
