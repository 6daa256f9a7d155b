//! What every service stands on: the world (time, randomness, dialling, tasks, recording), live and simulated.
//!
//! A service does everything that touches the outside through its [`world::World`]. Nothing in here knows any of the
//! region's systems by name.

pub mod capacity;
pub mod clock;
pub mod disk;
pub mod distribution;
pub mod dns;
pub mod engine;
pub mod fault;
pub mod fleet;
pub mod network;
pub mod policy;
pub mod record;
pub mod rng;
pub mod simulation;
pub mod token_bucket;
pub mod trace;
pub mod world;

pub use eastfall_proto::call;
pub use eastfall_topology::time::{Moment, Span};
