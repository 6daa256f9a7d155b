//! Rounds of checks in a zone: who is due is asked, and the checkers' time that it takes is worked out.

use std::collections::BTreeMap;

use eastfall_fabric::disk::Write;
use eastfall_fabric::distribution::draw;
use eastfall_proto::ec2::{DeliverRequest, Packet, droplets_api};
use eastfall_proto::nlb::{CheckNodeRequest, nlb_node_api};
use futures_util::future::{join, join_all};

use super::checkers::Work;
use super::*;

impl Health {
    pub(super) async fn keep_checking(&self, zone: usize) {
        let mut since = self.world.now();
        loop {
            self.world.sleep(self.settings.get().round).await;
            let now = self.world.now();
            if let Some((checkers, time)) = self.capacity() {
                self.state().checkers[zone].set_count(checkers, since);
                self.make_round(zone, since, now, &time).await;
            }
            since = now;
        }
    }

    async fn make_round(&self, zone: usize, since: Moment, now: Moment, time: &Distribution) {
        let work = self.state().checkers[zone].take(now, since, time.mean());
        if work.is_empty() {
            return;
        }
        let answers = self.ask(zone, &work).await;
        let settings = self.settings.get();
        let record = self.world.record();
        let mut writes = Vec::new();
        {
            let mut state = self.state();
            let state = &mut *state;
            let (mut done, mut checks, mut failed) = (0, 0, 0);
            for &(due, piece) in &work {
                let answered = match piece {
                    Work::Check(number) if !state.members.contains_key(&number) => None,
                    Work::Check(number) => Some(answers.get(&number).copied().unwrap_or(false)),
                    Work::Change => None,
                };
                let takes = match (piece, answered) {
                    (Work::Change, _) => draw(&settings.change_time, &mut state.rng),
                    (Work::Check(_), Some(true)) => draw(time, &mut state.rng),
                    (Work::Check(_), Some(false)) => settings.check_timeout,
                    // It was taken out of service while it waited.
                    (Work::Check(_), None) => Span::ZERO,
                };
                let Some(begins) = state.checkers[zone].begin(due, takes, now) else { break };
                done += 1;
                if let (Work::Check(number), Some(good)) = (piece, answered) {
                    checks += 1;
                    failed += u64::from(!good);
                    state.checkers[zone].schedule(begins + settings.check_interval, number);
                    writes.extend(self.judge(state, &settings, number, good, begins));
                }
            }
            state.checkers[zone].give_back(work.into_iter().skip(done));
            record.count("health-checks", checks);
            record.count("health-checks-failed", failed);
        }
        // What is lost is found out again by the next checks.
        let _ = self.disk.commit(writes).await;
    }

    /// Takes note of a check; what is to be written down if that changes the verdict.
    fn judge(
        &self,
        state: &mut State,
        settings: &HealthParams,
        number: u64,
        good: bool,
        at: Moment,
    ) -> Option<Write> {
        let member = state.members.get_mut(&number)?;
        if !member.verdict.checked(good, at, settings) {
            return None;
        }
        state.checkers[member.zone].add_change(self.world.now());
        self.world.record().count("verdicts-changed", 1);
        handlers::write(&self.balancers, &member.what, member.zone, &member.verdict)
    }

    /// Asks everybody whose check may begin. An instance that can't be reached answers nothing; what the lab says at once, the
    /// checker learns at the end of its time-out.
    async fn ask(&self, zone: usize, work: &[(Moment, Work)]) -> BTreeMap<u64, bool> {
        let (mut numbers, mut packets, mut others) = (Vec::new(), Vec::new(), Vec::new());
        {
            let mut state = self.state();
            let State { members, rng, .. } = &mut *state;
            for (_, piece) in work {
                let Work::Check(number) = piece else { continue };
                match members.get(number).map(|member| member.what.clone()) {
                    Some(What::Instance { instance, .. }) => {
                        numbers.push(*number);
                        packets.push(Packet { instance_id: instance.to_string(), path: rng.random() });
                    }
                    Some(other) => others.push((*number, other)),
                    None => {}
                }
            }
        }
        let targets = async {
            if packets.is_empty() {
                return Vec::new();
            }
            let sent = self.agents[zone].call(&droplets_api::DELIVER, DeliverRequest { packets }).await;
            sent.map(|answer| answer.answered).unwrap_or_default()
        };
        let others = join_all(
            others.into_iter().map(|(number, what)| async move { (number, self.ask_one(zone, &what).await) }),
        );
        let (answered, others) = join(targets, others).await;
        numbers.into_iter().zip(answered).chain(others).collect()
    }

    async fn ask_one(&self, zone: usize, what: &What) -> bool {
        let wait = self.settings.get().check_timeout;
        match what {
            What::Service { address, .. } => {
                matches!(self.world.clock().timeout(wait, self.world.reach(*address)).await, Ok(Ok(())))
            }
            What::Node => {
                let check = self.nodes[zone].call(&nlb_node_api::CHECK_NODE, CheckNodeRequest {});
                matches!(self.world.clock().timeout(wait, check).await, Ok(Ok(_)))
            }
            What::Instance { .. } => false,
        }
    }
}
