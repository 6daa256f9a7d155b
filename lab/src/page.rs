//! The page: what a run shows of itself in a browser. Live, as a replay of a run folder, and as a report in one file.
//!
//! All three show one thing, the [`model::Model`] of a run: its graph, its policies, its series and latencies over
//! incident time, its events, its milestones beside the published ones. It is made here and nowhere else, so that a
//! replay can't show anything that the live page would not have shown. The page itself ([`assets`]) is a handful of
//! plain JavaScript modules under `dashboards/page`; it draws, and knows no system by name.
//!
//! - [`live`] keeps the model of a running fleet, and hands out what is new since a page asked last.
//! - [`server`] serves it on loopback, and passes on what people press.
//! - [`view`] serves finished runs, and [`report`] puts one into a file.

pub(crate) mod assets;
mod columns;
mod events;
mod heat;
pub(crate) mod live;
pub(crate) mod model;
mod policies;
pub mod report;
pub(crate) mod server;
#[cfg(test)]
mod tests;
pub mod view;
