//! What is left of a run: its folder, its summary, and exports of both for other programs.

pub mod export;
pub mod run_folder;
pub mod summary;
