//! What a running fleet shows to Prometheus, so that people can watch it with the tools they have.
//!
//! The instances report to the supervisor anyway, so one listener on loopback speaks for all of them ([`server`]):
//! `/metrics` is the whole fleet, `/metrics/INSTANCE` a part of it that fails when that process is not up, as a
//! process that died would, and `/sd` tells Prometheus which parts there are (HTTP service discovery). Reports become
//! samples in [`reports`], what only the lab knows (the incident's clock, systems, the state of processes) in [`fleet`].
//!
//! Names are OpenTelemetry's for RPC and gRPC's (A66) for attempts, as Prometheus writes them, and Tempo's for the
//! service graph, so that dashboards made for those work; what is ours begins with `eastfall_`. **Durations are incident
//! time** like every duration of the lab, while Prometheus scrapes by the wall's clock: a rate over a minute of the wall
//! covers `eastfall_clock_speed` minutes of the incident.

mod book;
mod buckets;
mod fleet;
mod reports;
pub(crate) mod server;
#[cfg(test)]
mod tests;

pub(crate) use fleet::FleetMetrics;
