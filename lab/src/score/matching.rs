//! Which of a run's impact windows is which of the published ones.
//!
//! A run judges by the minute, people write down when something was bad on the whole. So where the published account has one
//! window the run may have several, with quiet minutes between them. They go together in three steps, per system:
//!
//! 1. Windows of the run that lie nearer than `join` are one.
//! 2. Each of them belongs to the published window that it overlaps most. All that belong to one published window are taken
//!    together: from the start of the first to the end of the last.
//! 3. A published window that got nothing takes, in order, the nearest one left over, if it is within `reach`.
//!
//! What is left over then has no published counterpart, and is told as such. One window of the run never stands for two
//! published ones: a system that did not recover between them has missed the second.

use super::Matching;

/// From and to, in minutes after the incident's start. An end that nobody published is infinitely far away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stretch {
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Stretch {
    /// For how long both last together; 0 or less: not at all.
    fn overlap(self, other: Stretch) -> f64 {
        self.to.min(other.to) - self.from.max(other.from)
    }

    /// The smallest stretch with both in it.
    fn with(self, other: Stretch) -> Stretch {
        Stretch { from: self.from.min(other.from), to: self.to.max(other.to) }
    }
}

/// The run's window for each published one, if there is one, and the windows that nothing published matches.
pub(super) fn matched(
    published: &[Stretch],
    run: &[Stretch],
    rules: Matching,
) -> (Vec<Option<Stretch>>, Vec<Stretch>) {
    let mut matches: Vec<Option<Stretch>> = vec![None; published.len()];
    let mut left = Vec::new();
    for window in joined(run, rules.join_min) {
        let overlaps = published.iter().map(|other| window.overlap(*other)).enumerate();
        // The first of several that overlap as long.
        let most = overlaps.fold(None, |most: Option<(usize, f64)>, (index, overlap)| match most {
            Some((_, longest)) if longest >= overlap => most,
            _ => Some((index, overlap)),
        });
        match most {
            Some((index, overlap)) if overlap > 0.0 => {
                matches[index] = Some(matches[index].map_or(window, |other| other.with(window)));
            }
            _ => left.push(window),
        }
    }
    for (index, own) in published.iter().enumerate() {
        if matches[index].is_some() {
            continue;
        }
        // In order: nothing before the match of the one before, nor behind that of the one after.
        let after = matches[..index].iter().flatten().map(|m| m.to).fold(f64::NEG_INFINITY, f64::max);
        let before = matches[index + 1..].iter().flatten().map(|m| m.from).fold(f64::INFINITY, f64::min);
        let candidates = left.iter().enumerate().filter(|(_, w)| w.from >= after && w.to <= before);
        let distances = candidates.map(|(place, window)| (place, -window.overlap(*own)));
        let nearest = distances.min_by(|(_, one), (_, other)| one.total_cmp(other));
        if let Some((place, _)) = nearest.filter(|(_, distance)| *distance <= rules.reach_min) {
            matches[index] = Some(left.remove(place));
        }
    }
    (matches, left)
}

/// Windows in order, those nearer than so many minutes as one.
fn joined(windows: &[Stretch], nearer_min: f64) -> Vec<Stretch> {
    let mut sorted = windows.to_vec();
    sorted.sort_by(|one, other| one.from.total_cmp(&other.from));
    let mut joined: Vec<Stretch> = Vec::new();
    for window in sorted {
        match joined.last_mut() {
            Some(last) if window.from - last.to < nearer_min => *last = last.with(window),
            _ => joined.push(window),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Matching = Matching { join_min: 15.0, reach_min: 120.0 };

    type Pair = (f64, f64);

    fn stretches(pairs: &[Pair]) -> Vec<Stretch> {
        pairs.iter().map(|&(from, to)| Stretch { from, to }).collect()
    }

    /// Matches and what is left over, as pairs.
    fn of(published: &[Pair], run: &[Pair]) -> (Vec<Option<Pair>>, Vec<Pair>) {
        let (matches, left) = matched(&stretches(published), &stretches(run), RULES);
        let pair = |window: Stretch| (window.from, window.to);
        (matches.into_iter().map(|m| m.map(pair)).collect(), left.into_iter().map(pair).collect())
    }

    #[test]
    fn a_window_in_pieces_is_one() {
        let pieces = [(0.0, 100.0), (105.0, 150.0), (400.0, 800.0)];
        assert_eq!(of(&[(3.0, 867.0)], &pieces), (vec![Some((0.0, 800.0))], vec![]));
    }

    #[test]
    fn two_published_windows_get_what_overlaps_them() {
        let published = [(8.0, 312.0), (436.0, 812.0)];
        let run = [(1.0, 170.0), (180.0, 290.0), (430.0, 500.0), (600.0, 820.0)];
        assert_eq!(of(&published, &run), (vec![Some((1.0, 290.0)), Some((430.0, 820.0))], vec![]));
    }

    #[test]
    fn a_system_that_did_not_recover_between_two_windows_misses_one() {
        let published = [(3.0, 91.0), (523.0, 611.0)];
        assert_eq!(of(&published, &[(2.0, 700.0)]), (vec![Some((2.0, 700.0)), None], vec![]));
    }

    #[test]
    fn a_window_that_just_misses_its_time_is_taken_and_one_far_off_is_not() {
        let published = [(3.0, 91.0), (523.0, 611.0)];
        let late = [(0.0, 90.0), (640.0, 700.0)];
        assert_eq!(of(&published, &late), (vec![Some((0.0, 90.0)), Some((640.0, 700.0))], vec![]));
        let far = [(0.0, 90.0), (900.0, 990.0)];
        assert_eq!(of(&published, &far), (vec![Some((0.0, 90.0)), None], vec![(900.0, 990.0)]));
    }

    #[test]
    fn an_end_that_nobody_published_is_no_obstacle() {
        let open = [(0.0, f64::INFINITY)];
        assert_eq!(of(&open, &[(5.0, 10.0), (300.0, 310.0)]), (vec![Some((5.0, 310.0))], vec![]));
    }

    proptest! {
        #[test]
        fn every_minute_of_the_run_is_accounted_for_once(
            published in prop::collection::vec((0.0..900.0f64, 1.0..300.0f64), 0..4),
            run in prop::collection::vec((0.0..1200.0f64, 1.0..200.0f64), 0..9),
        ) {
            let pairs = |raw: &[(f64, f64)]| raw.iter().map(|&(from, length)| (from, from + length)).collect::<Vec<_>>();
            let run = pairs(&run);
            let (matches, left) = of(&pairs(&published), &run);
            for (from, to) in run {
                let holds = |window: &(f64, f64)| window.0 <= from && to <= window.1;
                let held = matches.iter().flatten().filter(|w| holds(w)).count() + left.iter().filter(|w| holds(w)).count();
                prop_assert!(held >= 1, "{from} to {to} is in none of {matches:?} and {left:?}");
            }
        }
    }
}
