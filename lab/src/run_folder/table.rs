//! `series.csv`: a row a sampling interval, a column a series; empty where a series had no value.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use eastfall_chaos::timeline::Timeline;
use eastfall_fabric::record::Series;
use eastfall_topology::time::{Moment, Span};

use super::{RunFolderError, complete_lines};
use crate::summary::written;

/// The columns before the series: the end of the interval as a date, and in seconds since the start of the run.
const TIME: [&str; 2] = ["at", "run_s"];

/// The heading for the first so many series.
pub(super) fn heading(series: &Series, columns: usize) -> String {
    let names = TIME.into_iter().chain(series.names().take(columns));
    names.map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

/// Rows of the first so many series.
pub(super) fn rows(series: &Series, columns: usize, rows: Range<usize>, timeline: &Timeline) -> String {
    let values: Vec<&[f64]> = series.iter().take(columns).map(|(_, values)| values).collect();
    let mut text = String::new();
    for row in rows {
        let at = series.times()[row];
        // Writing to a String does not fail.
        let _ = write!(text, "{},{}", written(timeline, at), at.since_start().as_secs_f64());
        for column in &values {
            text.push(',');
            // Counts are zero most of the time: this is much faster than formatting them.
            if column[row] == 0.0 {
                text.push('0');
            } else if !column[row].is_nan() {
                let _ = write!(text, "{}", column[row]);
            }
        }
        text.push('\n');
    }
    text
}

/// The series of a file's text.
pub(super) fn read(path: &Path, text: &str) -> Result<Series, RunFolderError> {
    let mut lines = complete_lines(text).lines().enumerate();
    let names = lines.next().map(|(_, line)| cells(line)).unwrap_or_default();
    let Some(names) = names.strip_prefix(&TIME.map(str::to_owned)) else {
        return Err(RunFolderError::malformed(
            path,
            1,
            format!("the heading must begin with {}", TIME.join(",")),
        ));
    };
    // Thousands of columns that each grew by doubling would take half as much again.
    let rows = complete_lines(text).lines().count().saturating_sub(1);
    let mut times = Vec::with_capacity(rows);
    let mut columns: Vec<Vec<f64>> = names.iter().map(|_| Vec::with_capacity(rows)).collect();
    for (index, line) in lines {
        let malformed = |what: String| RunFolderError::malformed(path, index + 1, what);
        let mut values = line.split(',').skip(1);
        let seconds = values.next().and_then(|text| text.parse().ok());
        let seconds = seconds.ok_or_else(|| malformed("the second column must be seconds".to_owned()))?;
        times.push(Moment::START + Span::from_secs_f64(seconds));
        for (name, column) in names.iter().zip(&mut columns) {
            let value = match values.next() {
                None => return Err(malformed(format!("there is no value for {name}"))),
                Some("") => f64::NAN,
                Some(text) => {
                    text.parse().map_err(|_| malformed(format!("{name}: `{text}` is not a number")))?
                }
            };
            column.push(value);
        }
        if values.next().is_some() {
            return Err(malformed("there are more values than columns".to_owned()));
        }
    }
    Ok(Series::from_columns(times, names.iter().cloned().zip(columns)))
}

/// A cell, in quotes if it needs them.
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

/// The cells of a line, quotes taken off.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut in_quotes = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let cell = cells.len() - 1;
        match letter {
            '"' if in_quotes && letters.peek() == Some(&'"') => {
                letters.next();
                cells[cell].push('"');
            }
            '"' => in_quotes = !in_quotes,
            ',' if !in_quotes => cells.push(String::new()),
            _ => cells[cell].push(letter),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn timeline() -> Timeline {
        Timeline::new("2025-10-19T23:48:00-07:00", Span::from_mins(18)).unwrap()
    }

    fn text_of(series: &Series) -> String {
        let columns = series.names().len();
        heading(series, columns) + &rows(series, columns, 0..series.times().len(), &timeline())
    }

    #[test]
    fn a_row_is_dated_and_unknown_values_are_empty() {
        let times = vec![Moment::START + Span::from_secs(10), Moment::START + Span::from_mins(30)];
        let columns =
            [("dwfm.leases".to_owned(), vec![f64::NAN, 7.0]), ("a, \"b\"".to_owned(), vec![0.0, 0.25])];
        assert_eq!(
            text_of(&Series::from_columns(times, columns)),
            "at,run_s,dwfm.leases,\"a, \"\"b\"\"\"\n\
             2025-10-19T23:30:10-07:00,10,,0\n\
             2025-10-20T00:00:00-07:00,1800,7,0.25\n"
        );
    }

    #[test]
    fn a_row_that_was_cut_off_is_left_out() {
        let text = "at,run_s,x\n2025-10-19T23:30:10-07:00,10,1\n2025-10-19T23:30:20-07:00,2";
        let series = read(Path::new("series.csv"), text).unwrap();
        assert_eq!(series.values("x"), Some(&[1.0][..]));
    }

    #[test]
    fn a_mistake_is_named_by_file_line_and_column() {
        let cases = [
            ("when,x\n", "series.csv:1: the heading must begin with at,run_s"),
            ("at,run_s,x\n,10,1\n,20,one\n", "series.csv:3: x: `one` is not a number"),
            ("at,run_s,x\n,10\n", "series.csv:2: there is no value for x"),
            ("at,run_s,x\n,10,1,2\n", "series.csv:2: there are more values than columns"),
        ];
        for (text, message) in cases {
            let error = read(Path::new("series.csv"), text).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(
            names in prop::collection::btree_set("[a-z.,\"> -]{1,12}", 0..5),
            rows in prop::collection::vec(prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::ZERO, 5), 0..9),
        ) {
            let times = (1..=rows.len() as u64).map(|n| Moment::from_nanos(n * 1_234_567_891)).collect();
            let column = |index: usize| rows.iter().map(|row| row[index]).collect::<Vec<_>>();
            let series = Series::from_columns(times, names.into_iter().enumerate().map(|(i, name)| (name, column(i))));
            let read = read(Path::new("series.csv"), &text_of(&series)).unwrap();
            prop_assert_eq!(read.times(), series.times());
            prop_assert!(read.iter().eq(series.iter()), "{:?} became {:?}", series, read);
        }
    }
}
