//! The workers as the fleet knows them: which can take work, which environments they keep, who has which slot. No I/O.

use std::collections::{BTreeMap, VecDeque};

use eastfall_proto::nlb::TargetState;
use eastfall_topology::{Moment, Span};

/// One worker: an EC2 instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Worker {
    /// It runs, and the network knows the way to it.
    pub(super) reachable: bool,
    /// It is a target of the fleet's load balancer.
    pub(super) registered: bool,
    /// When its checks failed, from and to; the last of it may go on.
    failed: VecDeque<(Moment, Moment)>,
    failing: bool,
    busy: u32,
    /// Idle environments by function: until when each is kept.
    environments: BTreeMap<String, Vec<Moment>>,
}

/// What the workers are like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Functions that a worker runs at once.
    pub(super) slots: u32,
    /// Idle environments that a worker keeps.
    pub(super) environments: u32,
    /// How long one is kept.
    pub(super) keep_warm: Span,
}

/// A slot that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) instance_id: String,
    /// The worker had an environment of the function.
    pub(super) warm: bool,
}

/// All workers by instance, in a fixed order.
#[derive(Default)]
pub(super) struct Workers(BTreeMap<String, Worker>);

impl Worker {
    /// A worker that was launched, of which nothing else is known.
    pub(super) fn launched(reachable: bool) -> Worker {
        Worker { reachable, ..Worker::default() }
    }

    /// Notes what the checks say of it now, and forgets what they said before the last `within`.
    pub(super) fn said(&mut self, state: TargetState, now: Moment, within: Span) {
        let fails = state == TargetState::Unhealthy;
        match self.failed.back_mut().filter(|_| self.failing) {
            Some((_, until)) => *until = now,
            None if fails => self.failed.push_back((now, now)),
            None => {}
        }
        self.failing = fails;
        while self.failed.front().is_some_and(|(_, until)| now.since(*until) >= within) {
            self.failed.pop_front();
        }
    }

    /// For how long in all its checks have failed in the last `within`.
    pub(super) fn failed_for(&self, within: Span, now: Moment) -> Span {
        let from = now.before(within);
        self.failed.iter().fold(Span::ZERO, |all, (since, until)| all + until.since((*since).max(from)))
    }

    fn idle(&self) -> u32 {
        self.environments.values().map(|kept| kept.len() as u32).sum()
    }

    /// Takes an idle environment of a function, the one used last, and forgets those that were kept long enough.
    fn take_environment(&mut self, function: &str, now: Moment) -> bool {
        let Some(kept) = self.environments.get_mut(function) else { return false };
        kept.retain(|until| *until > now);
        let taken = kept.pop().is_some();
        if kept.is_empty() {
            self.environments.remove(function);
        }
        taken
    }

    fn has_environment(&self, function: &str, now: Moment) -> bool {
        self.environments.get(function).is_some_and(|kept| kept.iter().any(|until| *until > now))
    }

    /// Keeps an environment, in place of the one that would end first if there is no more room.
    fn keep_environment(&mut self, function: &str, now: Moment, limits: Limits) {
        if self.idle() >= limits.environments {
            let ends = |kept: &Vec<Moment>| kept.iter().min().copied();
            let first = self.environments.iter().min_by_key(|(_, kept)| ends(kept));
            if let Some(name) = first.map(|(name, _)| name.clone()) {
                self.environments.remove(&name);
            }
        }
        self.environments.entry(function.to_owned()).or_default().push(now + limits.keep_warm);
    }
}

impl Workers {
    pub(super) fn add(&mut self, instance_id: String, worker: Worker) {
        self.0.insert(instance_id, worker);
    }

    pub(super) fn remove(&mut self, instance_id: &str) -> Option<Worker> {
        self.0.remove(instance_id)
    }

    pub(super) fn get_mut(&mut self, instance_id: &str) -> Option<&mut Worker> {
        self.0.get_mut(instance_id)
    }

    pub(super) fn contains(&self, instance_id: &str) -> bool {
        self.0.contains_key(instance_id)
    }

    /// All there are, in service or not.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Those that run and that the network knows the way to.
    pub(super) fn in_service(&self) -> usize {
        self.0.values().filter(|worker| worker.reachable).count()
    }

    /// One that would leave more than so many in service, or is not in service itself.
    pub(super) fn can_spare(&self, instance_id: &str, at_least: f64) -> bool {
        let serves = self.0.get(instance_id).is_some_and(|worker| worker.reachable);
        !serves || self.in_service() as f64 > at_least
    }

    /// The instances of those that a test holds for.
    pub(super) fn which(&self, test: impl Fn(&Worker) -> bool) -> Vec<String> {
        self.0.iter().filter(|(_, worker)| test(worker)).map(|(id, _)| id.clone()).collect()
    }

    /// One that has nothing to do, to be given back; the one with the fewest environments.
    pub(super) fn spare(&self) -> Option<String> {
        let idle = self.0.iter().filter(|(_, worker)| worker.busy == 0);
        idle.min_by_key(|(_, worker)| worker.idle()).map(|(id, _)| id.clone())
    }

