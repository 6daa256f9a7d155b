//! The physics: the lab against textbook laws, on the shipped engine and through files that a user could have written.
//!
//! A chaos lab that gets a queue wrong teaches the wrong lesson. Each case is a topology of this folder (and, where
//! something happens on the way, a scenario), run as `eastfall run` runs it, with `--set` for the sweep; the law is in the
//! test, and so is the tolerance. `docs/physics.md` has the table: what is expected, what was measured last.
//!
//! Seeds are fixed. Where a standard error can be had (batch means, or many seeds), a tolerance must be at least three of
//! them wide, which is checked on every run: a run that is too short to judge fails as well.

mod conservation;
mod dns;
mod ejection;
mod lab;
mod overload;
mod queues;
mod retries;
mod statistics;
