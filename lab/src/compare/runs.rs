//! Every variant with every seed, a thread a core.

use std::panic;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use eastfall_topology::time::Span;

use super::Plan;
use super::outcome::{Merged, Outcome};
use crate::failure::Failure;
use crate::page::model::Model;
use crate::page::report;
use crate::run_folder::RunWriter;
use crate::session::Session;
use crate::simulate::{Options, simulate};

/// As good as never: latencies are handed over once, at the end.
const AT_THE_END: Span = Span::from_mins(365 * 24 * 60);

/// Makes all runs and adds them to their variants. Seeds go first, so that what is there after an interruption is the
/// same seeds of every variant.
///
/// Threads of its own and not rayon's: a simulation belongs to its thread, and a thread of rayon's that waits within one
/// (writers compress their histograms in parallel) takes up other work, which would be another simulation.
pub(super) fn run_all(
    plan: &Plan,
    merged: &[Mutex<Merged>],
    stop: &AtomicBool,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), Failure> {
    let (next, ended) = (AtomicU64::new(0), AtomicU64::new(0));
    let failure: Mutex<Option<Failure>> = Mutex::new(None);
    let failed = AtomicBool::new(false);
    let halted = || stop.load(Ordering::Relaxed) || failed.load(Ordering::Relaxed);
    let work = || {
        while !halted() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= plan.runs() {
                return;
            }
            let variants = plan.variants.len() as u64;
            let (variant, seed) = ((number % variants) as usize, plan.first_seed + number / variants);
            match run_one(plan, variant, seed, &merged[variant], &halted) {
                Ok(()) => progress(ended.fetch_add(1, Ordering::Relaxed) + 1),
                Err(_) if halted() => {}
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(plan.runs() as usize);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            if let Err(cause) = thread.join() {
                panic::resume_unwind(cause);
            }
        }
    });
    for merged in merged {
        merged.lock().unwrap_or_else(PoisonError::into_inner).close();
    }
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

fn run_one(
    plan: &Plan,
    variant: usize,
    seed: u64,
    merged: &Mutex<Merged>,
    halted: &dyn Fn() -> bool,
) -> Result<(), Failure> {
    let (name, mut session) = (&plan.variants[variant].name, plan.variants[variant].session.clone());
    session.seed = seed;
    session.description.seed = seed;
    let told = |Failure(what)| Failure(format!("variant `{name}`, seed {seed}: {what}"));
    let (session, writer) = match &plan.folder {
        Some(folder) if plan.keep_runs => {
            let path = folder.run(variant, name, seed);
            let writer =
                RunWriter::create(&path, &session.description).map_err(Failure::from).map_err(told)?;
            (session, Some(writer))
        }
        _ => (without_intervals(session), None),
    };
    let stop = Some(halted);
    let conclusion = simulate(&session, Options { writer, stop, ..Options::default() }).map_err(told)?;
    let outcome = Outcome::of(&session, &conclusion);
    if let Some(folder) = &plan.folder {
        folder.append(name, seed, &outcome)?;
        folder.keep(variant, name, seed, &conclusion.summary)?;
        if seed == plan.first_seed {
            let model = Model::of_conclusion(&session, &conclusion, name, report::ROWS_OF_VARIANT);
            plan.models.lock().unwrap_or_else(PoisonError::into_inner).insert(variant, model);
        }
    }
    merged.lock().unwrap_or_else(PoisonError::into_inner).add(seed, outcome, &conclusion.results);
    Ok(())
}

/// Nobody looks at a run's latencies by interval if it has no folder, and keeping them apart costs time.
fn without_intervals(mut session: Session) -> Session {
    session.topology.record.histograms = AT_THE_END;
    session
}
