//! Health checks that eject: the load of those that are out falls on those that are left.
//!
//! What it guards: the cliff. Hosts at a load of 0.8 bear the ejection of a fifth of them; of more, and every one that is
//! left is overloaded, fails its own health checks in turn, and so on.

use eastfall_topology::time::Span;

use crate::lab::Experiment;
use crate::statistics;

/// Requests a second of all customers, and those that one host can do.
const RATE: f64 = 800.0;
const HOST: f64 = 50.0;
const HOSTS: u32 = 20;

#[test]
fn survivors_are_overloaded_from_the_ejection_of_more_than_a_fifth_on() {
    for ejected in 2..=6 {
        let mut experiment = Experiment::of("ejection.scenario.toml");
        for spared in ejected + 1..=6 {
            experiment = experiment.option("--without", format!("eject.host-{spared}"));
        }
        let ran = experiment.run();
        // Ejected at 100 s; by 200 s what was on its way to them has settled.
        let (from, to) = (Span::from_secs(200), Span::from_secs(500));
        let time = (to - from).as_secs_f64();
        let growth = ran.at("hosts.queue", to) - ran.at("hosts.queue", from);
        let excess = RATE - HOST * f64::from(HOSTS - ejected);
        let expected = excess.max(0.0) * time;
        // Service times are constant: all chance is in the arrivals, of which so many come, more or less.
        let chance = 4.0 * (RATE * time).sqrt();
        let case = format!("ejection of {ejected} of {HOSTS} hosts at 0.8: growth of queues");
        statistics::row(&case, expected, growth, &format!("{chance:.0} (4 standard errors)"));
        assert!((growth - expected).abs() < chance, "{}: {case}: {growth}, expected {expected}", ran.command);
        assert_eq!(growth > chance, ejected * 5 > HOSTS, "{}: {case}: {growth}", ran.command);
        assert_eq!(ran.edge("customers->hosts").tally.requests.unanswered(), 0, "each finds a sound host");
    }
}
