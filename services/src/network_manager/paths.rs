//! The paths at work: each takes changes from its own line, and the more changes are open, the longer each one takes.

use eastfall_fabric::capacity::line::Next;
use eastfall_proto::ec2::{ApplyNetworkStateRequest, NetworkUpdate, droplets_api};
use eastfall_proto::network_manager::ChangeKind;
use eastfall_topology::{Moment, Span};

use super::*;

/// Updates that the agents are told at once.
const BATCH: usize = 25;
/// How long after the agents could not be told it is tried again.
const TRY_AGAIN: Span = Span::from_secs(1);

impl Manager {
    pub(super) fn dispatch_all(self: &Arc<Self>, free_from: Moment) {
        let count = self.state().paths.len();
        (0..count as u32).for_each(|path| self.dispatch(path, free_from));
    }

    /// Gives a path's free workers the next changes in its line. `free_from`: since when, exactly; the timer that says so
    /// may be late.
    fn dispatch(self: &Arc<Self>, path: u32, free_from: Moment) {
        while let Some((news, done)) = self.begin(path, free_from) {
            let manager = Arc::clone(self);
            self.world.spawn(async move {
                manager.world.clock().sleep_until(done).await;
                {
                    let mut state = manager.state();
                    state.paths[path as usize].busy -= 1;
                    state.learnt.push_back((path, news));
                }
                manager.learnt.notify_one();
                manager.dispatch(path, done);
            });
        }
    }

    /// Has a worker of a path begin with the next change that the path doesn't know; what it will have told the path,
    /// and when.
    fn begin(&self, path: u32, free_from: Moment) -> Option<(News, Moment)> {
        let settings = self.settings.get();
        let instance = self.world.instance();
        let slow = self.world.region().faults.slow_factor(&instance.name, &instance.service);
        let mut state = self.state();
        let State { ledger, paths, .. } = &mut *state;
        let factor = slow * unevenness(path, paths.len(), settings.spread);
        let own = paths.get_mut(path as usize)?;
        while own.busy < own.line.capacity().workers {
            let (number, begins) = match own.line.next(free_from)? {
                Next::Begin { item, begins, .. } => (item, begins),
                // A path can't do without a change: what a discipline would drop has its turn now.
                Next::Shed { item, .. } => (item, free_from),
            };
            if let Some(news) = ledger.news(path, number, settings.coalesce) {
                let longer = 1.0 + ledger.len() as f64 / settings.knee;
                own.busy += 1;
                return Some((news, begins + own.line.service_time(None).mul_f64(factor * longer)));
            }
        }
        None
    }

    /// Tells the zone's agents what paths have learnt, for ever.
    pub(super) async fn keep_telling_agents(self: Arc<Self>) {
        loop {
            self.learnt.notified().await;
            self.world.sleep(self.settings.get().flush).await;
            loop {
                let (learnt, updates) = self.next_batch();
                if learnt.is_empty() {
                    break;
                }
                let request = ApplyNetworkStateRequest { updates };
                while self.agents.call(&droplets_api::APPLY_NETWORK_STATE, request.clone()).await.is_err() {
                    self.world.sleep(TRY_AGAIN).await;
                }
                self.close(&learnt).await;
            }
        }
    }

    /// What paths have learnt first, and the updates that say so.
    fn next_batch(&self) -> (Vec<(u32, News)>, Vec<NetworkUpdate>) {
        let (mut learnt, mut updates) = (Vec::new(), Vec::<NetworkUpdate>::new());
        let mut state = self.state();
        while let Some((path, news)) = state.learnt.pop_front() {
            let full = updates.len() == BATCH;
            let last = updates.iter_mut().rfind(|update| *update.instance_id == *news.instance);
            match last.filter(|update| update.known == news.known) {
                Some(update) => update.paths |= 1 << path,
                None if full => {
                    state.learnt.push_front((path, news));
                    break;
                }
                None => {
                    let (instance_id, known) = (news.instance.to_string(), news.known);
                    updates.push(NetworkUpdate { instance_id, paths: 1 << path, known });
                }
            }
            learnt.push((path, news));
        }
        (learnt, updates)
    }

    /// Closes what every path now knows.
    async fn close(&self, learnt: &[(u32, News)]) {
        let mut done = Vec::new();
        {
            let mut state = self.state();
            let closed: Vec<_> =
                learnt.iter().flat_map(|(path, news)| state.ledger.learnt(*path, news)).collect();
            let record = self.world.record();
            record.count("changes-on-path", learnt.len() as u64);
            record.count("changes-propagated", closed.len() as u64);
            for (number, open) in closed {
                let age = self.world.now().since(open.made);
                state.slowest = state.slowest.max(Some(age));
                match open.kind {
                    ChangeKind::Started => state.reports.push_back((number, open.instance)),
                    ChangeKind::Stopped | ChangeKind::Modified => done.push(number),
                }
            }
        }
        self.reports.notify_one();
        self.forget(done).await;
    }

    /// Takes what is done off the disk.
    pub(super) async fn forget(&self, numbers: Vec<u64>) {
        if !numbers.is_empty() {
            let deletions = numbers.into_iter().map(|number| (number.to_be_bytes().to_vec(), None)).collect();
            // What can't be taken off is done once more after a restart, to no effect.
            let _ = self.disk.commit(deletions).await;
        }
    }
}

/// How much longer a path takes than the average of all.
fn unevenness(path: u32, paths: usize, spread: f64) -> f64 {
    match paths {
        0 | 1 => 1.0,
        _ => 1.0 - spread + 2.0 * spread * f64::from(path) / (paths - 1) as f64,
    }
}
