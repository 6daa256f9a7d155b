//! DynamoDB: tables on storage nodes, behind load balancers.
//!
//! It is healthy throughout the incident; only its name is gone. What it must be is the store that others stand on:
//! conditional writes that decide who holds a lease, durable before they are acknowledged, with the real API's limits
//! and the real names of its errors. Bottom up: [`number`], [`value`] and [`key`] are the data; [`condition`],
//! [`update`] and [`write`](mod@write) are what a write does; [`table`], [`stream`] and [`store`] hold it, without time
//! or waiting; [`node`] puts it on a disk, [`coordinator`] writes over several nodes at once. On top are the kinds of
//! service: [`storage`] nodes, the [`balancer`]s before them, and for Global Tables other regions' [`replica`]s with
//! the [`replicator`]s between.

pub mod balancer;
pub mod condition;
pub mod coordinator;
pub mod error;
pub mod key;
pub mod node;
pub mod number;
pub mod replica;
pub mod replicator;
pub mod row;
pub mod storage;
pub mod store;
pub mod stream;
pub mod table;
pub mod throttle;
pub mod update;
pub mod value;
pub mod write;

#[cfg(test)]
mod tests;
