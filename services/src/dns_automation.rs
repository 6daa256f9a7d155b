//! (draft)
pub mod lock;
pub mod names;
pub mod step;
pub mod sweep;
pub mod visit;

#[cfg(test)]
mod explore;
