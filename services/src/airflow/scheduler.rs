//! The schedulers: who runs next, and how many workers that takes.

use super::*;

/// Signs of life by keeper.
const HEARTBEATS: &str = "mwaa-heartbeats";
/// Runs of an environment that a round looks at: more than its workers can have, so that it sees what waits.
const LOOKED_AT: u32 = 100;

impl Service {
    /// Schedules this instance's environments, for ever.
    pub(super) async fn schedule(self: Arc<Self>) {
        self.tables.prepare(&self.world, &SCHEMAS).await;
        let own = self.world.instance().index.to_string();
        loop {
            if self.round(&own).await.is_err() {
                self.world.record().count("heartbeats-failed", 1);
            }
            self.world.sleep(self.settings.get().every).await;
        }
    }

    async fn round(&self, own: &str) -> Result<(), Status> {
        // Who can't show that it lives may not schedule: another could have taken its place.
        let seen = number(self.world.now().as_nanos());
        self.tables.put(HEARTBEATS, item([("keeper", string(own)), ("seen", seen)])).await?;
        let (mut waiting, mut under_way) = (0, 0);
        for row in self.tables.all_of(ENVIRONMENTS, own).await? {
            if let Some(name) = text(&row, "environment") {
                let least = parsed(&row, "least").unwrap_or(0);
                let (waits, runs) = self.schedule_environment(name, least).await?;
                waiting += waits;
                under_way += runs;
            }
        }
        self.world.record().gauge("runs-waiting", waiting as f64);
        self.world.record().gauge("runs-under-way", under_way as f64);
        Ok(())
    }

    /// One round of one environment; how many runs wait and how many are under way afterwards.
    async fn schedule_environment(&self, name: &str, least: u32) -> Result<(usize, usize), Status> {
        let mut runs = self.runs_of(name);
        let now = self.world.now();
        let over: Vec<String> =
            runs.iter().filter(|(_, end)| **end <= now).map(|(run, _)| run.clone()).collect();
        for run in over {
            self.tables.delete(RUNS, item([("environment", string(name)), ("run", string(&run))])).await?;
            self.world.record().count("runs-ended", 1);
            runs.remove(&run);
            self.keep_runs(name, &runs);
        }
        let found = self.tables.some_of(RUNS, name, LOOKED_AT, false).await?;
        let Some(group) = self.groups.find(&Context::default(), name).await? else { return Ok((0, 0)) };
        let settings = self.settings.get();
        // Without its scheduler, the first of its tasks, an environment starts nothing.
        let places = (group.members.saturating_sub(1) * settings.runs_a_worker) as usize;
        let queued = found.iter().filter_map(|row| text(row, "run"));
        let mut waiting: Vec<&str> = queued.filter(|run| !runs.contains_key(*run)).collect();
        let starts = places.saturating_sub(runs.len()).min(waiting.len());
        for run in waiting.drain(..starts) {
            let length = {
                let mut luck = self.luck.lock().unwrap_or_else(PoisonError::into_inner);
                draw(&settings.run_time, &mut luck)
            };
            runs.insert(run.to_owned(), now + length);
        }
        self.keep_runs(name, &runs);
        let needed = (waiting.len() + runs.len()).div_ceil(settings.runs_a_worker as usize) as u32;
        let desired = 1 + needed.clamp(least, settings.most_workers.max(least));
        if desired != group.desired {
            self.groups.wish(&Context::default(), name, desired).await?;
        }
        Ok((waiting.len(), runs.len()))
    }

    fn runs_of(&self, environment: &str) -> BTreeMap<String, Moment> {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.get(environment).cloned().unwrap_or_default()
    }

    fn keep_runs(&self, environment: &str, runs: &BTreeMap<String, Moment>) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.insert(environment.to_owned(), runs.clone());
    }
}
