//! Automatic zone failover: which zones of a load balancer are in DNS. No time passing and no waiting in here.

use super::HealthParams;

/// A zone of a load balancer, as the checks see it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ZoneHealth {
    /// Targets with a verdict.
    pub(super) targets: u32,
    /// Those that fail, and those whose checks are late.
    pub(super) failing: u32,
    /// The zone's nodes fail their own checks.
    pub(super) node_fails: bool,
    /// It is out of DNS now.
    pub(super) out: bool,
    /// It has not been well for long enough to come back.
    pub(super) resting: bool,
}

impl ZoneHealth {
    fn share(&self) -> f64 {
        f64::from(self.failing) / f64::from(self.targets.max(1))
    }

    /// Whether it has to leave, or stay out: who is out comes back only when it is clearly better.
    pub(super) fn wants_out(&self, settings: &HealthParams) -> bool {
        let threshold = settings.failover_threshold - if self.out { settings.hysteresis } else { 0.0 };
        self.node_fails || self.is_empty(settings) || self.share() > threshold
    }

    /// Its nodes have nobody to send a connection to.
    fn is_empty(&self, settings: &HealthParams) -> bool {
        self.targets == 0 && !settings.cross_zone
    }

    /// How bad it is, to compare zones.
    fn badness(&self, settings: &HealthParams) -> f64 {
        if self.node_fails || self.is_empty(settings) { 2.0 } else { self.share() }
    }
}

/// Whether all zones of a load balancer are to be in DNS: failover is off, or most of what there is fails, or there is
/// nothing yet.
fn all_in(zones: &[ZoneHealth], settings: &HealthParams) -> bool {
    let nothing = zones.iter().all(|zone| zone.targets == 0 && !zone.node_fails);
    !settings.failover || nothing || fails_open(zones, settings)
}

/// Whether a load balancer's targets are failing to such a share that all of them, and all zones, serve.
pub(super) fn fails_open(zones: &[ZoneHealth], settings: &HealthParams) -> bool {
    let (targets, failing) = zones
        .iter()
        .fold((0, 0), |(targets, failing), zone| (targets + zone.targets, failing + zone.failing));
    let share = f64::from(failing) / f64::from(targets.max(1));
    targets > 0 && settings.fail_open.is_some_and(|threshold| share >= threshold)
}

