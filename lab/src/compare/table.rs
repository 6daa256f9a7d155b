//! A comparison as text for a terminal: one table a topic, no wider than 120 columns.

use std::fmt;

use super::summary::{Comparison, Estimate, Percentiles, VariantSummary, Verdict};

/// The widest a line may be.
const WIDTH: usize = 120;

/// The longest name of a variant that is shown in full.
const NAME: usize = 44;

/// Marks what does not differ from the baseline by more than noise.
const NOISE: &str = " ~";

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (variants, seeds) = (self.variants.len(), self.seeds);
        writeln!(f, "{}: {variants} variants, {seeds} seeds from {} on\n", self.scenario, self.first_seed)?;
        for table in self.tables() {
            table.write(f, &self.variants)?;
        }
        for note in self.notes() {
            writeln!(f, "{note}")?;
        }
        Ok(())
    }
}

/// A topic: a column a number, a row a variant.
struct Table {
    title: &'static str,
    columns: Vec<(String, Vec<String>)>,
}

impl Comparison {
    fn tables(&self) -> Vec<Table> {
        let column = |heading: &str, cell: &dyn Fn(&VariantSummary) -> String| {
            (heading.to_owned(), self.variants.iter().map(cell).collect::<Vec<String>>())
        };
        let first = &self.variants[0];
        let milestones = first
            .milestones
            .keys()
            .map(|id| column(id, &|variant| told(variant.milestones.get(id), Unit::Minutes)));
        let systems = first.systems.keys().map(|name| {
            let recovery = |variant: &VariantSummary| {
                told(variant.systems.get(name).and_then(|system| system.get("recovery_min")), Unit::Minutes)
            };
            column(name, &recovery)
        });
        let customers = |heading, key: &'static str| {
            column(heading, &|variant| told(variant.customers.get(key), Unit::Count))
        };
        let latency = |heading, pick: fn(&Percentiles) -> Option<f64>| {
            column(heading, &|variant| pick(&variant.latency).map_or("-".to_owned(), millis))
        };
        let region = |heading, key: &'static str, unit| {
            column(heading, &|variant| told(variant.region.get(key), unit))
        };
        vec![
            Table { title: "milestones, minutes after the incident's start", columns: milestones.collect() },
            Table {
                title: "end of the systems' last impact window, minutes after the incident's start (0: never impaired)",
                columns: systems.collect(),
            },
            Table {
                title: "customers: requests and how many of them were not answered; latency of all seeds together",
                columns: vec![
                    customers("requests", "requests"),
                    customers("failed", "failed"),
                    latency("p50", |percentiles| percentiles.p50_ms),
                    latency("p99", |percentiles| percentiles.p99_ms),
                    latency("p99.9", |percentiles| percentiles.p999_ms),
                ],
            },
            Table {
                title: "the region: attempts for each first one at the worst edge's worst minute, work done for nobody",
                columns: vec![
                    region("peak amplification", "peak_amplification", Unit::Ratio),
                    region("wasted requests", "wasted", Unit::Count),
                    region("wasted worker-hours", "wasted_s", Unit::Hours),
                ],
            },
        ]
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![match self.level {
            Some(level) => format!(
                "Medians over the seeds, in brackets an interval that encloses the true median in at least {:.0} % of \
                 comparisons.",
                level * 100.0
            ),
            None => "Medians over the seeds. With fewer than six seeds nothing can be said at a level of 95 %: no \
                     intervals, no noise."
                .to_owned(),
        }];
        let estimates = self.variants.iter().flat_map(VariantSummary::shown);
        if self.level.is_some() && self.variants.len() > 1 {
            let noise = { estimates }.any(is_noise);
            let said = format!("differs from `{}`, seed by seed, by no more than noise", self.baseline);
            notes.push(if noise { format!("~ {said}.") } else { format!("Nothing shown {said}.") });
        }
        if !self.complete {
            let seeds: Vec<usize> = self.variants.iter().map(|variant| variant.seeds).collect();
            let (fewest, most) = (seeds.iter().min().unwrap_or(&0), seeds.iter().max().unwrap_or(&0));
            notes.push(format!(
                "INCOMPLETE: cut off when variants had {fewest} to {most} of {} seeds each.",
                self.seeds
            ));
        }
        notes
    }
}

