//! The control endpoint of a running fleet, and the commands that talk to it.
//!
//! It listens on the fleet's own loopback address and asks for a token that only the user who started the fleet can
//! read. Running fleets are found through one small file each in a folder of the user's.

pub(crate) mod registry;
