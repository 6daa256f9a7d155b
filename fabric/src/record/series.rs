//! Series: numbers over incident time, one value a sampling interval.
//!
//! Rows are numbered by the end of their interval, so instances may report in any order and late (a live one over a
//! slow pipe). Row `n` covers what happened after `n * sample` and up to `(n + 1) * sample`.

use std::sync::Arc;

use eastfall_topology::time::{Moment, Span};
use indexmap::IndexMap;

use super::Aggregate;

/// A table of series over the same moments.
#[derive(Clone, Debug, Default)]
pub struct Series {
    sample: Span,
    times: Vec<Moment>,
    columns: IndexMap<Arc<str>, Column>,
    amended: bool,
    /// What columns show that hold nothing: zeros, and unknown values, one a row.
    blanks: [Vec<f64>; 2],
}

/// One series. Many never have a value of their own (what no breaker did, what nobody refused); those hold nothing.
#[derive(Clone, Debug)]
struct Column {
    aggregate: Aggregate,
    values: Vec<f64>,
}

/// The place of a series in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ColumnId(usize);

impl Series {
    pub(super) fn new(sample: Span) -> Self {
        Series { sample: sample.max(Span::from_nanos(1)), ..Series::default() }
    }

    /// A table that was read from a file. Columns shorter than the times end in unknown values.
    pub fn from_columns(times: Vec<Moment>, columns: impl IntoIterator<Item = (String, Vec<f64>)>) -> Self {
        let column = |mut values: Vec<f64>| {
            values.resize(times.len(), f64::NAN);
            Column { aggregate: Aggregate::Sum, values }
        };
        let columns = columns.into_iter().map(|(name, values)| (name.into(), column(values))).collect();
        let blanks = [vec![0.0; times.len()], vec![f64::NAN; times.len()]];
        Series { times, columns, blanks, ..Series::default() }
    }

    /// The end of every sampling interval that is closed.
    pub fn times(&self) -> &[Moment] {
        &self.times
    }

    /// The values of a series, one for each of [`Series::times`]. A gauge that no living instance reported is NaN.
    pub fn values(&self, name: &str) -> Option<&[f64]> {
        self.columns.get(name).map(|column| self.shown(column))
    }

    /// The names of all series, in the order in which they first came.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.columns.keys().map(|name| &**name)
    }

    /// All series with their values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[f64])> {
        self.columns.iter().map(|(name, column)| (&**name, self.shown(column)))
    }

    /// The sum over all rows; zero for a series that there is none of.
    pub fn total(&self, name: &str) -> f64 {
        self.values(name).map_or(0.0, |values| values.iter().filter(|value| !value.is_nan()).sum())
    }

    /// True if a row was changed after it had been closed: a report came late.
    pub fn amended(&self) -> bool {
        self.amended
    }

    /// The series of this name, made if there is none.
    pub(super) fn column(&mut self, name: Arc<str>, aggregate: Aggregate) -> ColumnId {
        let entry = self.columns.entry(name);
        let id = ColumnId(entry.index());
        entry.or_insert(Column { aggregate, values: Vec::new() });
        id
    }

    /// Adds a value to what the interval that ends at (or holds) a moment has.
    pub(super) fn put(&mut self, id: ColumnId, at: Moment, value: f64) {
        let row = self.row(at);
        self.amended |= row < self.times.len();
        let Column { aggregate, values } = &mut self.columns[id.0];
        if values.len() <= row || values.len() < self.times.len() {
            values.resize(self.times.len().max(row + 1), aggregate.blank());
        }
        values[row] = match aggregate {
            _ if values[row].is_nan() => value,
            Aggregate::Sum | Aggregate::Count => values[row] + value,
            Aggregate::Maximum => values[row].max(value),
        };
    }

    /// Closes every interval that ends by a moment; with `partial`, also one that has begun. Returns the new rows.
    pub(super) fn close(&mut self, at: Moment, partial: bool) -> std::ops::Range<usize> {
        let before = self.times.len();
        let mut end = self.end_of(before);
        while end <= at {
            self.times.push(end);
            end = self.end_of(self.times.len());
        }
        if partial && self.times.last().copied().unwrap_or_default() < at {
            self.times.push(at);
        }
        for (blanks, value) in self.blanks.iter_mut().zip([0.0, f64::NAN]) {
            blanks.resize(self.times.len(), value);
        }
        for column in self.columns.values_mut().filter(|column| !column.values.is_empty()) {
            let rows = self.times.len().max(column.values.len());
            column.values.resize(rows, column.aggregate.blank());
        }
        before..self.times.len()
    }

    pub(super) fn get(&self, id: ColumnId, row: usize) -> f64 {
        self.shown(&self.columns[id.0]).get(row).copied().unwrap_or(f64::NAN)
    }

    /// The closed rows of a column.
    fn shown<'a>(&'a self, column: &'a Column) -> &'a [f64] {
        let blank = usize::from(column.aggregate.blank().is_nan());
        let values = if column.values.is_empty() { &self.blanks[blank] } else { &column.values };
        &values[..self.times.len()]
    }

    /// Sets a value that is derived from others.
    pub(super) fn set(&mut self, id: ColumnId, row: usize, value: f64) {
        let Column { aggregate, values } = &mut self.columns[id.0];
        if values.is_empty() {
            values.resize(self.times.len(), aggregate.blank());
        }
        if let Some(place) = values.get_mut(row) {
            *place = value;
        }
    }

    fn row(&self, at: Moment) -> usize {
        let row = (at.as_nanos().saturating_sub(1) / self.sample.as_nanos()) as usize;
        // What comes after a run that ended between two ticks belongs to its last row.
        match self.times.last() {
            Some(&end) if at <= end => row.min(self.times.len() - 1),
            _ => row,
        }
    }

    fn end_of(&self, row: usize) -> Moment {
        Moment::START + self.sample * (row as u64 + 1)
    }
}

