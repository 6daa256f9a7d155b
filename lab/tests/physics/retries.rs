//! What retries add to the load, and what budgets leave of that.
//!
//! What they guard: the factor by which callers multiply an outage. Four attempts are up to four times the load, three
//! layers of them sixty-four; budgets bound it, by how much depends on the budget.

use eastfall_fabric::record::Ending;
use eastfall_topology::time::Span;

use crate::lab::{Experiment, Ran};
use crate::statistics::{self, Estimate};

const EDGE: &str = "customers->shop";
const POLICY: &str = "service.customers.calls.shop";

/// A shop that fails a share of the requests by itself.
fn failing(share: f64) -> Experiment {
    Experiment::on("shop.toml").set("service.shop.operations.buy.error-share", share)
}

/// Four attempts without pauses.
fn four_attempts(experiment: Experiment) -> Experiment {
    let retry = "{ attempts = 4, backoff = \"none\", retry-on = [\"internal\"] }";
    experiment.set(&format!("{POLICY}.retry"), retry).lasting(Span::from_secs(400))
}

/// Attempts by request.
fn load(ran: &Ran) -> Estimate {
    assert_eq!(ran.results.imbalances(), [], "{}", ran.command);
    let served = ran.server("shop").served;
    assert_eq!(served, ran.edge(EDGE).tally.attempts.total(), "{}: the shop saw every attempt", ran.command);
    ran.ratio(&format!("{EDGE}.attempts"), &format!("{EDGE}.requests"))
}

#[test]
fn four_attempts_multiply_the_load_and_hide_all_but_the_fourth_power_of_the_failures() {
    for failure in [0.1, 0.5, 0.9_f64] {
        let ran = four_attempts(failing(failure)).run();
        let expected = (1.0 - failure.powi(4)) / (1.0 - failure);
        load(&ran).is(&format!("4 attempts, failure {failure}: load"), expected, 0.01);
        let ok = ran.ratio(&format!("{EDGE}.ok"), &format!("{EDGE}.requests"));
        ok.is(&format!("4 attempts, failure {failure}: success"), 1.0 - failure.powi(4), 0.01);
    }
}

#[test]
fn three_layers_of_four_attempts_call_a_dead_leaf_sixty_four_times_a_request() {
    let ran = Experiment::of("dead-leaf.scenario.toml").run();
    let requests = ran.edge("customers->front").tally.requests.total();
    let calls = ran.edge("back->leaf").tally.attempts.total();
    assert!(requests > 500, "{}: only {requests} requests", ran.command);
    statistics::is_exactly(
        "3 layers x 4 attempts: leaf calls a request",
        calls as f64 / requests as f64,
        64.0,
    );
    assert_eq!(ran.edge("customers->front").tally.requests.of(Ending::Failed), requests, "and all in vain");
}

#[test]
fn aws_quota_pays_for_so_many_retries_in_an_outage() {
    let client =
        |preset: &str| failing(1.0).set(&format!("{POLICY}.preset"), preset).lasting(Span::from_mins(10));
    // An answer that never comes in time, and room for all who wait for it.
    let silent = |client: Experiment| {
        client
            .set("service.shop.workers", 100_000)
            .set("service.shop.service-time", "1h")
            .set(&format!("{POLICY}.timeout"), "1s")
    };
    for (case, experiment, retries) in [
        ("errors cost 5", client("aws-sdk-standard-2025"), 100),
        ("time-outs cost 10", silent(client("aws-sdk-standard-2025")), 50),
        ("errors cost 14", client("aws-sdk-standard-2026"), 35),
    ] {
        let ran = experiment.set("service.customers.rate", 50.0).run();
        let tally = &ran.edge(EDGE).tally;
        let kept_back = tally.short_circuited.get("budget").copied().unwrap_or(0);
        assert!(kept_back > 10_000, "{}: only {kept_back} retries were kept back", ran.command);
        statistics::is_exactly(
            &format!("AWS quota of 500, {case}: retries"),
            tally.retries as f64,
            f64::from(retries),
        );
    }
}

#[test]
fn grpc_throttle_stops_retries_from_a_failure_rate_of_a_fifth_on() {
    let budget = "{ kind = \"grpc\", max-tokens = 10, failure-cost = 1, success-refund = 0.1 }";
    for (failure, expected) in [(0.05, 1.052), (0.2, 1.0), (0.5, 1.0), (0.9, 1.0)] {
        let ran = four_attempts(failing(failure)).set(&format!("{POLICY}.budget"), budget).run();
        load(&ran).is(&format!("gRPC throttle, failure {failure}: load"), expected, 0.01);
    }
}
