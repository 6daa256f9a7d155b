//! What the droplets of a zone know of themselves: leases, what runs, and who can be reached. No waiting in here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use eastfall_topology::Moment;
use foldhash::fast::FixedState;
use indexmap::IndexMap;

/// An instance that runs.
pub(super) struct Running {
    pub(super) droplet: u32,
    /// Bit N: path number N of the network knows the way to it.
    pub(super) paths: u64,
}

/// What the droplets know of themselves.
pub(super) struct State {
    /// The end of each one's lease; the start of time for none.
    pub(super) until: Vec<Moment>,
    /// How many instances each one runs.
    pub(super) used: Vec<u32>,
    /// Looked up for every packet.
    pub(super) running: IndexMap<String, Running, FixedState>,
    pub(super) leased: usize,
    /// Ends of leases to come, each with the droplets it may be the end for.
    pub(super) expiries: BinaryHeap<Reverse<(Moment, Vec<u32>)>>,
}

impl State {
    pub(super) fn new(count: usize) -> State {
        State {
            until: vec![Moment::START; count],
            used: vec![0; count],
            running: IndexMap::default(),
            leased: 0,
            expiries: BinaryHeap::new(),
        }
    }

    pub(super) fn is_leased(&self, droplet: u32, now: Moment) -> bool {
        self.until.get(droplet as usize).is_some_and(|until| *until > now)
    }

    /// Gives leases a new end.
    pub(super) fn extend(&mut self, droplets: Vec<u32>, now: Moment, until: Moment) {
        for &droplet in &droplets {
            self.leased += usize::from(!self.is_leased(droplet, now));
            self.until[droplet as usize] = until;
        }
        self.expiries.push(Reverse((until, droplets)));
    }

    /// The droplets whose lease has ended by now.
    pub(super) fn expired(&mut self, now: Moment) -> Vec<u32> {
        let mut lost = Vec::new();
        while self.expiries.peek().is_some_and(|Reverse((until, _))| *until <= now) {
            let Some(Reverse((due, droplets))) = self.expiries.pop() else { break };
            // Those that were extended since have another entry.
            lost.extend(droplets.into_iter().filter(|&droplet| self.until[droplet as usize] == due));
        }
        for &droplet in &lost {
            self.until[droplet as usize] = Moment::START;
        }
        self.leased -= lost.len();
        lost
    }

    /// An instance runs on a droplet. Told twice, it runs once.
    pub(super) fn put(&mut self, droplet: u32, instance: String, paths: u64) {
        if let Some(used) = self.used.get_mut(droplet as usize)
            && !self.running.contains_key(&instance)
        {
            *used += 1;
            self.running.insert(instance, Running { droplet, paths });
        }
    }

    /// It no longer does.
    pub(super) fn take(&mut self, droplet: u32, instance: &str) {
        if self.runs_on(droplet, instance) {
            self.running.swap_remove(instance);
            self.used[droplet as usize] -= 1;
        }
    }

    pub(super) fn runs_on(&self, droplet: u32, instance: &str) -> bool {
        self.running.get(instance).is_some_and(|running| running.droplet == droplet)
    }

    /// Whether a packet gets to an instance on a path.
    pub(super) fn is_delivered(&self, instance: &str, path: u32) -> bool {
        self.running.get(instance).is_some_and(|running| running.paths >> path & 1 == 1)
    }
}
