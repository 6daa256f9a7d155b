//! Draws spans from the distributions that a topology names.

use eastfall_topology::Distribution;
use eastfall_topology::time::Span;
use rand::RngExt as _;
use rand_distr::{Distribution as _, Exp1, StandardNormal};

use crate::rng::Rng;

/// One draw.
pub fn draw(distribution: &Distribution, rng: &mut Rng) -> Span {
    match *distribution {
        Distribution::Constant { value } => value,
        Distribution::Exponential { mean } => {
            let unit: f64 = Exp1.sample(rng);
            mean.mul_f64(unit)
        }
        Distribution::Uniform { low, high } => low + (high - low).mul_f64(rng.random::<f64>()),
        Distribution::LogNormal { median, sigma } => {
            let normal: f64 = StandardNormal.sample(rng);
            median.mul_f64((sigma * normal).exp())
        }
        // The inverse of the distribution function, with the uniform draw in (0, 1].
        Distribution::Pareto { minimum, alpha } => {
            minimum.mul_f64((1.0 - rng.random::<f64>()).powf(-1.0 / alpha))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;

    #[test]
    fn draws_have_the_mean_that_the_topology_states() {
        let millis = Span::from_millis;
        for distribution in [
            Distribution::Constant { value: millis(7) },
            Distribution::Exponential { mean: millis(3) },
            Distribution::Uniform { low: millis(1), high: millis(5) },
            Distribution::LogNormal { median: millis(2), sigma: 0.5 },
            Distribution::Pareto { minimum: millis(1), alpha: 3.5 },
        ] {
            let mut rng = stream(1, "draws");
            let draws = 400_000;
            let sum: f64 = (0..draws).map(|_| draw(&distribution, &mut rng).as_secs_f64()).sum();
            let (mean, stated) = (sum / f64::from(draws), distribution.mean().as_secs_f64());
            assert!((mean / stated - 1.0).abs() < 0.01, "{distribution:?}: mean {mean} against {stated}");
        }
    }
}
