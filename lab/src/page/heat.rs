//! Latencies over time, for the heat map: how many answered requests fell into each of a few dozen bins, by edge and by
//! system, with percentiles.
//!
//! Percentiles come from the histograms themselves (their error is 0.8 %, not a bin's width), over all requests
//! whatever their end. Those that failed have no place among the bins: a fast failure is not a fast answer. The page
//! shows them as rows of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use eastfall_fabric::record::{EdgeKey, Histograms, Interval, Layout, Measure};
use eastfall_topology::time::Moment;
use indexmap::IndexMap;
use serde::Serialize;

use super::columns::Number;

/// The upper end of the first bin, in microseconds.
const LOWEST_US: f64 = 100.0;

/// Bins a decade: each reaches 58 % further than the one below.
const PER_DECADE: f64 = 5.0;

/// From 0.1 ms to beyond a quarter of an hour; what is longer is in the last one.
const BINS: usize = 36;

/// The latencies of one edge or system in one interval.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HeatRow {
    /// Its start and end, in seconds since the start of the run.
    from: f64,
    to: f64,
    /// Answered requests, as pairs of a bin's number and a count.
    ok: Vec<(usize, u64)>,
    /// Requests that were not answered.
    failed: u64,
    /// 50th, 90th, 99th and 99.9th percentile of all requests, in milliseconds.
    percentiles: Vec<Number>,
}

/// What one interval of a log holds.
pub(crate) struct Whole {
    pub(crate) from: Moment,
    pub(crate) to: Moment,
    pub(crate) histograms: Histograms,
}

/// Latencies by edge (`caller->callee`) and by system (`system.NAME`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Heat {
    systems: Vec<(String, Vec<EdgeKey>)>,
    /// In the order in which they came; with the number of the interval, so that a page can ask for what is new.
    rows: Vec<(String, HeatRow)>,
}

impl Heat {
    /// Nothing yet, of a run laid out so.
    pub(crate) fn new(layout: &Layout) -> Heat {
        let systems = layout.systems().into_iter();
        Heat {
            systems: systems.map(|(name, edges)| (format!("system.{name}"), edges)).collect(),
            rows: Vec::new(),
        }
    }

    /// Of a run whose logs are on disk, by edge. What one log holds is large, so they are read one after the other. An edge
    /// counts for one system at most.
    ///
    /// # Errors
    /// If a log can't be read.
    pub(crate) fn read<E>(
        layout: &Layout,
        edges: &[EdgeKey],
        mut log: impl FnMut(&EdgeKey) -> Result<Vec<Whole>, E>,
    ) -> Result<Heat, E> {
        let mut heat = Heat::new(layout);
        let mut systems: BTreeMap<(&str, Moment, Moment), Histograms> = BTreeMap::new();
        for edge @ (caller, callee) in edges {
            let system = heat.systems.iter().find(|(_, parts)| parts.contains(edge));
            for Whole { from, to, histograms } in log(edge)? {
                heat.rows.push((format!("{caller}->{callee}"), HeatRow::of(from, to, &histograms)));
                if let Some((name, _)) = system {
                    systems.entry((name, from, to)).or_default().merge(&histograms);
                }
            }
        }
        let row = |((name, from, to), all): (&(&str, Moment, Moment), &Histograms)| {
            ((*name).to_owned(), HeatRow::of(*from, *to, all))
        };
        heat.rows.extend(systems.iter().map(row));
        heat.rows.sort_by(|(_, one), (_, other)| one.from.total_cmp(&other.from));
        Ok(heat)
    }

    /// Takes up intervals; those of one start together.
    pub(crate) fn add(&mut self, intervals: &[Interval]) {
        for together in intervals.chunk_by(|one, next| one.from == next.from) {
            let by_edge: IndexMap<EdgeKey, &Interval> = together
                .iter()
                .map(|one| ((Arc::clone(&one.caller), Arc::clone(&one.callee)), one))
                .collect();
            for ((caller, callee), one) in &by_edge {
                self.rows
                    .push((format!("{caller}->{callee}"), HeatRow::of(one.from, one.to, &one.histograms)));
            }
            for (name, edges) in &self.systems {
                let parts: Vec<_> = edges.iter().filter_map(|edge| by_edge.get(edge)).collect();
                if let Some(first) = parts.first() {
                    let mut all = Histograms::default();
                    parts.iter().for_each(|part| all.merge(&part.histograms));
                    self.rows.push((name.clone(), HeatRow::of(first.from, first.to, &all)));
                }
            }
        }
    }

    /// The rows from a number on.
    pub(crate) fn since(&self, row: usize) -> &[(String, HeatRow)] {
        &self.rows[row.min(self.rows.len())..]
    }

    /// Every second interval merged away, as often as it takes to have at most so many of each. Percentiles of merged
    /// intervals are not to be had from these numbers, so the later one's are kept.
    pub(crate) fn thinned(mut self, most: usize) -> Heat {
        let longest = |rows: &[(String, HeatRow)]| {
            let mut counts: IndexMap<&str, usize> = IndexMap::new();
            rows.iter().for_each(|(name, _)| *counts.entry(name).or_default() += 1);
            counts.values().copied().max().unwrap_or(0)
        };
        while longest(&self.rows) > most.max(1) {
            let mut waiting: IndexMap<String, HeatRow> = IndexMap::new();
            let mut merged = Vec::with_capacity(self.rows.len() / 2 + 1);
            for (name, row) in std::mem::take(&mut self.rows) {
                match waiting.shift_remove(&name) {
                    Some(before) => merged.push((name, before.with(row))),
                    None => {
                        waiting.insert(name, row);
                    }
                }
            }
            merged.extend(waiting);
            self.rows = merged;
        }
        self
    }
}

impl Serialize for Heat {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rows.serialize(serializer)
    }
}

impl HeatRow {
    fn of(from: Moment, to: Moment, histograms: &Histograms) -> HeatRow {
        let mut bins = [0_u64; BINS];
        if let Some(answered) = histograms.get(Measure::IntendedOk) {
            for value in answered.histogram().iter_recorded() {
                bins[bin(value.value_iterated_to())] += value.count_at_value();
            }
        }
        let all = histograms.requests();
        let percentile = |share| Number(all.quantile(share).as_millis_f64());
        HeatRow {
            from: from.since_start().as_secs_f64(),
            to: to.since_start().as_secs_f64(),
            ok: bins.into_iter().enumerate().filter(|(_, count)| *count > 0).collect(),
            failed: histograms.count(Measure::IntendedFailed),
            percentiles: [0.5, 0.9, 0.99, 0.999].map(percentile).into(),
        }
    }

    fn with(self, later: HeatRow) -> HeatRow {
        let mut bins = [0_u64; BINS];
        for (bin, count) in self.ok.iter().chain(&later.ok) {
            bins[*bin] += count;
        }
        HeatRow {
            from: self.from,
            ok: bins.into_iter().enumerate().filter(|(_, count)| *count > 0).collect(),
            failed: self.failed + later.failed,
            ..later
        }
    }
}

/// The bin of a latency.
fn bin(micros: u64) -> usize {
    let decades = (micros as f64 / LOWEST_US).max(1.0).log10();
    // A last bit of the logarithm must not carry a bin's end into the next one.
    ((decades * PER_DECADE - 1e-9).ceil().max(0.0) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_five_a_decade_and_closed_above() {
        for (micros, expected) in
            [(0, 0), (100, 0), (101, 1), (1_000, 5), (1_001, 6), (1_000_000, 20), (u64::MAX, BINS - 1)]
        {
            assert_eq!(bin(micros), expected, "{micros} us");
        }
    }
}
