//! The checkers of a zone: whose turn it is, and who has time. No waiting in here.
//!
//! Checks are cheap to make and there are thousands, so they are made in rounds: what is due is asked about in one go, and
//! how long each check holds a checker is worked out afterwards, to the nanosecond. A check that gets no answer holds its
//! checker for the whole time-out: this is how a few unreachable targets keep all the others waiting.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use eastfall_topology::{Moment, Span};

/// What a checker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    /// The check of a target or node, by its number.
    Check(u64),
    /// What a change of a verdict makes: it is looked at again, written down and told.
    Change,
}

/// Checkers and what waits for them.
#[derive(Debug)]
pub(super) struct Checkers {
    /// Since when, or from when on, each one is free.
    free: BinaryHeap<Reverse<Moment>>,
    /// Who is to be checked when.
    schedule: BinaryHeap<Reverse<(Moment, u64)>>,
    /// What is due and waits for a checker, since when.
    waiting: VecDeque<(Moment, Work)>,
}

impl Checkers {
    pub(super) fn new() -> Checkers {
        Checkers { free: BinaryHeap::new(), schedule: BinaryHeap::new(), waiting: VecDeque::new() }
    }

    /// Has so many checkers from now on.
    pub(super) fn set_count(&mut self, count: u32, now: Moment) {
        while self.free.len() < count as usize {
            self.free.push(Reverse(now));
        }
        while self.free.len() > count.max(1) as usize {
            self.free.pop();
        }
    }

    /// Has a target checked at a moment.
    pub(super) fn schedule(&mut self, at: Moment, target: u64) {
        self.schedule.push(Reverse((at, target)));
    }

    /// Adds what a change of a verdict makes to do.
    pub(super) fn add_change(&mut self, now: Moment) {
        self.waiting.push_back((now, Work::Change));
    }

    /// How much waits.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// For how long the first in line has waited.
    pub(super) fn lateness(&self, now: Moment) -> Span {
        self.waiting.front().map_or(Span::ZERO, |(due, _)| now.since(*due))
    }

    /// Takes the work that can be begun by now, at most: as much as free checkers could do if it took each piece no
    /// longer than `shortest`. What turns out not to fit is to be given back.
    pub(super) fn take(&mut self, now: Moment, since: Moment, shortest: Span) -> Vec<(Moment, Work)> {
        while let Some(Reverse((due, target))) =
            self.schedule.peek().copied().filter(|Reverse((due, _))| *due <= now)
        {
            self.schedule.pop();
            self.waiting.push_back((due, Work::Check(target)));
        }
        let free = self.free.iter().filter(|Reverse(free)| *free <= now).count();
        let each = now.since(since).as_nanos() / shortest.as_nanos().max(1) + 2;
        let most = free.saturating_mul(usize::try_from(each).unwrap_or(usize::MAX));
        self.waiting.drain(..most.min(self.waiting.len())).collect()
    }

    /// Gives the next piece of work to the checker that is free first: when it begins; none if nobody is free by now.
    pub(super) fn begin(&mut self, due: Moment, takes: Span, now: Moment) -> Option<Moment> {
        let Reverse(free) = self.free.peek().copied().filter(|Reverse(free)| *free <= now)?;
        let begins = free.max(due);
        self.free.pop();
        self.free.push(Reverse(begins + takes));
        Some(begins)
    }

    /// Gives back what was taken and could not be begun, in its order.
    pub(super) fn give_back(&mut self, work: impl DoubleEndedIterator<Item = (Moment, Work)>) {
        work.rev().for_each(|piece| self.waiting.push_front(piece));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::START + Span::from_secs(seconds)
    }

    #[test]
    fn an_unanswered_check_keeps_the_next_one_waiting() {
        let mut checkers = Checkers::new();
        checkers.set_count(1, at(0));
        (1..=3).for_each(|target| checkers.schedule(at(target), target));
        let work = checkers.take(at(4), at(0), Span::from_secs(1));
        assert_eq!(work.len(), 3, "all three are due");
        assert_eq!(
            checkers.begin(at(1), Span::from_secs(10), at(4)),
            Some(at(1)),
            "the first gets no answer"
        );
        assert_eq!(checkers.begin(at(2), Span::from_secs(1), at(4)), None, "its checker waits until 11");
        checkers.give_back(work.into_iter().skip(1));
        assert_eq!((checkers.waiting(), checkers.lateness(at(9))), (2, Span::from_secs(7)));
        assert_eq!(checkers.take(at(10), at(9), Span::from_secs(1)), [], "nobody is free");
        assert_eq!(checkers.take(at(11), at(10), Span::from_secs(1))[0], (at(2), Work::Check(2)), "in order");
    }
}
