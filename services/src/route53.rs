//! Kind `route53`: the record store of the region's names, with its control API and its name server.
//!
//! Records are changed over gRPC ([`api`]) and asked for over DNS ([`answer`]); both see the same zones ([`zone`]), and a
//! change is durable before it is acknowledged ([`store`]). The store is itself healthy throughout the event: it does
//! exactly what it is told, and that is the point.

pub mod answer;
pub mod record;
pub mod zone;
