//! Percentiles over the whole run, by edge and system.

use std::fmt::Write as _;

use eastfall_fabric::record::{Histograms, Latencies};
use indexmap::IndexMap;
use serde::Serialize;

use crate::run_folder::{RunFolder, RunFolderError};

/// Percentiles over the whole run; names of measures are those of the logs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// By edge and measure.
    pub edges: IndexMap<String, IndexMap<&'static str, Row>>,
    /// By system and measure, as its customers saw it.
    pub systems: IndexMap<String, IndexMap<&'static str, Row>>,
}

/// Latencies in milliseconds, up to the width of a histogram's bucket (0.8 %).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// How many there are.
    pub count: u64,
    /// Their mean.
    pub mean_ms: f64,
    /// The median.
    pub p50_ms: f64,
    /// The 90th percentile.
    pub p90_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// The 99.9th percentile.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Percentiles {
    /// The percentiles of a run.
    ///
    /// # Errors
    /// If its histograms can't be read.
    pub fn of(run: &RunFolder) -> Result<Self, RunFolderError> {
        let rows = |histograms: Histograms| {
            histograms.iter().map(|(measure, l)| (measure.name(), Row::of(l))).collect()
        };
        let all = |parts: IndexMap<String, Histograms>| {
            parts.into_iter().map(|(name, h)| (name, rows(h))).collect()
        };
        Ok(Percentiles { edges: all(run.edges()?), systems: all(run.systems()?) })
    }

    /// A row for each edge or system and measure.
    pub fn to_csv(&self) -> String {
        let mut text = "of,name,measure,count,mean_ms,p50_ms,p90_ms,p99_ms,p999_ms,max_ms\n".to_owned();
        for (of, parts) in [("edge", &self.edges), ("system", &self.systems)] {
            for (name, rows) in parts {
                for (measure, row) in rows {
                    let Row { count, mean_ms, p50_ms, p90_ms, p99_ms, p999_ms, max_ms } = row;
                    // Writing to a String does not fail.
                    let _ = writeln!(
                        text,
                        "{of},{name},{measure},{count},{mean_ms},{p50_ms},{p90_ms},{p99_ms},{p999_ms},{max_ms}"
                    );
                }
            }
        }
        text
    }
}

impl Row {
    fn of(latencies: &Latencies) -> Self {
        let quantile = |share| latencies.quantile(share).as_millis_f64();
        Row {
            count: latencies.count(),
            mean_ms: latencies.mean().as_millis_f64(),
            p50_ms: quantile(0.5),
            p90_ms: quantile(0.9),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            max_ms: latencies.longest().as_millis_f64(),
        }
    }
}
