//! Queues in equilibrium: M/M/1 at every time scale, M/D/1, M/M/c, M/M/1/K.
//!
//! What they guard: a timer that rounds. With a clock of whole milliseconds M/M/1 at a load of 0.8 keeps requests 6.3
//! instead of 5.0 service times at a mean of 10 ms, and diverges at 1 ms.

use eastfall_topology::time::Span;

use crate::lab::{Experiment, Ran};
use crate::statistics;

const EDGE: &str = "customers->station";

/// The station under so many requests a second, until about so many have come.
fn station(per_second: f64, requests: f64) -> Experiment {
    let span = Span::from_secs_f64(requests / per_second);
    let at_most_a_day = |span: Span| format!("{}us", span.min(Span::from_mins(24 * 60)).as_micros());
    Experiment::on("station.toml")
        .set("service.customers.rate", per_second)
        .set("record.sample", at_most_a_day(span / 600))
        .set("record.histograms", at_most_a_day(span))
        .lasting(span)
}

/// What the books of a station's run must say, whatever kind of queue it is.
fn is_sound(ran: &Ran) {
    ran.obeys_littles_law("station");
    assert_eq!(ran.results.imbalances(), [], "{}", ran.command);
    assert!(ran.server("station").waited >= 1_000_000, "{}: too few to judge", ran.command);
}

/// Time in the system and its tail, at one time scale.
fn is_mm1(ran: &Ran, mean: Span) {
    is_sound(ran);
    let unit = 1.0 / mean.as_secs_f64();
    let case = |what: &str| format!("M/M/1, mean service {mean}: {what}");
    ran.ratio("station.server.time_s", "station.server.served").times(unit).is(&case("W"), 5.0, 0.02);
    let latencies = ran.edge(EDGE).histograms.requests();
    let quantile = |share| latencies.quantile(share).as_secs_f64() * unit;
    statistics::is(&case("p99"), quantile(0.99), 23.03, 0.05);
    statistics::is(&case("p99.9"), quantile(0.999), 34.54, 0.05);
    // The customers' own books, which are histograms of whole microseconds in buckets.
    let customers = latencies.mean().as_secs_f64() * unit;
    let server = ran.server("station");
    let servers = server.time.as_secs_f64() / server.served as f64 * unit;
    assert!(
        (customers / servers - 1.0).abs() < 0.005,
        "customers measured {customers}, the server {servers}"
    );
}

fn mm1(mean: Span) -> Ran {
    let experiment = station(0.8 / mean.as_secs_f64(), 3.2e6);
    experiment.set("service.station.service-time.mean", format!("{}us", mean.as_micros())).run()
}

#[test]
fn mm1_keeps_requests_five_service_times_of_10_s() {
    is_mm1(&mm1(Span::from_secs(10)), Span::from_secs(10));
}

#[test]
fn mm1_keeps_requests_five_service_times_of_100_ms() {
    is_mm1(&mm1(Span::from_millis(100)), Span::from_millis(100));
}

#[test]
fn mm1_keeps_requests_five_service_times_of_1_ms() {
    is_mm1(&mm1(Span::from_millis(1)), Span::from_millis(1));
}

#[test]
fn mm1_keeps_requests_five_service_times_of_100_us_and_the_shipped_scenario_says_so() {
    let ran = Experiment::shipped("scenarios/mm1.toml").run();
    is_mm1(&ran, Span::from_micros(100));
    assert_eq!(ran.failed_checks, Vec::<String>::new(), "{}", ran.command);
    // What `--json` prints is fine enough for microseconds. Times in the system are exponential: the median is W ln 2.
    let edge = &ran.summary.edges[EDGE];
    statistics::is("the same, p50 in --json (ms)", edge.p50_ms, 0.5 * 2.0_f64.ln(), 0.02);
    statistics::is("the same, p99 in --json (ms)", edge.p99_ms, 2.303, 0.05);
}

#[test]
fn md1_makes_requests_wait_two_service_times() {
    let ran = station(0.8, 1.5e6).set("service.station.service-time", "1s").run();
    is_sound(&ran);
    ran.ratio("station.server.wait_s", "station.server.waited").is("M/D/1: Wq", 2.0, 0.03);
}

#[test]
fn ten_workers_let_as_many_requests_wait_as_erlang_says() {
    let ran = station(8.0, 3e6).set("service.station.workers", 10).run();
    is_sound(&ran);
    let waits = ran.ratio("station.server.queued", "station.server.waited");
    waits.is("M/M/10, offered 8: P(wait), Erlang's C", 0.40918, 0.02);
}

#[test]
fn a_bounded_queue_loses_what_the_textbook_says() {
    // Twenty places: one at the worker, nineteen in the queue.
    let ran = station(1.2, 1.5e6).set("service.station.queue.limit", 19).run();
    is_sound(&ran);
    ran.ratio(&format!("{EDGE}.rejected"), &format!("{EDGE}.requests")).is("M/M/1/20: loss", 0.17037, 0.02);
    ran.ratio("station.server.time_s", "station.server.served").is("M/M/1/20: W", 15.536, 0.02);
}