/// Decides for every load balancer which of its zones are out of DNS; answers how many withdrawals the velocity limit
/// kept back. One zone always stays: an empty name would be worse.
pub(super) fn decide(balancers: &mut [Vec<ZoneHealth>], settings: &HealthParams) -> u32 {
    let all: usize = balancers.iter().map(Vec::len).sum();
    let most = settings.velocity_limit.map_or(all, |limit| (limit * all as f64 + 1e-9) as usize);
    // Who may come back does so first, and makes room under the limit.
    for zones in balancers.iter_mut() {
        let all_in = all_in(zones, settings);
        for zone in zones {
            zone.out = zone.out && !all_in && (zone.resting || zone.wants_out(settings));
        }
    }
    let (mut out, mut kept) = (balancers.iter().flatten().filter(|zone| zone.out).count(), 0);
    for zones in balancers.iter_mut() {
        if all_in(zones, settings) {
            continue;
        }
        // The worst first, so that the best is the one that stays.
        let mut order: Vec<usize> = (0..zones.len()).collect();
        order.sort_by(|&one, &other| zones[other].badness(settings).total_cmp(&zones[one].badness(settings)));
        for number in order {
            let last = zones.iter().filter(|zone| !zone.out).count() <= 1;
            if zones[number].out || last || !zones[number].wants_out(settings) {
                continue;
            }
            if out >= most {
                kept += 1;
            } else {
                zones[number].out = true;
                out += 1;
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(more: &str) -> HealthParams {
        let text = format!(
            "[region]\nname = \"r\"\n[service.h]\nkind = \"nlb-health\"\nfailover-threshold = 0.5\n\
             hysteresis = 0.2\n{more}"
        );
        let source = eastfall_topology::Source { file: "test.toml", text: &text };
        let topology = eastfall_topology::Topology::load(source, &[], &[HealthParams::SCHEMA], 1.0);
        HealthParams::from(&topology.unwrap_or_else(|problems| panic!("{problems}")).services["h"].params)
    }

    fn zones(failing_of_ten: [u32; 3]) -> Vec<ZoneHealth> {
        failing_of_ten.map(|failing| ZoneHealth { targets: 10, failing, ..ZoneHealth::default() }).to_vec()
    }

    fn out(balancers: &[Vec<ZoneHealth>]) -> Vec<Vec<bool>> {
        balancers.iter().map(|zones| zones.iter().map(|zone| zone.out).collect()).collect()
    }

    #[test]
    fn a_zone_in_which_most_fail_leaves_and_comes_back_only_when_clearly_better() {
        let settings = settings("");
        let mut balancers = vec![zones([6, 5, 0])];
        decide(&mut balancers, &settings);
        assert_eq!(out(&balancers), [[true, false, false]], "six of ten is above one half");
        balancers[0][0].failing = 4;
        decide(&mut balancers, &settings);
        assert_eq!(out(&balancers), [[true, false, false]], "four of ten is not clearly below");
        balancers[0][0].failing = 3;
        decide(&mut balancers, &settings);
        assert_eq!(out(&balancers), [[false, false, false]], "three is");
    }

    #[test]
    fn a_zone_that_has_not_been_well_for_long_stays_out() {
        let settings = settings("");
        let mut balancers = vec![zones([0, 0, 0])];
        (balancers[0][0].out, balancers[0][0].resting) = (true, true);
        decide(&mut balancers, &settings);
        assert_eq!(out(&balancers), [[true, false, false]], "it may fail again at once");
        balancers[0][0].resting = false;
        decide(&mut balancers, &settings);
        assert_eq!(out(&balancers), [[false, false, false]]);
    }

    #[test]
    fn the_best_zone_stays_when_all_are_bad() {
        let mut balancers = vec![zones([9, 7, 8])];
        decide(&mut balancers, &settings(""));
        assert_eq!(out(&balancers), [[true, false, true]]);
    }

    #[test]
    fn a_zone_without_targets_is_not_in_dns_once_another_has_some() {
        let mut balancers = vec![vec![ZoneHealth::default(); 2]];
        decide(&mut balancers, &settings(""));
        assert_eq!(out(&balancers), [[false, false]], "nothing is registered yet");
        balancers[0][1].targets = 1;
        decide(&mut balancers, &settings(""));
        assert_eq!(out(&balancers), [[true, false]], "its nodes would have nobody to connect to");
    }

    #[test]
    fn when_all_targets_fail_all_serve() {
        let mut balancers = vec![zones([10, 10, 10])];
        decide(&mut balancers, &settings(""));
        assert_eq!(out(&balancers), [[false, false, false]], "as published: it fails open");
        let mut balancers = vec![zones([9, 9, 1])];
        decide(&mut balancers, &settings("fail-open = 0.6"));
        assert_eq!(out(&balancers), [[false, false, false]], "most is enough, if so set");
    }

    #[test]
    fn the_velocity_limit_bounds_what_is_out_over_all_load_balancers() {
        let mut balancers = vec![zones([9, 9, 0]), zones([9, 9, 0])];
        let kept = decide(&mut balancers, &settings("velocity-limit = 0.34"));
        assert_eq!(out(&balancers).concat().iter().filter(|out| **out).count(), 2, "two of six");
        assert_eq!(kept, 2, "and two were kept back");
    }

    #[test]
    fn without_failover_every_zone_is_in() {
        let mut balancers = vec![zones([9, 9, 0])];
        decide(&mut balancers, &settings(""));
        decide(&mut balancers, &settings("failover = false"));
        assert_eq!(out(&balancers), [[false, false, false]]);
    }
}
