//! The stand-ins: one module a system, all of one shape.
//!
//! A module has its parameters (`params!`), says how an instance starts, and does what the service does. It touches the
//! outside through its `World` alone, and can't know that it is being tested.

pub mod dns_automation;
pub mod dynamodb;
pub mod route53;

use eastfall_fabric::world::Kind;

/// Every kind of service there is.
pub fn kinds() -> Vec<Kind> {
    vec![]
}
