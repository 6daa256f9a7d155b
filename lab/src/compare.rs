//! `eastfall compare`: the same incident under several settings, over many seeds, in one table.
//!
//! One run proves nothing near a threshold: a second more of trigger, another seed, and it heals or it never does. So
//! each variant runs over the same seeds, what is shown are medians with intervals and shares of seeds, and a difference
//! that the seeds don't support is called noise.
//!
//! **Common random numbers**: run *j* of every variant has the same seed, and streams of random numbers are named by
//! instance, edge and purpose (`fabric/src/rng.rs`). So the same customers arrive at the same moments in every variant,
//! and differences are taken seed by seed: most of the luck cancels out. A setting that matters to nothing gives
//! identical runs.

pub(crate) mod folder;
mod interval;
mod outcome;
mod runs;
mod split;
mod summary;
mod table;
mod variants;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use crate::cli;
use crate::failure::Failure;
use crate::page::model::Model;
use crate::page::report;
use folder::Folder;
use outcome::Merged;
use variants::Variant;

pub use summary::{Comparison, Difference, Estimate, Percentiles, VariantSummary, Verdict};

/// What a command line asks to be compared: checked, and ready to run.
#[derive(Debug)]
pub struct Plan {
    variants: Vec<Variant>,
    first_seed: u64,
    seeds: u32,
    folder: Option<Folder>,
    keep_runs: bool,
    /// The first seed's run of each variant, as the report shows it.
    models: Mutex<BTreeMap<usize, Model>>,
}

impl Plan {
    /// Reads and checks everything that a command line names, all variants before the first run.
    ///
    /// # Errors
    /// Everything that is wrong with any of it, and if the folder holds a comparison already.
    pub fn load(arguments: &cli::Compare) -> Result<Plan, Failure> {
        let variants = variants::load(arguments)?;
        let folder = arguments.scenario.out.as_deref().map(|path| Folder::create(path, arguments, &variants));
        Ok(Plan {
            variants,
            first_seed: arguments.scenario.seed,
            seeds: arguments.seeds,
            folder: folder.transpose()?,
            keep_runs: arguments.keep_runs,
            models: Mutex::default(),
        })
    }

    /// How many runs there will be.
    pub fn runs(&self) -> u64 {
        self.variants.len() as u64 * u64::from(self.seeds)
    }

    /// Runs everything, on all cores. `progress` is told how many runs have ended; once `stop` is set, what has ended by
    /// then is summed up.
    ///
    /// # Errors
    /// If a run fails or the folder can't be written.
    pub fn run(self, stop: &AtomicBool, progress: &(dyn Fn(u64) + Sync)) -> Result<Comparison, Failure> {
        #[expect(clippy::disallowed_methods, reason = "how long it took on the wall is among the results")]
        let began = std::time::Instant::now();
        let merged: Vec<Mutex<Merged>> =
            self.variants.iter().map(|variant| Mutex::new(Merged::new(&variant.session))).collect();
        runs::run_all(&self, &merged, stop, progress)?;
        let merged: Vec<Merged> = merged
            .into_iter()
            .map(|one| one.into_inner().unwrap_or_else(|poison| poison.into_inner()))
            .collect();
        let comparison = Comparison::of(&self, &merged, began.elapsed().as_secs_f64());
        if let Some(folder) = &self.folder {
            folder.finish(&self.variants, &merged, &comparison)?;
            let models = self.models.into_inner().unwrap_or_else(PoisonError::into_inner);
            report::write_models(&folder.report(), models.into_values().collect(), Some(&comparison))?;
        }
        Ok(comparison)
    }
}