impl Aggregate {
    /// What a row holds that nobody reported for.
    const fn blank(self) -> f64 {
        match self {
            Aggregate::Count => 0.0,
            Aggregate::Sum | Aggregate::Maximum => f64::NAN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Moment {
        Moment::START + Span::from_secs(seconds)
    }

    #[test]
    fn sums_maxima_and_counts_fill_gaps_in_their_own_way() {
        let mut series = Series::new(Span::from_secs(10));
        let held = series.column("held".into(), Aggregate::Sum);
        let oldest = series.column("oldest".into(), Aggregate::Maximum);
        let lost = series.column("lost".into(), Aggregate::Count);
        for (column, value) in
            [(held, 3.0), (held, 4.0), (oldest, 3.0), (oldest, 2.0), (lost, 1.0), (lost, 1.0)]
        {
            series.put(column, at(20), value);
        }
        assert_eq!(series.close(at(35), false), 0..3);
        let values = |name: &str| format!("{:?}", series.values(name).unwrap());
        assert_eq!(values("held"), "[NaN, 7.0, NaN]");
        assert_eq!(values("oldest"), "[NaN, 3.0, NaN]");
        assert_eq!(values("lost"), "[0.0, 2.0, 0.0]");
        assert_eq!(series.times(), [at(10), at(20), at(30)]);
    }

    #[test]
    fn a_run_that_ends_between_ticks_has_a_short_last_row() {
        let mut series = Series::new(Span::from_secs(10));
        let lost = series.column("lost".into(), Aggregate::Count);
        series.put(lost, at(25), 2.0);
        assert_eq!(series.close(at(25), true), 0..3);
        assert_eq!(
            (series.times(), series.values("lost").unwrap()),
            (&[at(10), at(20), at(25)][..], &[0.0, 0.0, 2.0][..])
        );
        assert!(series.close(at(25), true).is_empty(), "closing again changes nothing");
    }

    #[test]
    fn a_late_report_is_added_and_noticed() {
        let mut series = Series::new(Span::from_secs(10));
        let lost = series.column("lost".into(), Aggregate::Count);
        series.put(lost, at(10), 1.0);
        series.close(at(20), false);
        assert!(!series.amended(), "all in time so far");
        series.put(lost, at(10), 1.0);
        assert_eq!((series.amended(), series.values("lost").unwrap()), (true, &[2.0, 0.0][..]));
    }

    proptest! {
        #[test]
        fn the_order_of_reports_does_not_matter(mut reports in prop::collection::vec((0usize..3, 1u64..100, 0u32..9), 0..50)) {
            let table = |reports: &[(usize, u64, u32)]| {
                let mut series = Series::new(Span::from_secs(10));
                let kinds = [("a", Aggregate::Sum), ("b", Aggregate::Maximum), ("c", Aggregate::Count)];
                let ids = kinds.map(|(name, aggregate)| series.column(name.into(), aggregate));
                for &(column, second, value) in reports {
                    series.put(ids[column], at(second), f64::from(value));
                }
                series.close(at(100), false);
                format!("{:?}", series.iter().collect::<Vec<_>>())
            };
            let forwards = table(&reports);
            reports.reverse();
            prop_assert_eq!(forwards, table(&reports));
        }
    }
}
