//! Arrivals of a Poisson process whose rate changes over the day, by thinning (Lewis and Shedler 1979), which is exact:
//! candidates come at the peak rate, and each is kept with the probability that the rate at its moment bears to the
//! peak.

use eastfall_fabric::rng::Rng;
use eastfall_topology::{Moment, Span};
use rand::RngExt as _;
use rand_distr::{Distribution as _, Exp1};

use super::LOOK_AGAIN;

/// The next thing to wait for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Candidate {
    /// A request is to be sent.
    Arrival(Moment),
    /// None: a candidate that was not kept, or none for so long that the rate should be looked at again.
    Nothing(Moment),
}

impl Candidate {
    pub(crate) fn moment(self) -> Moment {
        match self {
            Candidate::Arrival(moment) | Candidate::Nothing(moment) => moment,
        }
    }
}

/// The next candidate after `now`. `peak` is the highest rate (a second), `rate` the rate where the factor is 1.
///
/// Having waited in vain says nothing about what comes (the process has no memory), so stopping to look at a changed
/// rate and drawing again is exact too.
pub(crate) fn next_candidate(
    rng: &mut Rng,
    now: Moment,
    peak: f64,
    factor: impl Fn(Moment) -> f64,
    rate: f64,
) -> Candidate {
    let unit: f64 = Exp1.sample(rng);
    let keep = rng.random::<f64>();
    // At a peak of zero this is longer than any run.
    let gap = Span::from_secs_f64(unit / peak);
    if gap > LOOK_AGAIN {
        return Candidate::Nothing(now + LOOK_AGAIN);
    }
    let moment = now + gap;
    if keep * peak < rate * factor(moment) { Candidate::Arrival(moment) } else { Candidate::Nothing(moment) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eastfall_fabric::rng::stream;

    fn arrivals(peak: f64, rate: f64, until: Moment, factor: impl Fn(Moment) -> f64) -> Vec<Moment> {
        let mut rng = stream(7, "arrivals");
        let (mut now, mut all) = (Moment::START, Vec::new());
        while now < until {
            let candidate = next_candidate(&mut rng, now, peak, &factor, rate);
            now = candidate.moment();
            if let Candidate::Arrival(moment) = candidate {
                all.push(moment);
            }
        }
        all
    }

    #[test]
    fn a_steady_rate_has_exponential_gaps() {
        let all = arrivals(50.0, 50.0, Moment::START + Span::from_secs(4_000), |_| 1.0);
        let count = all.len() as f64;
        assert!((count / 200_000.0 - 1.0).abs() < 0.01, "{count} arrivals instead of 200,000");
        let gaps: Vec<f64> = all.windows(2).map(|pair| pair[1].since(pair[0]).as_secs_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!(
            (variance.sqrt() / mean - 1.0).abs() < 0.01,
            "of an exponential, deviation and mean are equal"
        );
    }

    #[test]
    fn a_changing_rate_is_followed() {
        // From 0 up to 100 a second within an hour: a quarter of all arrivals fall in the first half.
        let hour = Span::from_mins(60);
        let ramp = |moment: Moment| moment.since_start().as_secs_f64() / 3600.0;
        let all = arrivals(100.0, 100.0, Moment::START + hour, ramp);
        let first_half = all.iter().filter(|moment| **moment < Moment::START + hour / 2).count() as f64;
        assert!(
            (all.len() as f64 / 180_000.0 - 1.0).abs() < 0.01,
            "{} arrivals instead of 180,000",
            all.len()
        );
        assert!((first_half / all.len() as f64 - 0.25).abs() < 0.005, "{first_half} of {}", all.len());
    }

    #[test]
    fn looking_again_loses_nothing_of_a_slow_rate() {
        // One in 20 s, looked at every 10 s.
        let all = arrivals(0.05, 0.05, Moment::START + Span::from_secs(1_000_000), |_| 1.0);
        assert!((all.len() as f64 / 50_000.0 - 1.0).abs() < 0.02, "{} arrivals instead of 50,000", all.len());
    }

    #[test]
    fn without_a_rate_nobody_comes() {
        assert_eq!(arrivals(0.0, 0.0, Moment::START + Span::from_secs(1000), |_| 0.0), []);
    }
}
