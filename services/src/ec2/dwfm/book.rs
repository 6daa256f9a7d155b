//! What a host knows of its droplets: leases, room, and changes that wait. No time and no waiting in here.

use std::collections::{BTreeMap, BTreeSet};

use eastfall_topology::Moment;

use super::Local;
use crate::ec2::store::Alteration;

/// A host's droplets.
#[derive(Debug)]
pub(super) struct Book {
    /// The end of each droplet's lease; the start of time for none.
    until: Vec<Moment>,
    /// Instances on each droplet, as far as the host knows.
    used: Vec<u32>,
    /// Droplets that had a lease when last seen, the emptiest first.
    candidates: BTreeSet<(u32, Local)>,
    /// Whether a droplet is among these: asked with every renewal.
    listed: Vec<bool>,
    /// What is to be done on a droplet as soon as it has a lease, in that order.
    changes: BTreeMap<Local, Vec<Alteration>>,
    /// How many these are: asked for with every request.
    waiting: usize,
    /// Groups whose check waits or is under way.
    checking: BTreeSet<u32>,
}

impl Book {
    pub(super) fn new(droplets: u32) -> Book {
        let count = droplets as usize;
        Book {
            until: vec![Moment::START; count],
            used: vec![0; count],
            candidates: BTreeSet::new(),
            listed: vec![false; count],
            changes: BTreeMap::new(),
            waiting: 0,
            checking: BTreeSet::new(),
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.until.len() as u32
    }

    // === Leases ===

    pub(super) fn has_lease(&self, local: Local, now: Moment) -> bool {
        self.until.get(local as usize).is_some_and(|until| *until > now)
    }

    pub(super) fn extend(&mut self, local: Local, until: Moment) {
        if let Some(known) = self.until.get_mut(local as usize) {
            *known = until;
            if !std::mem::replace(&mut self.listed[local as usize], true) {
                self.candidates.insert((self.used[local as usize], local));
            }
        }
    }

    pub(super) fn extend_all(&mut self, until: Moment) {
        (0..self.len()).for_each(|local| self.extend(local, until));
    }

    /// The droplet itself says that it has no lease.
    pub(super) fn forget(&mut self, local: Local) {
        if let Some(known) = self.until.get_mut(local as usize) {
            *known = Moment::START;
        }
    }

    /// Those of a range that have a lease.
    pub(super) fn leased(&self, range: std::ops::Range<Local>, now: Moment) -> Vec<Local> {
        range.filter(|&local| self.has_lease(local, now)).collect()
    }

    /// Notes that a group's check begins; false if the one before has not ended.
    pub(super) fn check_begins(&mut self, group: u32) -> bool {
        self.checking.insert(group)
    }

    pub(super) fn check_ended(&mut self, group: u32) {
        self.checking.remove(&group);
    }

    // === Room ===

    /// Takes a place on the emptiest droplet that has a lease; none if there is no room.
    pub(super) fn take_place(&mut self, now: Moment, slots: u32) -> Option<Local> {
        while let Some(&(used, local)) = self.candidates.first() {
            if !self.has_lease(local, now) {
                self.candidates.pop_first();
                self.listed[local as usize] = false;
                continue;
            }
            if used >= slots {
                return None;
            }
            self.set_used(local, used + 1);
            return Some(local);
        }
        None
    }

    /// Gives a place back.
    pub(super) fn free_place(&mut self, local: Local) {
        let used = self.used[local as usize].saturating_sub(1);
        self.set_used(local, used);
    }

    /// What a droplet says it runs.
    pub(super) fn set_used(&mut self, local: Local, used: u32) {
        let Some(known) = self.used.get_mut(local as usize) else { return };
        let before = std::mem::replace(known, used);
        if before != used && self.listed[local as usize] {
            self.candidates.remove(&(before, local));
            self.candidates.insert((used, local));
        }
    }

    // === Changes ===

    pub(super) fn add_change(&mut self, local: Local, change: Alteration) {
        let waiting = self.changes.entry(local).or_default();
        if !waiting.contains(&change) {
            waiting.push(change);
            self.waiting += 1;
        }
    }

    /// The changes that wait for a droplet's lease, no longer waiting.
    pub(super) fn take_changes(&mut self, local: Local) -> Vec<Alteration> {
        let changes = self.changes.remove(&local).unwrap_or_default();
        self.waiting -= changes.len();
        changes
    }

    /// How many changes wait.
    pub(super) fn changes(&self) -> usize {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eastfall_topology::Span;

    fn at(seconds: u64) -> Moment {
        Moment::START + Span::from_secs(seconds)
    }

    #[test]
    fn places_are_taken_on_the_emptiest_leased_droplet_until_all_are_full() {
        let mut book = Book::new(3);
        book.extend(0, at(100));
        book.extend(2, at(100));
        let taken: Vec<_> = (0..5).map(|_| book.take_place(at(1), 2)).collect();
        assert_eq!(taken, [Some(0), Some(2), Some(0), Some(2), None], "droplet 1 has no lease");
        book.free_place(2);
        assert_eq!(book.take_place(at(1), 2), Some(2), "its place is free again");
    }

    #[test]
    fn a_lease_that_has_ended_gives_no_place_and_a_new_one_does() {
        let mut book = Book::new(1);
        book.extend(0, at(10));
        assert_eq!(book.take_place(at(10), 4), None, "ended at that moment");
        book.extend(0, at(20));
        assert_eq!(book.take_place(at(11), 4), Some(0));
    }

    #[test]
    fn a_change_waits_once() {
        let mut book = Book::new(1);
        let end = || Alteration::Terminate { instance: "i-1".to_owned() };
        let change = Alteration::Modify { instance: "i-1".to_owned(), asked: at(1) };
        book.add_change(0, change.clone());
        book.add_change(0, end());
        book.add_change(0, end());
        assert_eq!(book.changes(), 2, "asked twice, to be done once");
        assert_eq!(book.take_changes(0), [change, end()], "in that order");
        assert_eq!(book.changes(), 0);
    }
}
