//! `--load` shrinks the work and keeps the dynamics.

use super::{CrowdParams, KINDS, SAMPLE};
use crate::{Budget, Setting, Source, Topology};
use proptest::prelude::*;

fn at_load(load: f64, settings: &[&str]) -> Topology {
    let settings: Vec<Setting> = settings.iter().map(|text| text.parse().expect("a setting")).collect();
    Topology::load(Source { file: "topology.toml", text: SAMPLE }, &settings, &KINDS, load)
        .expect("a valid load")
}

#[test]
fn arrivals_populations_and_capacities_are_multiplied() {
    let set = ["service.web.calls.store.budget={ kind = \"token-bucket\" }"];
    let topology = at_load(0.1, &set);
    let crowd = CrowdParams::from(&topology.services["users"].params);
    assert_eq!((crowd.arrivals, crowd.population), (5.0, 1), "what there was one of, there still is one of");
    let web = topology.services["web"].capacity.clone().expect("web has workers");
    assert_eq!((web.workers, web.queue.limit), (1, Some(10)));
    assert!((web.slowdown - 0.1).abs() < 1e-12, "a tenth as many wait, so each slows ten times as much");
    let budget = topology.services["web"].calls["store"].policy.budget;
    assert!(matches!(budget, Some(Budget::TokenBucket { capacity: 50.0, .. })), "{budget:?}");
    assert_eq!(topology.value("service.web.workers").as_deref(), Some("8"), "values are told as written");
    assert_eq!(topology.load_factor(), 0.1);
}

#[test]
fn a_load_that_is_not_a_factor_is_refused() {
    for load in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let loaded = Topology::load(Source { file: "topology.toml", text: SAMPLE }, &[], &KINDS, load);
        let problems = loaded.expect_err("not a factor").0;
        assert_eq!((problems.len(), problems[0].key.as_str()), (1, "load"), "{load}: {problems:?}");
    }
}

proptest! {
    #[test]
    fn throughput_is_exactly_the_load_times_what_it_was(load in 0.001..100.0f64) {
        let throughput = |load: f64| {
            let web = at_load(load, &[]).services["web"].clone();
            let capacity = web.capacity.expect("web has workers");
            let write = web.operations["write"].service_time.expect("write has its own");
            let per_second = |mean: crate::Span| f64::from(capacity.workers) / mean.as_secs_f64();
            (per_second(capacity.service_time.mean()), per_second(write.mean()))
        };
        let (one, scaled) = (throughput(1.0), throughput(load));
        // Times are whole nanoseconds, so exact means to within one of them.
        prop_assert!((scaled.0 / one.0 / load - 1.0).abs() < 1e-6, "{scaled:?} at load {load}, {one:?} at 1");
        prop_assert!((scaled.1 / one.1 / load - 1.0).abs() < 1e-6, "{scaled:?} at load {load}, {one:?} at 1");
    }
}
