//! Conservation: nothing is lost on the way, and nothing is counted twice. Exact, without a tolerance.

use eastfall_fabric::record::Ending;
use eastfall_topology::time::Span;

use crate::lab::{Experiment, Ran};

const EDGE: &str = "customers->station";

/// An overloaded station with a queue that refuses, and callers who give up.
fn overload() -> Experiment {
    Experiment::of("conservation.scenario.toml")
}

fn sum(ran: &Ran, series: &str) -> u64 {
    ran.results.series().total(series) as u64
}

#[test]
fn after_a_run_in_full_swing_every_arrival_is_served_refused_or_still_there() {
    let ran =
        overload().set("service.customers.calls.station.retry", "none").lasting(Span::from_secs(50)).run();
    assert_eq!(ran.results.imbalances(), [], "{}", ran.command);
    let server = ran.server("station");
    let waiting = ran.at("station.queue", Span::from_secs(50)) as u64;
    // In an overload the one worker is always busy.
    let in_flight = waiting + 1;
    assert!(waiting > 100 && server.rejected > 0 && server.late > 0, "{}: {server:?}", ran.command);
    let arrivals = sum(&ran, "customers.arrivals");
    assert_eq!(arrivals, server.served + server.rejected + in_flight, "{}", ran.command);
}

#[test]
fn after_a_run_that_has_come_to_rest_all_books_agree() {
    let ran = overload().run();
    assert_eq!(ran.results.imbalances(), [], "{}", ran.command);
    let (server, tally) = (ran.server("station"), &ran.edge(EDGE).tally);
    assert!(tally.retries > 0 && server.rejected > 0 && server.late > 0, "{}: {server:?}", ran.command);
    assert_eq!(ran.at("station.queue", Span::MAX), 0.0, "{}: nobody is left", ran.command);
    let of = |ending| tally.attempts.of(ending);
    assert_eq!(tally.requests.total(), sum(&ran, "customers.arrivals"), "every arrival came to an end");
    assert_eq!(tally.first_attempts(), tally.requests.total(), "and had a first attempt");
    assert_eq!(tally.attempts.total(), server.served + server.rejected, "the station saw every attempt");
    assert_eq!(of(Ending::Rejected), server.rejected, "who was refused knows");
    assert_eq!(of(Ending::TimedOut), server.late, "who gave up was answered in vain");
    assert_eq!(of(Ending::Ok), server.served - server.late, "and the others in time");
    ran.obeys_littles_law("station");
}

/// The shipped region, made tight: one worker where there are many, and so few droplets that DWFM's queue, too, is worked
/// off before the end.
#[test]
fn the_shipped_region_keeps_its_books_and_its_queues_obey_littles_law() {
    const TIGHT: [&str; 4] = ["route53", "dynamodb", "dynamodb-storage", "ec2-api"];
    let night = Experiment::shipped("scenarios/2025-10-20.toml").option("--load", 0.5);
    let night =
        TIGHT.iter().fold(night, |night, service| night.set(&format!("service.{service}.workers"), 1));
    let ran = night.set("service.droplets.count", 600).option("--until", "02:45").run();
    assert_eq!(ran.results.imbalances(), [], "{}", ran.command);
    for service in TIGHT.into_iter().chain(["dwfm"]) {
        let queued = ran.server(service).queued;
        assert!(queued > 100, "{}: only {queued} had to wait at {service}", ran.command);
        ran.obeys_littles_law(service);
    }
    for customers in ["customers-web", "customers-serverless"] {
        let ended = ran.edge(&format!("{customers}->dynamodb")).tally.requests.total();
        let arrivals = sum(&ran, &format!("{customers}.arrivals"));
        // At most 30 arrivals a second, who give up after three attempts of ten seconds each and the pauses between them.
        let in_flight = arrivals.checked_sub(ended);
        assert!(
            in_flight.is_some_and(|count| count < 30 * 60),
            "{}: {customers}: {in_flight:?}",
            ran.command
        );
    }
}
