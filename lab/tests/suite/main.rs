//! The program and its shipped files, tested as users meet them: the night of DynamoDB's DNS, its race over many seeds,
//! the promise that a seed repeats, what a comparison may claim, what is said of runs, and what bad input is answered with.
//!
//! Outcomes are never compared with a recorded run: the tests say what the mechanisms must bring about, with the room
//! that another seed would need.

mod architectures;
mod bad_input;
mod blackout;
mod compare;
mod determinism;
mod judged;
mod leases;
mod race;
mod shipped;
mod support;
