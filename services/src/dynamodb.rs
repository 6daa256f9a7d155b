//! DynamoDB: tables on storage nodes, behind load balancers.
//!
//! It is healthy throughout the incident; only its name is gone. What it must be is the store that others stand on:
//! conditional writes that decide who holds a lease, durable before they are acknowledged, with the real API's limits
//! and the real names of its errors. Bottom up: [`number`], [`value`] and [`key`] are the data; [`condition`],
//! [`update`] and [`write`](mod@write) are what a write does; [`table`], [`stream`] and [`store`] hold it, without time or waiting.

pub mod condition;
pub mod error;
pub mod key;
pub mod number;
pub mod store;
pub mod stream;
pub mod table;
pub mod throttle;
pub mod update;
pub mod value;
pub mod write;