    /// Takes a slot for a function: where it has an environment, or else where most slots are free.
    pub(super) fn take(&mut self, function: &str, now: Moment, limits: Limits) -> Option<Slot> {
        let free = |worker: &&mut Worker| worker.reachable && worker.busy < limits.slots;
        let warm = self
            .0
            .iter_mut()
            .find(|(_, worker)| free(worker) && worker.has_environment(function, now))
            .map(|(id, _)| id.clone());
        let chosen = match warm {
            Some(id) => Some(id),
            None => {
                let candidates = self.0.iter_mut().filter(|(_, worker)| free(worker));
                candidates.min_by_key(|(_, worker)| worker.busy).map(|(id, _)| id.clone())
            }
        };
        let worker = self.0.get_mut(chosen.as_ref()?)?;
        worker.busy += 1;
        let warm = worker.take_environment(function, now);
        chosen.map(|instance_id| Slot { instance_id, warm })
    }

    /// Gives a slot back; an environment that was made or used stays for a while.
    pub(super) fn release(&mut self, slot: &Slot, keep: Option<&str>, now: Moment, limits: Limits) {
        // A worker that was lost took its environments with it.
        let Some(worker) = self.0.get_mut(&slot.instance_id) else { return };
        worker.busy = worker.busy.saturating_sub(1);
        if let Some(function) = keep {
            worker.keep_environment(function, now, limits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { slots: 2, environments: 2, keep_warm: Span::from_mins(1) };

    fn at(seconds: u64) -> Moment {
        Moment::START + Span::from_secs(seconds)
    }

    fn workers(ids: &[&str]) -> Workers {
        let mut workers = Workers::default();
        for id in ids {
            workers.add((*id).to_owned(), Worker::launched(true));
        }
        workers
    }

    #[test]
    fn a_function_goes_where_its_environment_is() {
        let mut workers = workers(&["i-1", "i-2"]);
        let first = workers.take("f", at(0), LIMITS).expect("all is free");
        assert!(!first.warm, "nothing ran before");
        workers.release(&first, Some("f"), at(1), LIMITS);
        let second = workers.take("f", at(2), LIMITS).expect("all is free");
        assert_eq!((second.warm, &second.instance_id), (true, &first.instance_id), "where it was before");
        let third = workers.take("f", at(2), LIMITS).expect("three are free");
        assert!(!third.warm, "the one environment is in use");
    }

    #[test]
    fn an_environment_is_kept_for_its_time_and_no_longer() {
        let mut workers = workers(&["i-1"]);
        let slot = workers.take("f", at(0), LIMITS).expect("free");
        workers.release(&slot, Some("f"), at(0), LIMITS);
        assert!(!workers.take("f", at(60), LIMITS).expect("free").warm, "a minute is over");
    }

    #[test]
    fn the_environment_that_ends_first_makes_room() {
        let mut workers = workers(&["i-1"]);
        for (second, function) in ["a", "b", "c"].iter().enumerate() {
            let slot = workers.take(function, at(second as u64), LIMITS).expect("free");
            workers.release(&slot, Some(function), at(second as u64), LIMITS);
        }
        let warm = |workers: &mut Workers, function: &str| {
            let slot = workers.take(function, at(5), LIMITS).expect("free");
            workers.release(&slot, None, at(5), LIMITS);
            slot.warm
        };
        assert!(!warm(&mut workers, "a"), "the oldest of three is gone");
        assert!(warm(&mut workers, "c"), "the newest is there");
    }

    #[test]
    fn failures_add_up_over_the_time_that_is_looked_at() {
        let (within, mut worker) = (Span::from_secs(100), Worker::launched(true));
        let mut say = |second, state| {
            worker.said(state, at(second), within);
            worker.failed_for(within, at(second)).as_secs_f64()
        };
        assert_eq!(say(0, TargetState::Healthy), 0.0);
        assert_eq!(say(10, TargetState::Unhealthy), 0.0, "it has just begun");
        assert_eq!(say(20, TargetState::Unhealthy), 10.0);
        assert_eq!(say(30, TargetState::Healthy), 20.0, "up to the look that finds it well");
        assert_eq!(say(60, TargetState::Unhealthy), 20.0);
        assert_eq!(say(70, TargetState::Healthy), 30.0, "with a break in between");
        assert_eq!(say(120, TargetState::Healthy), 20.0, "of the first a half is too long ago");
        assert_eq!(say(200, TargetState::Healthy), 0.0, "and now all");
    }

    #[test]
    fn what_is_out_of_reach_gets_no_work_and_what_fails_its_checks_does_until_it_is_replaced() {
        let mut workers = workers(&["i-1", "i-2"]);
        workers.get_mut("i-1").expect("there").said(TargetState::Unhealthy, at(0), Span::from_secs(60));
        workers.get_mut("i-2").expect("there").reachable = false;
        let taken = [(); 3].map(|()| workers.take("f", at(0), LIMITS).map(|slot| slot.instance_id));
        assert_eq!(taken, [Some("i-1".to_owned()), Some("i-1".to_owned()), None], "two slots of one worker");
        assert_eq!((workers.len(), workers.in_service()), (2, 1), "both are there all the same");
    }
}
