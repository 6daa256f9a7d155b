//! What moves time: a virtual-time executor of our own ([`sim`]) and the tokio runtime ([`live`]).
//!
//! Nothing outside this module and [`crate::clock`] knows which of the two is underneath, so either can be replaced.
//! Why the simulator has its own executor and not tokio's paused clock: `docs/decisions/0001-engine.md`.

pub mod fine;
pub mod live;
mod radix_heap;
pub mod sim;
