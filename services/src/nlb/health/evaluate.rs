//! Adding the verdicts up: which checks are late, which zones are in DNS, who serves.

use eastfall_proto::nlb::{ServingTarget, TargetState};

use super::failover::{ZoneHealth, decide, fails_open};
use super::*;

impl Health {
    pub(super) async fn keep_evaluating(&self) {
        loop {
            self.evaluate();
            self.world.sleep(self.settings.get().evaluate).await;
        }
    }

    fn evaluate(&self) {
        let settings = self.settings.get();
        let now = self.world.now();
        let mut state = self.state();
        let state = &mut *state;
        let mut zones: Vec<Vec<ZoneHealth>> = state
            .out
            .iter()
            .map(|zones| zones.iter().map(|&out| ZoneHealth { out, ..ZoneHealth::default() }).collect())
            .collect();
        let mut late = 0;
        for member in state.members.values_mut() {
            // Without failover nobody acts on lateness, so nobody is looked at again for it.
            if settings.failover && member.verdict.look_at_the_clock(now, settings.stale_after) {
                state.checkers[member.zone].add_change(now);
                self.world.record().count("verdicts-changed", 1);
            }
            late += u32::from(member.verdict.is_late());
            let fails = member.verdict.state() == TargetState::Unhealthy;
            match member.what.target() {
                Some((balancer, _)) if member.verdict.state() != TargetState::Initial => {
                    let zone = &mut zones[balancer][member.zone];
                    zone.targets += 1;
                    zone.failing += u32::from(fails);
                }
                Some(_) => {}
                None => zones.iter_mut().for_each(|zones| zones[member.zone].node_fails = fails),
            }
        }
        for (zone, since) in zones.iter_mut().flatten().zip(state.well_since.iter_mut().flatten()) {
            *since = (!zone.wants_out(&settings)).then(|| since.unwrap_or(now));
            zone.resting = since.is_none_or(|since| now.since(since) < settings.return_after);
        }
        let kept = decide(&mut zones, &settings);
        self.world.record().count("withdrawals-limited", u64::from(kept));
        self.note_zones(state, &zones);
        self.note_serving(state, &zones, &settings);
        self.say(state, &zones, late);
    }

    /// Has zones that leave or come back changed in DNS.
    fn note_zones(&self, state: &mut State, zones: &[Vec<ZoneHealth>]) {
        let record = self.world.record();
        let mut changed = false;
        for ((balancer, zones), out) in self.balancers.iter().zip(zones).zip(&mut state.out) {
            for ((name, zone), out) in self.zones.iter().zip(zones).zip(out) {
                if std::mem::replace(out, zone.out) == zone.out {
                    continue;
                }
                changed = true;
                record.count("zones-withdrawn", u64::from(zone.out));
                let fields = [
                    ("load-balancer", balancer.name.clone()),
                    ("zone", name.clone()),
                    ("failing", format!("{} of {}", zone.failing, zone.targets)),
                    ("node-fails", zone.node_fails.to_string()),
                ];
                record.event(if zone.out { "nlb.zone-out" } else { "nlb.zone-in" }, &fields);
            }
        }
        if changed {
            self.names_changed.notify_one();
        }
    }

    /// Works out whom the nodes of each zone may choose from. Mostly that is who it was the time before.
    fn note_serving(&self, state: &mut State, zones: &[Vec<ZoneHealth>], settings: &HealthParams) {
        let open: Vec<bool> = zones.iter().map(|zones| fails_open(zones, settings)).collect();
        let mut by_zone = vec![Vec::new(); state.serving.len()];
        for (number, member) in &state.members {
            let Some((balancer, _)) = member.what.target() else { continue };
            if !(open[balancer] || member.verdict.serves(settings.failover)) {
                continue;
            }
            if settings.cross_zone || matches!(member.what, What::Service { .. }) {
                by_zone.iter_mut().for_each(|numbers| numbers.push(*number));
            } else {
                by_zone[member.zone].push(*number);
            }
        }
        for (numbers, told) in by_zone.into_iter().zip(&mut state.serving) {
            if told.version > 0 && numbers == told.members {
                continue;
            }
            let empty =
                |balancer: &Balancer| Serving { load_balancer: balancer.name.clone(), targets: Vec::new() };
            let mut serving: Vec<Serving> = self.balancers.iter().map(empty).collect();
            for member in numbers.iter().filter_map(|number| state.members.get(number)) {
                let Some((balancer, name)) = member.what.target() else { continue };
                let address = match &member.what {
                    What::Service { address, .. } => address.to_string(),
                    _ => String::new(),
                };
                let (instance_id, zone) = (name.to_string(), member.zone as u32);
                serving[balancer].targets.push(ServingTarget { instance_id, zone, address });
            }
            *told = Told { version: told.version + 1, members: numbers, serving };
        }
    }

    fn say(&self, state: &State, zones: &[Vec<ZoneHealth>], late: u32) {
        let record = self.world.record();
        let all = zones.iter().flatten();
        let sum = |of: fn(&ZoneHealth) -> u32| all.clone().map(of).sum::<u32>() as f64;
        record.gauge("targets", sum(|zone| zone.targets));
        record.gauge("targets-failing", sum(|zone| zone.failing));
        record.gauge("checks-late", f64::from(late));
        record.gauge("zones-out", sum(|zone| u32::from(zone.out)));
        record.gauge("share-in-dns", 1.0 - sum(|zone| u32::from(zone.out)) / (all.count().max(1) as f64));
        record.gauge("checks-waiting", state.checkers.iter().map(Checkers::waiting).sum::<usize>() as f64);
        let lateness = state.checkers.iter().map(|checkers| checkers.lateness(self.world.now())).max();
        record.gauge_max("check-delay-seconds", lateness.unwrap_or(Span::ZERO).as_secs_f64());
    }
}
