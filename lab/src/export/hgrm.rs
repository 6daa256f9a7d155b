//! `.hgrm`: the percentile table that HdrHistogram's plotter and `hdr-plot` read. The crate has no writer for it.
//!
//! Laid out as the reference implementation does (Java, `outputPercentileDistribution`): five steps for each halving of the
//! distance to 100 %, and a footer in brackets.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

/// Steps for each halving of the distance to 100 %; what the reference implementation uses.
const STEPS_PER_HALVING: u32 = 5;

/// Histograms are in microseconds, plotters expect milliseconds.
const MICROS_PER_MILLI: f64 = 1_000.0;

/// The percentile table of a histogram of microseconds, in milliseconds.
pub fn percentile_table(histogram: &Histogram<u64>) -> String {
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut total = 0;
    for step in histogram.iter_quantiles(STEPS_PER_HALVING) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / MICROS_PER_MILLI;
        let quantile = step.quantile_iterated_to();
        // Writing to a String does not fail.
        let _ = write!(text, "{value:>12.3} {quantile:.12} {total:>10}");
        if quantile < 1.0 {
            let _ = write!(text, " {:>14.2}", 1.0 / (1.0 - quantile));
        }
        text.push('\n');
    }
    let (mean, deviation) = (histogram.mean() / MICROS_PER_MILLI, histogram.stdev() / MICROS_PER_MILLI);
    let _ = writeln!(text, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]");
    let longest = histogram.max() as f64 / MICROS_PER_MILLI;
    let _ = writeln!(text, "#[Max     = {longest:>12.3}, Total count    = {:>12}]", histogram.len());
    // Half of a bucket's slots are those of the bucket below, except in the first.
    let slots = 2_usize.pow((2.0 * 10_f64.powi(i32::from(histogram.sigfig()))).log2().ceil() as u32);
    let buckets = histogram.buckets();
    let _ = writeln!(text, "#[Buckets = {buckets:>12}, SubBuckets     = {slots:>12}]");
    text
}
