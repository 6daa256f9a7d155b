//! Throttling by partition: what one partition may read and write in a second.
//!
//! A request is let in while there is credit and charged what it turns out to cost, so the credit may become negative:
//! a large request waits for nobody but makes those after it wait.

use std::collections::BTreeMap;

use eastfall_topology::time::{Moment, Span};

/// Credit that grows with time up to a limit.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    credit: f64,
    as_of: Moment,
}

/// What a partition may do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Read units a second; one is 4 KiB read consistently, or 8 KiB otherwise.
    pub reads: f64,
    /// Write units a second; one is 1 KiB.
    pub writes: f64,
    /// How long unused capacity is kept for a burst.
    pub burst: Span,
}

/// Which of the two credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Read units.
    Read,
    /// Write units.
    Write,
}

/// The credits of a node's partitions.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    buckets: BTreeMap<(Unit, u32), Bucket>,
}

impl Limits {
    fn rate(&self, unit: Unit) -> f64 {
        match unit {
            Unit::Read => self.reads,
            Unit::Write => self.writes,
        }
    }
}

impl Throttle {
    /// True if a partition has credit. A partition that was never used has all of it.
    pub fn admits(&mut self, limits: &Limits, unit: Unit, partition: u32, now: Moment) -> bool {
        self.bucket(limits, unit, partition, now).credit > 0.0
    }

    /// Charges what a request cost.
    pub fn charge(&mut self, limits: &Limits, unit: Unit, partition: u32, now: Moment, cost: f64) {
        self.bucket(limits, unit, partition, now).credit -= cost;
    }

    fn bucket(&mut self, limits: &Limits, unit: Unit, partition: u32, now: Moment) -> &mut Bucket {
        let rate = limits.rate(unit);
        // A burst shorter than a second would throttle a steady load at its own rate.
        let most = rate * limits.burst.as_secs_f64().max(1.0);
        let bucket = self.buckets.entry((unit, partition)).or_insert(Bucket { credit: most, as_of: now });
        bucket.credit = (bucket.credit + rate * now.since(bucket.as_of).as_secs_f64()).min(most);
        bucket.as_of = now;
        bucket
    }
}

/// Read units of so many bytes.
pub fn read_cost(bytes: usize, consistent: bool) -> f64 {
    let units = bytes.div_ceil(4096).max(1) as f64;
    if consistent { units } else { units / 2.0 }
}

/// Write units of so many bytes.
pub fn write_cost(bytes: usize) -> f64 {
    bytes.div_ceil(1024).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_burst_a_partition_does_its_rate() {
        let limits = Limits { reads: 10.0, writes: 5.0, burst: Span::from_secs(3) };
        let mut throttle = Throttle::default();
        let mut served = 0;
        // 100 requests a second for ten seconds.
        for tick in 0..1000 {
            let now = Moment::START + Span::from_millis(10) * tick;
            if throttle.admits(&limits, Unit::Write, 1, now) {
                throttle.charge(&limits, Unit::Write, 1, now, 1.0);
                served += 1;
            }
        }
        let expected = 5 * 3 + 5 * 10;
        assert!((expected - 1..=expected + 1).contains(&served), "{served} served, {expected} expected");
        let now = Moment::START + Span::from_secs(10);
        assert!(throttle.admits(&limits, Unit::Write, 2, now), "another partition has its own credit");
        assert!(throttle.admits(&limits, Unit::Read, 1, now), "reads have their own credit");
    }

    #[test]
    fn costs_are_rounded_up_to_whole_units() {
        assert_eq!((read_cost(0, true), read_cost(4096, true), read_cost(4097, false)), (1.0, 1.0, 1.0));
        assert_eq!((write_cost(1), write_cost(1024), write_cost(1025)), (1.0, 1.0, 2.0));
    }
}
