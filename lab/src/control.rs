//! The control endpoint of a running fleet, and the commands that talk to it.
//!
//! It listens on the fleet's own loopback address and asks for a token that only the user who started the fleet can
//! read. Running fleets are found through one small file each in a folder of the user's ([`registry`]).

pub mod client;
pub(crate) mod endpoint;
pub(crate) mod registry;

/// The metadata key in which a caller shows the fleet's token.
pub(crate) const TOKEN: &str = "eastfall-token";
