//! State checks: droplet by droplet in groups of 25, spread over the period, each a batch write to the store and a call
//! to the agents. A check that can't be written renews nothing.

use std::sync::Arc;

use eastfall_proto::ec2::{CheckDropletsRequest, droplets_api};
use eastfall_topology::{Moment, Span};

use super::workers::Work;
use super::*;
use crate::ec2::store::{BATCH, Lease};

impl Host {
    /// The droplets of a group.
    pub(super) fn group(&self, group: u32) -> std::ops::Range<Local> {
        let size = BATCH as u32;
        let end = self.layout.owned_by(self.number);
        (group * size).min(end)..((group + 1) * size).min(end)
    }

    /// Learns from the store what a host of before knew, then has every group's turn come once a period.
    pub(super) async fn keep_checking(self: Arc<Self>) {
        let clock = self.world.clock();
        clock.sleep_until(Moment::START + self.settings.get().start_delay).await;
        self.store.prepare(&self.world).await;
        self.load().await;
        let host = Arc::clone(&self);
        self.world.spawn(async move { host.keep_beating().await });
        let groups = self.layout.owned_by(self.number).div_ceil(BATCH as u32).max(1);
        let mut next = clock.now();
        loop {
            for group in 0..groups {
                clock.sleep_until(next).await;
                next += self.settings.get().check_period / u64::from(groups);
                self.begin_check(group);
            }
        }
    }

    async fn keep_beating(&self) {
        loop {
            let reached = self.store.beat(&self.name, self.world.now()).await.is_ok();
            if std::mem::replace(&mut self.state().store_answers, reached) != reached {
                let reached = if reached { "yes" } else { "no" };
                self.world.record().event("dwfm.store", &[("reached", reached.to_owned())]);
            }
            self.world.sleep(self.settings.get().heartbeat).await;
        }
    }

    /// Puts the check of a group into the queue, unless there is nothing to check or the last one still waits. The
    /// queue's limit does not count: it keeps askers out, not the host's own work.
    fn begin_check(self: &Arc<Self>, group: u32) {
        let now = self.world.now();
        let mut state = self.state();
        if !state.book.leased(self.group(group), now).is_empty() && state.book.check_begins(group) {
            state.line.join_anyway(now, None, Work::Check { group });
            drop(state);
            self.dispatch(now);
        }
    }

    async fn load(&self) {
        loop {
            let (leases, changes) =
                (self.store.leases(&self.name).await, self.store.changes(&self.name).await);
            match (leases, changes) {
                (Ok(leases), Ok(changes)) => {
                    let mut state = self.state();
                    for Lease { droplet, until } in leases {
                        if let Some(local) = self.layout.local(self.number, droplet)
                            && !state.book.has_lease(local, until)
                        {
                            state.book.extend(local, until);
                        }
                    }
                    for change in changes {
                        if let Some(local) = self.layout.local(self.number, change.droplet) {
                            state.book.add_change(local, change.what);
                        }
                    }
                    return;
                }
                (Err(error), _) | (_, Err(error)) => {
                    let reason = error.message().to_owned();
                    self.world.record().event("dwfm.leases-not-loaded", &[("reason", reason)]);
                    self.world.sleep(Span::from_secs(5)).await;
                }
            }
        }
    }

    /// The work of checking a group is done: writes the leases down and tells the agents.
    pub(super) async fn check(&self, group: u32) {
        let now = self.world.now();
        let locals = self.state().book.leased(self.group(group), now);
        let until = self.lease_end();
        let renewed = if locals.is_empty() { Ok(Vec::new()) } else { self.renew(&locals, until).await };
        self.state().book.check_ended(group);
        let record = self.world.record();
        record.count(CHECKS, locals.len() as u64);
        match renewed {
            Err(_) => record.count(CHECKS_FAILED, locals.len() as u64),
            Ok(renewed) => {
                record.count(CHECKS_FAILED, (locals.len() - renewed.len()) as u64);
                for local in renewed {
                    self.apply_changes(local).await;
                }
            }
        }
    }

    async fn renew(&self, locals: &[Local], until: Moment) -> Result<Vec<Local>, Status> {
        let lease = |&local: &Local| Lease { droplet: self.droplet(local), until };
        let leases: Vec<Lease> = locals.iter().map(lease).collect();
        let unwritten = self.store.put_leases(&self.name, &leases).await?;
        let written = leases.iter().map(|lease| lease.droplet).filter(|droplet| !unwritten.contains(droplet));
        let droplets: Vec<u32> = written.collect();
        let request = CheckDropletsRequest { droplets: droplets.clone(), until: until.as_nanos() };
        let answer = self.agents.call(&droplets_api::CHECK_DROPLETS, request).await?.droplets;
        let mut state = self.state();
        let mut renewed = Vec::with_capacity(answer.len());
        for droplet in &answer {
            let local = self.local(droplet.droplet)?;
            state.book.extend(local, until);
            state.book.set_used(local, droplet.instances);
            renewed.push(local);
        }
        for droplet in droplets {
            let local = self.local(droplet)?;
            if !renewed.contains(&local) {
                state.book.forget(local);
            }
        }
        Ok(renewed)
    }
}
