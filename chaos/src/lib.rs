//! The chaos controller: scenarios, faults on a timeline, operators' actions, and what a run is expected to show.
//!
//! It touches only the fabric and the wire: it can break a way, kill an instance, change a setting and call an API, as
//! nature and operators can, and it sees series and events, as monitoring does. What a service makes of that is the
//! service's own affair.

pub mod calibration;
pub mod controller;
pub mod expect;
pub mod reference;
pub mod scenario;
pub mod timeline;

mod reader;
#[cfg(test)]
mod testing;
