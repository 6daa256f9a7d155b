//! The workers and what they work on: establishing leases and checking droplets, from one queue.

use std::sync::Arc;

use eastfall_fabric::capacity::line::{Next, Ticket};
use eastfall_proto::network_manager::ChangeKind;
use eastfall_topology::{Moment, Span};
use tonic::Status;

use super::*;
use crate::ec2::store::Lease;

/// What waits for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// A lease is to be established.
    Establish { local: Local },
    /// The droplets of a group are to be checked.
    Check { group: u32 },
}

impl Host {
    /// Gives work to whoever is free. `free_from`: since when, exactly; the timer that says so may be late.
    pub(super) fn dispatch(self: &Arc<Self>, free_from: Moment) {
        loop {
            let mut state = self.state();
            if state.busy >= state.line.capacity().workers {
                return;
            }
            let (ticket, work, begins) = match state.line.next(free_from) {
                None => return,
                Some(Next::Begin { ticket, item, arrived, begins }) => {
                    self.recorder.waited(begins.since(arrived));
                    (ticket, item, begins)
                }
                Some(Next::Shed { ticket, item, why }) => {
                    self.shed(&mut state, ticket, item, why.into());
                    continue;
                }
            };
            let takes = self.time_of(&mut state, work);
            state.busy += 1;
            drop(state);
            let host = Arc::clone(self);
            self.world.spawn(async move {
                let done = begins + takes;
                host.world.clock().sleep_until(done).await;
                host.state().busy -= 1;
                host.dispatch(done);
                match work {
                    Work::Establish { local } => host.establish(ticket, local, takes).await,
                    Work::Check { group } => host.check(group).await,
                }
            });
        }
    }

    fn time_of(&self, state: &mut State, work: Work) -> Span {
        let instance = self.world.instance();
        let slow = self.world.region().faults.slow_factor(&instance.name, &instance.service);
        let time = match work {
            Work::Establish { .. } => state.line.service_time(None),
            Work::Check { group } => {
                let droplets = state.book.leased(self.group(group), self.world.now()).len();
                let one = self.settings.get().check_time;
                (0..droplets).fold(Span::ZERO, |sum, _| sum + state.line.service_time(Some(&one)))
            }
        };
        time.mul_f64(slow)
    }

    fn shed(&self, state: &mut State, ticket: Ticket, work: Work, why: Status) {
        match work {
            Work::Establish { .. } => {
                self.world.record().count(SHED, 1);
                if let Some(asker) = state.askers.swap_remove(&ticket) {
                    // Who has just given up needs no answer.
                    let _ = asker.send(Err(why));
                }
            }
            // Checks have no deadline; only CoDel drops one, and the next turn makes it again.
            Work::Check { group } => state.book.check_ended(group),
        }
    }

    /// The end of the work on an attempt. If its asker has given up, all of it was for nothing.
    async fn establish(&self, ticket: Ticket, local: Local, took: Span) {
        let lease = Lease { droplet: self.droplet(local), until: self.lease_end() };
        let awaited = self.state().askers.contains_key(&ticket);
        let written = if awaited { self.store.put_lease(&self.name, lease).await } else { Ok(()) };
        let asker = self.state().askers.swap_remove(&ticket);
        let record = self.world.record();
        let answer = written.map(|()| lease.until).map_err(|status| {
            record.count(STORE_FAILED, 1);
            Status::unavailable(format!("the lease can't be written: {}", status.message()))
        });
        let useful = answer.is_ok();
        if asker.is_none_or(|asker| asker.send(answer).is_err()) {
            record.count(VOID, 1);
            self.recorder.wasted(Some(&self.droplets), took);
        } else if useful {
            record.count(ESTABLISHED, 1);
            self.state().book.extend(local, lease.until);
            self.announce(lease.droplet).await;
            self.apply_changes(local).await;
        }
    }

    /// A droplet that was without a lease comes back: the network is told anew what is on it.
    async fn announce(&self, droplet: u32) {
        if self.settings.get().announce {
            // Only a disk that can't be written fails this, and then the network knows the droplet as it was before.
            let _ = self.network.tell(&format!("droplet-{droplet}"), ChangeKind::Modified).await;
        }
    }
}
