//! A station that gets more than it can do, and how long it takes to be rid of what came of that.
//!
//! What they guard: the difference that a queue discipline makes. First come, first served turns 20 % too much into
//! nothing that is of use to anybody; last come, first served and dropping what nobody waits for keep nearly all of it.

use eastfall_topology::time::Span;

use crate::lab::{Experiment, Ran};
use crate::statistics::{self, Estimate};

/// Requests a second that the worker can do, on average.
const CAPACITY: f64 = 1000.0;
const OK: &str = "customers->station.ok";

/// 1200 requests a second for a worker who can do 1000; each caller waits for a second.
fn overload(discipline: &str) -> Experiment {
    Experiment::on("station.toml")
        .set("service.customers.rate", 1200.0)
        .set("service.station.service-time.mean", "1ms")
        .set("service.station.queue.discipline", discipline)
        .set("service.customers.calls.station.timeout", "1s")
}

/// Answers in time by the capacity, after a warm-up.
fn goodput(ran: &Ran) -> Estimate {
    let length = ran.results.length();
    let sample = length.as_secs_f64() / ran.results.series().times().len() as f64;
    let warm = ran.samples(OK).filter(|(at, _)| at.since_start() > Span::from_secs(20));
    Estimate::ratio(&warm.map(|(_, ok)| (ok, CAPACITY * sample)).collect::<Vec<_>>())
}

#[test]
fn fifo_answers_the_first_request_too_late_after_six_seconds_and_then_none_in_time() {
    let mut firsts = Vec::new();
    for seed in 1..=20 {
        let ran = overload("fifo").set("record.sample", "10ms").lasting(Span::from_secs(30)).seed(seed).run();
        let first = ran.samples("station.server.late").find(|(_, late)| *late > 0.0);
        let (first, _) = first.unwrap_or_else(|| panic!("{}: no reply was late", ran.command));
        firsts.push(first.since_start().as_secs_f64());
        // It takes a few seconds more until not even luck brings one in time.
        let (from, to) = (Span::from_secs(15), Span::from_secs(30));
        let in_time = ran.sum(OK, from, to) / (CAPACITY * 15.0);
        assert!(in_time < 0.01, "{}: {in_time} of the capacity are still of use", ran.command);
        let served = ran.sum("station.server.served", from, to) / (CAPACITY * 15.0);
        assert!((served - 1.0).abs() < 0.05, "{}: the worker works on: {served}", ran.command);
    }
    Estimate::mean(&firsts).is("FIFO overload: first late reply (s)", 6.0, 0.10);
}

#[test]
fn lifo_answers_nearly_as_many_in_time_as_the_worker_can_do() {
    let ran = overload("lifo").set("record.sample", "1s").lasting(Span::from_secs(400)).run();
    goodput(&ran).is("LIFO overload: goodput by capacity", 0.998, 0.02);
}

#[test]
fn dropping_what_nobody_waits_for_answers_most_in_time() {
    let ran = overload("drop-expired")
        .set("service.customers.calls.station.propagate-deadline", true)
        .set("record.sample", "1s")
        .lasting(Span::from_secs(800))
        .run();
    goodput(&ran).is("drop-expired overload: goodput by capacity", 0.829, 0.02);
}

#[test]
fn a_backlog_drains_as_fast_as_capacity_is_left_over() {
    let ran = Experiment::of("drain.scenario.toml").run();
    let over = Span::from_secs(400);
    let mut after = ran.samples("station.queue").skip_while(|(at, _)| at.since_start() <= over);
    let drained = after.find(|(_, queue)| *queue == 0.0);
    let (drained, _) = drained.unwrap_or_else(|| panic!("{}: it does not drain", ran.command));
    let took = drained.since_start().saturating_sub(over).as_secs_f64();
    statistics::is(
        "drain after 400 s at 1200/s (s)",
        took,
        400.0 * (1200.0 - CAPACITY) / (CAPACITY - 500.0),
        0.05,
    );
    ran.obeys_littles_law("station");
}
