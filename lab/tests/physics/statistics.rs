//! What was measured, how sure that is, and whether it is what the textbook says.

/// How many batches a run is cut into to see how much its mean varies.
const BATCHES: usize = 30;

/// A measured value and its standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    pub(crate) error: f64,
}

impl Estimate {
    /// A ratio of sums, each given by sampling interval. Neighbouring intervals have much in common (a queue that is long
    /// stays long), so the error is that of the means of long batches.
    pub(crate) fn ratio(samples: &[(f64, f64)]) -> Estimate {
        let sums = |samples: &[(f64, f64)]| {
            samples.iter().fold((0.0, 0.0), |(above, below), sample| (above + sample.0, below + sample.1))
        };
        let of = |(above, below): (f64, f64)| above / below;
        let batches = samples.chunks_exact((samples.len() / BATCHES).max(1));
        let means: Vec<f64> = batches.map(|batch| of(sums(batch))).collect();
        Estimate { value: of(sums(samples)), ..Estimate::mean(&means) }
    }

    /// The mean of independent values.
    pub(crate) fn mean(values: &[f64]) -> Estimate {
        let count = values.len() as f64;
        let value = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|each| (each - value).powi(2)).sum::<f64>() / (count - 1.0);
        Estimate { value, error: (variance / count).sqrt() }
    }

    /// Times a constant.
    pub(crate) fn times(self, factor: f64) -> Estimate {
        Estimate { value: self.value * factor, error: self.error * factor }
    }

    /// Is what is expected, within a relative tolerance; and could not have missed it by luck.
    pub(crate) fn is(self, case: &str, expected: f64, tolerance: f64) {
        let Estimate { value, error } = self;
        report(case, expected, value, Some(error), tolerance);
        let room = expected.abs() * tolerance;
        assert!(
            3.0 * error < room,
            "{case}: the run is too short to judge: {value} with an error of {error}"
        );
        assert!(
            (value - expected).abs() < room,
            "{case}: {value} (error {error}) where {expected} is expected"
        );
    }
}

/// A single value is what is expected, within a relative tolerance.
pub(crate) fn is(case: &str, value: f64, expected: f64, tolerance: f64) {
    report(case, expected, value, None, tolerance);
    let near = (value - expected).abs() < expected.abs() * tolerance;
    assert!(near, "{case}: {value} where {expected} is expected");
}

/// A count is what is expected, exactly.
pub(crate) fn is_exactly(case: &str, value: f64, expected: f64) {
    row(case, expected, value, "exact");
    assert!(value == expected, "{case}: {value} where {expected} is expected");
}

fn report(case: &str, expected: f64, value: f64, error: Option<f64>, tolerance: f64) {
    let percent = |part: f64| 100.0 * part / expected;
    let error = error.map_or(String::new(), |error| format!(", standard error {:.2} %", percent(error)));
    row(case, expected, value, &format!("{:.0} %{error}", 100.0 * tolerance));
}

/// A line of the table in `docs/physics.md`: `cargo test --workspace --test physics -- --nocapture`.
#[expect(
    clippy::print_stdout,
    reason = "what was measured is for people to see; tests capture it unless asked"
)]
pub(crate) fn row(case: &str, expected: f64, value: f64, tolerance: &str) {
    println!("| {case} | {expected:.5} | {value:.5} | {tolerance} |");
}
