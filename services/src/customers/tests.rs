//! Populations at work, in virtual time.

use eastfall_fabric::record::{Ending, Report};
use eastfall_fabric::simulation::{Setup, Simulation};
use eastfall_topology::{Span, Topology};

use crate::testing::Lab;

const REGION: &str = r#"
[region]
name = "somewhere"

[service.shop]
kind = "service"
service-time = "1ms"
workers = 100
operations.buy = {}
operations.look = {}

[service.crowd]
kind = "customers"
instances = 2
rate = 100.0
hosts = 10
mix = { "shop/look" = 3.0, "shop/buy" = 1.0 }
calls.shop = { timeout = "2s" }
"#;

impl Lab {
    fn count(&self, name: &str) -> f64 {
        let samples = self.reports().into_iter().filter_map(|report| match report {
            Report::Sample(sample) => Some(sample.readings),
            _ => None,
        });
        samples.flatten().filter(|reading| &*reading.name == name).map(|reading| reading.value).sum()
    }

    fn ended(&self, ending: Ending) -> u64 {
        let edges = self.reports().into_iter().filter_map(|report| match report {
            Report::Edge(edge) => Some(edge.tally.requests.of(ending)),
            _ => None,
        });
        edges.sum()
    }
}

#[test]
fn all_instances_together_send_at_the_rate() {
    let lab = Lab::start(REGION, 1);
    lab.run_for(Span::from_secs(300));
    let arrivals = lab.count("arrivals");
    assert!((29_000.0..31_200.0).contains(&arrivals), "{arrivals} arrivals in 301 s at 100 a second");
    assert!(lab.ended(Ending::Ok) as f64 > arrivals - 10.0, "all but those under way are answered");
}

#[test]
fn customers_do_not_wait_for_answers() {
    let lab = Lab::start(REGION, 1);
    lab.simulation.region().faults.add("gone", "black-hole crowd->shop".parse().expect("a fault"));
    let before = lab.count("arrivals");
    lab.run_for(Span::from_secs(100));
    let arrivals = lab.count("arrivals") - before;
    assert!(
        (9_500.0..10_500.0).contains(&arrivals),
        "{arrivals} arrivals in 100 s though nothing is answered"
    );
    assert!(lab.ended(Ending::TimedOut) > 9_000, "{} timed out", lab.ended(Ending::TimedOut));
}

#[test]
fn above_the_limit_the_client_rejects_and_says_so() {
    let lab = Lab::start(&REGION.replace("hosts = 10", "hosts = 10\nmax-in-flight = 20"), 1);
    lab.simulation.region().faults.add("gone", "black-hole crowd->shop".parse().expect("a fault"));
    lab.run_for(Span::from_secs(100));
    let (arrivals, rejected) = (lab.count("arrivals"), lab.count("rejected-by-client"));
    // 20 places an instance, each taken for 2 s.
    let sent = arrivals - rejected;
    assert!((1_800.0..2_300.0).contains(&sent), "{sent} of {arrivals} sent");
}

#[test]
fn a_changed_rate_takes_effect_while_running() {
    let lab = Lab::start(REGION, 1);
    let setting = "service.crowd.rate=10.0".parse().expect("a setting");
    lab.simulation.region().set(&setting).expect("a valid setting");
    let before = lab.count("arrivals");
    lab.run_for(Span::from_secs(100));
    let arrivals = lab.count("arrivals") - before;
    assert!((850.0..1_150.0).contains(&arrivals), "{arrivals} arrivals in 100 s at 10 a second");
}

#[test]
fn the_same_seed_sends_the_same() {
    let reports = |seed| {
        let lab = Lab::start(REGION, seed);
        lab.run_for(Span::from_secs(30));
        lab.reports()
    };
    assert!(reports(1) == reports(1), "same seed");
    assert!(reports(1) != reports(2), "other seed");
}

#[test]
fn a_mix_that_can_not_be_sent_is_refused_at_the_start_with_the_cure() {
    for (mix, why) in [
        ("\"shop/steal\" = 1.0", "service shop has no operation `steal` to send; it has buy, look"),
        ("\"bakery/buy\" = 1.0", "add [service.crowd.calls.bakery]"),
        ("look = 1.0", "is not SERVICE.OPERATION"),
    ] {
        let text = REGION.replace("\"shop/look\" = 3.0, \"shop/buy\" = 1.0", mix);
        let kinds = crate::kinds();
        let schemas: Vec<_> = kinds.iter().map(|kind| kind.schema).collect();
        let source = eastfall_topology::Source { file: "test.toml", text: &text };
        let topology = Topology::load(source, &[], &schemas, 1.0).expect("a valid topology");
        let setup = Setup { seed: 1, starts_at: Span::ZERO, codec: false };
        let simulation = Simulation::new(topology, kinds, &setup).expect("a region");
        simulation.start_all();
        simulation.run_until(eastfall_topology::Moment::START + Span::from_secs(1));
        let failures = simulation.start_failures().join("\n");
        simulation.finish();
        assert!(failures.contains(why), "{mix}: {failures}");
    }
}
