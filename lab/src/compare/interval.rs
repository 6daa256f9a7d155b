//! What a few seeds can say of all: medians with intervals, and differences that are more than noise.
//!
//! No shape of distribution is assumed, because outcomes near a threshold have none: some seeds recover within minutes,
//! others never, which counts as an infinite time here. The interval of a median is the one between order statistics: of
//! *n* values the *k*-th smallest and the *k*-th largest enclose the true median unless fewer than *k* values fall on one
//! side of it, and how many do is binomial (Conover, *Practical Nonparametric Statistics*, 3.2). So its level holds for
//! every distribution, and is at least 95 %, more often 96 or 97, since *k* is whole. It takes six values; five have
//! 93.75 % at most.
//!
//! Two variants are compared by the differences of runs with the same seed, in the same way: if the interval of their
//! median encloses zero, the difference is within noise. With every value on one side this is the sign test, so that it
//! also judges seeds that recover in one variant and never in the other.

/// The level of all intervals: how often at least they enclose the true median.
pub(super) const LEVEL: f64 = 0.95;

/// A median and the interval around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Median {
    /// The median; between two middle values their mean.
    pub(super) value: f64,
    /// Both ends of the interval; nothing if there are too few values.
    pub(super) interval: Option<[f64; 2]>,
}

/// The median of values, infinite ones included; nothing of nothing.
pub(super) fn median(values: &[f64]) -> Option<Median> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (count, last) = (sorted.len(), sorted.len().checked_sub(1)?);
    let [below, above] = [sorted[last / 2], sorted[count / 2]];
    let value = match (below + above) / 2.0 {
        // Between minus and plus infinity nothing is in the middle: half of all seeds go one way, half the other.
        middle if middle.is_nan() => 0.0,
        _ if below == above => below,
        middle => middle,
    };
    let interval = rank(count).map(|rank| [sorted[rank - 1], sorted[count - rank]]);
    Some(Median { value, interval })
}

/// The largest k for which the k-th smallest and the k-th largest of so many values enclose the median often enough.
fn rank(count: usize) -> Option<usize> {
    // The chance that exactly `below` of them fall below the median, and that so many or fewer do.
    let mut chance = 0.5_f64.powi(i32::try_from(count).ok()?);
    let (mut at_most, mut rank) = (0.0, None);
    for below in 0..count.div_ceil(2) {
        at_most += chance;
        if 1.0 - 2.0 * at_most < LEVEL {
            break;
        }
        rank = Some(below + 1);
        chance *= (count - below) as f64 / (below + 1) as f64;
    }
    rank
}

/// By how much each value is larger than the other of its seed. Two infinite ones don't differ.
pub(super) fn differences(values: &[(u64, f64)], others: &[(u64, f64)]) -> Vec<f64> {
    let other = |seed: u64| others.iter().find(|(of, _)| *of == seed).map(|(_, value)| *value);
    let pairs = values.iter().filter_map(|(seed, value)| Some((*value, other(*seed)?)));
    pairs.map(|(value, other)| if value == other { 0.0 } else { value - other }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use eastfall_fabric::rng::stream;
    use rand::RngExt as _;

    const NEVER: f64 = f64::INFINITY;

    #[test]
    fn ranks_are_those_of_the_tables() {
        // Conover, table A3: n and the rank whose interval has at least 95 %.
        for (count, expected) in [
            (5, None),
            (6, Some(1)),
            (8, Some(1)),
            (9, Some(2)),
            (12, Some(3)),
            (20, Some(6)),
            (100, Some(40)),
        ] {
            assert_eq!(rank(count), expected, "of {count}");
        }
        assert_eq!(rank(0), None);
        assert!(rank(1000).is_some_and(|rank| (460..475).contains(&rank)), "{:?}", rank(1000));
    }

    #[test]
    fn never_is_later_than_everything() {
        let of = |values: &[f64]| median(values).expect("some");
        assert_eq!(of(&[3.0, NEVER, 1.0]).value, 3.0);
        assert_eq!(of(&[NEVER, 1.0]).value, NEVER, "half of them never");
        assert_eq!(of(&[NEVER; 6]), Median { value: NEVER, interval: Some([NEVER, NEVER]) });
        let six = of(&[5.0, 1.0, 2.0, NEVER, 4.0, 3.0]);
        assert_eq!(six, Median { value: 3.5, interval: Some([1.0, NEVER]) });
        assert_eq!(of(&[-NEVER, NEVER]).value, 0.0);
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn differences_are_taken_seed_by_seed() {
        let values = [(1, 5.0), (2, NEVER), (3, NEVER), (4, 1.0)];
        let others = [(4, NEVER), (3, NEVER), (2, 7.0), (1, 3.0), (9, 0.0)];
        assert_eq!(differences(&values, &others), [2.0, NEVER, 0.0, -NEVER]);
    }

    #[test]
    fn the_interval_encloses_the_median_as_often_as_it_says() {
        let mut rng = stream(1, "coverage");
        // Skewed, and with a share that never recovers: the median of this distribution is ln(0.8 / 0.3).
        let truth = (0.8_f64 / 0.3).ln();
        for count in [6, 7, 10, 20, 41] {
            let rounds = 20_000;
            let enclosed = (0..rounds).filter(|_| {
                let values: Vec<f64> = (0..count)
                    .map(|_| {
                        let never = rng.random::<f64>() < 0.2;
                        let wait = -(1.0 - rng.random::<f64>()).ln();
                        if never { NEVER } else { wait }
                    })
                    .collect();
                let [low, high] = median(&values).and_then(|median| median.interval).expect("six or more");
                low <= truth && truth <= high
            });
            let share = enclosed.count() as f64 / f64::from(rounds);
            // Twenty thousand rounds have a standard deviation of 0.15 %.
            assert!((0.945..0.99).contains(&share), "{share} of intervals of {count} values");
        }
    }
}
