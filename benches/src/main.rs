//! The lab beside others that do a part of what it does: what policies cost a call, and how fast a queue is simulated.
//!
//! One round a process, all parties in turn, so that a machine that is busy with something else disturbs them alike:
//! `eastfall-comparison ROUND`. Prints a line a measurement, its words separated by tabs; `scripts/compare-benches` makes as
//! many rounds as it needs, lets SimPy take its turn in each, and makes the tables.
//!
//! All of it is one program on one thread with one allocator, the lab's (mimalloc): what is compared is code, not how it
//! was built. Time is what the process had of a processor: on a quiet machine the same as on the wall, and on a busy one it
//! leaves out when others had it.

mod policies;
mod queues;

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(round) = std::env::args().nth(1).and_then(|round| round.parse().ok()) else {
        eprintln!("usage: eastfall-comparison ROUND (a number, which seeds the queues)");
        return ExitCode::FAILURE;
    };
    policies::measure();
    queues::measure(round);
    ExitCode::SUCCESS
}
