//! The lab: it runs scenarios, live and in virtual time, and shows what came of them.
//!
//! The `eastfall` program is a thin `main` over this library, so that benches and tests can use the same parts.

/// A simulated call makes some dozens of small allocations, so the allocator is a good part of what a run costs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod cli;
pub mod compare;
pub mod conclusion;
pub mod control;
pub mod explain;
pub mod export;
pub mod failure;
pub mod import;
pub mod interrupt;
pub mod journal;
pub mod live;
pub mod logging;
mod metrics;
pub mod output;
pub mod page;
pub mod run_folder;
pub mod score;
pub mod session;
pub mod show;
pub mod simulate;
pub mod summary;
pub mod sweep;
pub mod watch;
mod web;