impl VariantSummary {
    /// The estimates that the tables show.
    fn shown(&self) -> Vec<&Estimate> {
        let recoveries = self.systems.values().filter_map(|system| system.get("recovery_min"));
        let customers = ["requests", "failed"].into_iter().filter_map(|key| self.customers.get(key));
        let region =
            ["peak_amplification", "wasted", "wasted_s"].into_iter().filter_map(|key| self.region.get(key));
        self.milestones.values().chain(recoveries).chain(customers).chain(region).collect()
    }
}

fn is_noise(estimate: &Estimate) -> bool {
    estimate.difference.as_ref().is_some_and(|difference| difference.verdict == Verdict::WithinNoise)
}

#[derive(Clone, Copy)]
enum Unit {
    Minutes,
    Count,
    Ratio,
    /// Shown in hours, measured in seconds.
    Hours,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            _ if value.is_infinite() => "never".to_owned(),
            Unit::Minutes => format!("{value:.1}"),
            Unit::Count => format!("{value:.0}"),
            Unit::Ratio => format!("{value:.2}"),
            Unit::Hours => format!("{:.2}", value / 3600.0),
        }
    }
}

/// `157.3 [155.0, never] 20% never ~`
fn told(estimate: Option<&Estimate>, unit: Unit) -> String {
    let Some(estimate) = estimate else { return "-".to_owned() };
    let mut text = unit.show(estimate.median);
    if let (Some(low), Some(high)) = (estimate.low, estimate.high)
        && low != high
    {
        text += &format!(" [{}, {}]", unit.show(low), unit.show(high));
    }
    if estimate.never > 0.0 && estimate.never < 1.0 {
        text += &format!(" {:.0}% never", estimate.never * 100.0);
    }
    if is_noise(estimate) {
        text += NOISE;
    }
    text
}

fn millis(value: f64) -> String {
    if value < 1_000.0 { format!("{value:.1} ms") } else { format!("{:.2} s", value / 1_000.0) }
}

impl Table {
    /// As many tables below each other as the columns need.
    fn write(&self, f: &mut fmt::Formatter<'_>, variants: &[VariantSummary]) -> fmt::Result {
        let names: Vec<String> = variants.iter().map(|variant| shortened(&variant.name)).collect();
        let name_width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        let width = |(heading, cells): &(String, Vec<String>)| {
            cells.iter().chain([heading]).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let mut rest = &self.columns[..];
        let mut title = self.title;
        while !rest.is_empty() {
            let mut taken = name_width;
            let fits = rest.iter().position(|column| {
                taken += width(column) + 2;
                taken > WIDTH
            });
            let (now, later) = rest.split_at(fits.unwrap_or(rest.len()).max(1));
            writeln!(f, "{title}")?;
            write!(f, "{:name_width$}", "")?;
            for column in now {
                write!(f, "  {:>1$}", column.0, width(column))?;
            }
            writeln!(f)?;
            for (row, name) in names.iter().enumerate() {
                write!(f, "{name:name_width$}")?;
                for column in now {
                    write!(f, "  {:>1$}", column.1[row], width(column))?;
                }
                writeln!(f)?;
            }
            writeln!(f)?;
            (rest, title) = (later, "(continued)");
        }
        Ok(())
    }
}

/// A name that leaves room for numbers: the middle goes, since what differs is most often at an end.
fn shortened(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= NAME {
        return name.to_owned();
    }
    let half = (NAME - 1) / 2;
    let [start, end] =
        [&letters[..half], &letters[letters.len() - half..]].map(|part| part.iter().collect::<String>());
    format!("{start}…{end}")
}
