//! Series as the page gets them: columns of numbers with four digits, thinned out where a run is long.

use eastfall_fabric::record::Series;
use indexmap::IndexMap;
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

/// Series that the page can do without: they follow from others, or nobody has looked at them on a page yet.
const LEFT_OUT: [&str; 7] = [
    ".amplification",
    ".error_share",
    ".server.wait_s",
    ".server.time_s",
    ".server.waited",
    ".server.queued",
    ".server.wasted_s",
];

/// Where the worst matters and not the mean.
const WORST: &str = "longest_wait_s";

/// Series over the same moments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    /// The end of each interval, in seconds since the start of the run.
    times: Vec<f64>,
    columns: IndexMap<String, Vec<f32>>,
}

impl Columns {
    /// How many intervals there are.
    pub(crate) fn rows(&self) -> usize {
        self.times.len()
    }

    /// Takes up the rows that have come since. What is changed in earlier rows, by a report that came late, is not.
    pub(crate) fn extend(&mut self, series: &Series) {
        for (name, values) in series.iter().filter(|(name, _)| is_shown(name)) {
            if !self.columns.contains_key(name) {
                self.columns.insert(name.to_owned(), Vec::with_capacity(values.len()));
            }
            let column = &mut self.columns[name];
            column.extend(values.iter().skip(column.len()).map(|value| *value as f32));
        }
        let known = self.times.len();
        self.times.extend(series.times().iter().skip(known).map(|at| at.since_start().as_secs_f64()));
    }

    /// At most so many rows: as many neighbours together as it takes. Each then holds their mean, which is right for
    /// states and for counts alike (a count stays one of a sampling interval), and the worst of what is a worst.
    pub(crate) fn thinned(&self, most: usize) -> Columns {
        let together = self.rows().div_ceil(most.max(1)).max(1);
        let times =
            self.times.chunks(together).filter_map(|times| times.last().copied()).collect::<Vec<f64>>();
        let thin = |name: &str, values: &[f32]| -> Vec<f32> {
            let of = if name.ends_with(WORST) { worst } else { mean };
            values.chunks(together).map(of).collect()
        };
        let columns = self.columns.iter().map(|(name, values)| (name.clone(), thin(name, values))).collect();
        Columns { times, columns }
    }

    /// Only the columns whose names pass.
    pub(crate) fn only(&mut self, keep: impl Fn(&str) -> bool) -> &mut Columns {
        self.columns.retain(|name, _| keep(name));
        self
    }

    /// The rows from a number on.
    pub(crate) fn since(&self, row: usize) -> Since<'_> {
        Since { columns: self, row: row.min(self.rows()) }
    }
}

fn is_shown(name: &str) -> bool {
    !LEFT_OUT.iter().any(|end| name.ends_with(end))
}

fn known(values: &[f32]) -> impl Iterator<Item = f32> + '_ {
    values.iter().copied().filter(|value| !value.is_nan())
}

fn mean(values: &[f32]) -> f32 {
    let (sum, count) = known(values).fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { f32::NAN }
}

fn worst(values: &[f32]) -> f32 {
    known(values).fold(f32::NAN, f32::max)
}

/// Rows from a number on.
pub(crate) struct Since<'a> {
    columns: &'a Columns,
    row: usize,
}

impl Serialize for Columns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.since(0).serialize(serializer)
    }
}

impl Serialize for Since<'_> {
    /// A column that is zero throughout is the number 0, and one that is unknown throughout is left out: most are one
    /// or the other most of the time.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Some<'a>(&'a Columns, usize);
        impl Serialize for Some<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                for (name, values) in &self.0.columns {
                    let values = &values[self.1.min(values.len())..];
                    if values.iter().all(|value| *value == 0.0) {
                        map.serialize_entry(name, &0)?;
                    } else if !values.iter().all(|value| value.is_nan()) {
                        map.serialize_entry(name, &Cells(values))?;
                    }
                }
                map.end()
            }
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("from", &self.row)?;
        map.serialize_entry("times", &self.columns.times[self.row..])?;
        map.serialize_entry("columns", &Some(self.columns, self.row))?;
        map.end()
    }
}

struct Cells<'a>(&'a [f32]);

impl Serialize for Cells<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut cells = serializer.serialize_seq(Option::Some(self.0.len()))?;
        for value in self.0 {
            cells.serialize_element(&Number(f64::from(*value)))?;
        }
        cells.end()
    }
}

/// A number in as few characters as its four digits take; null if it is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(pub(crate) f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.0;
        if !value.is_finite() {
            return serializer.serialize_none();
        }
        if value.fract() == 0.0 && value.abs() < 1e15 {
            return serializer.serialize_i64(value as i64);
        }
        let digits = 3.0 - value.abs().log10().floor();
        let scale = 10_f64.powi(digits.clamp(-12.0, 12.0) as i32);
        serializer.serialize_f64((value * scale).round() / scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eastfall_topology::time::{Moment, Span};

    fn series(columns: &[(&str, &[f64])]) -> Series {
        let rows = columns[0].1.len() as u64;
        let times = (1..=rows).map(|row| Moment::START + Span::from_secs(10) * row).collect();
        Series::from_columns(
            times,
            columns.iter().map(|(name, values)| ((*name).to_owned(), values.to_vec())),
        )
    }

    fn columns(all: &[(&str, &[f64])]) -> Columns {
        let mut columns = Columns::default();
        columns.extend(&series(all));
        columns
    }

    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn quiet_columns_cost_nothing_and_numbers_have_four_digits() {
        let none = f64::NAN;
        let found = columns(&[
            ("a", &[0.0, 0.0]),
            ("b", &[none, none]),
            ("c", &[none, 1.0 / 3.0]),
            ("d", &[12.0, 123_456.7]),
            ("x.amplification", &[1.0, 2.0]),
        ]);
        let expected =
            r#"{"from":0,"times":[10.0,20.0],"columns":{"a":0,"c":[null,0.3333],"d":[12,123500.0]}}"#;
        assert_eq!(json(&found), expected);
    }

    #[test]
    fn what_is_new_is_what_comes_after_the_rows_that_are_known() {
        let mut found = columns(&[("a", &[1.0, 2.0])]);
        found.extend(&series(&[("a", &[1.0, 2.0, 3.0]), ("late", &[f64::NAN, f64::NAN, 7.0])]));
        assert_eq!(json(&found.since(2)), r#"{"from":2,"times":[30.0],"columns":{"a":[3],"late":[7]}}"#);
        assert_eq!(json(&found.since(9)), r#"{"from":3,"times":[],"columns":{"a":0,"late":0}}"#);
    }

    #[test]
    fn thinning_keeps_means_and_the_worst_of_what_is_a_worst() {
        let found = columns(&[
            ("a", &[1.0, f64::NAN, 3.0, 6.0, 8.0]),
            ("q.longest_wait_s", &[1.0, 9.0, 0.0, 2.0, 0.0]),
        ]);
        let thin = found.thinned(3);
        assert_eq!(
            json(&thin),
            r#"{"from":0,"times":[20.0,40.0,50.0],"columns":{"a":[1,4.5,8],"q.longest_wait_s":[9,2,0]}}"#
        );
        assert_eq!(json(&found.thinned(5)), json(&found), "what is short enough stays as it is");
    }
}
