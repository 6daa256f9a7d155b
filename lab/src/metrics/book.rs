//! Metrics and their samples, and how they are written: Prometheus's text format 0.0.4, or OpenMetrics 1.0.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use eastfall_fabric::record::Latencies;

use super::buckets::Buckets;

/// How a metric's samples behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows. Its name is written with `_total` behind it.
    Counter,
    Gauge,
    /// Of durations in seconds.
    Histogram,
}

/// A metric: what is measured.
#[derive(Clone, Debug)]
pub(super) struct Metric {
    /// Without a counter's `_total`.
    pub(super) name: Cow<'static, str>,
    pub(super) kind: Kind,
    /// One sentence.
    pub(super) help: Cow<'static, str>,
}

impl Metric {
    pub(super) const fn new(name: &'static str, kind: Kind, help: &'static str) -> Metric {
        Metric { name: Cow::Borrowed(name), kind, help: Cow::Borrowed(help) }
    }
}

/// Labels in the order in which they are written.
pub(super) type Labels = Vec<(&'static str, Arc<str>)>;

/// The label that says whose a sample is.
pub(super) const INSTANCE: &str = "instance";

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(f64),
    Histogram(Box<Buckets>),
}

#[derive(Debug)]
struct Family {
    metric: Metric,
    samples: BTreeMap<Labels, Value>,
}

/// A book of samples.
#[derive(Debug, Default)]
pub(super) struct Book(BTreeMap<Cow<'static, str>, Family>);

impl Book {
    /// Adds to a counter; zero makes it known before anything is counted.
    pub(super) fn add(&mut self, metric: &Metric, labels: Labels, more: f64) {
        if let Value::Number(value) = self.entry(metric, labels) {
            *value += more;
        }
    }

    /// Sets a gauge, or a counter whose total is known.
    pub(super) fn set(&mut self, metric: &Metric, labels: Labels, value: f64) {
        *self.entry(metric, labels) = Value::Number(value);
    }

    /// Adds durations to a histogram.
    pub(super) fn observe(&mut self, metric: &Metric, labels: Labels, latencies: &Latencies) {
        if let Value::Histogram(buckets) = self.entry(metric, labels) {
            buckets.add(latencies);
        }
    }

    /// Drops the gauges of an instance: what is dead holds nothing. Counters stay, so that they never go back.
    pub(super) fn forget_gauges(&mut self, instance: &str) {
        for family in self.0.values_mut().filter(|family| family.metric.kind == Kind::Gauge) {
            family.samples.retain(|labels, _| instance_of(labels) != Some(instance));
        }
    }

    fn entry(&mut self, metric: &Metric, labels: Labels) -> &mut Value {
        let family = self.0.entry(metric.name.clone());
        let family = family.or_insert_with(|| Family { metric: metric.clone(), samples: BTreeMap::new() });
        family.samples.entry(labels).or_insert_with(|| match metric.kind {
            Kind::Histogram => Value::Histogram(Box::default()),
            Kind::Counter | Kind::Gauge => Value::Number(0.0),
        })
    }

    /// Writes the samples that are wanted.
    pub(super) fn write(&self, format: Format, whose: &Whose<'_>) -> String {
        let mut page = Page { text: String::new(), format };
        for family in self.0.values() {
            let mut samples = family.samples.iter().filter(|(labels, _)| whose.includes(labels)).peekable();
            if samples.peek().is_some() {
                page.heading(&family.metric);
            }
            for (labels, value) in samples {
                page.samples(&family.metric, labels, value);
            }
        }
        if format == Format::OpenMetrics {
            page.text += "# EOF\n";
        }
        page.text
    }
}

/// Whose samples are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose<'a> {
    Everybodys,
    Instances(&'a str),
    /// What no instance said.
    Labs,
}

impl Whose<'_> {
    fn includes(&self, labels: &Labels) -> bool {
        match self {
            Whose::Everybodys => true,
            Whose::Instances(name) => instance_of(labels) == Some(*name),
            Whose::Labs => instance_of(labels).is_none(),
        }
    }
}

fn instance_of(labels: &Labels) -> Option<&str> {
    labels.iter().find(|(name, _)| *name == INSTANCE).map(|(_, value)| &**value)
}

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus's text format.
    Text,
    OpenMetrics,
}

impl Format {
    /// What a client that accepts this is sent.
    pub(super) fn accepted(accept: &str) -> Format {
        if accept.contains("application/openmetrics-text") { Format::OpenMetrics } else { Format::Text }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

struct Page {
    text: String,
    format: Format,
}

// Writing to a string can't fail.
impl Page {
    fn heading(&mut self, metric: &Metric) {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // OpenMetrics names the family, the older format its samples.
        let suffix = if metric.kind == Kind::Counter && self.format == Format::Text { "_total" } else { "" };
        let help = match self.format {
            Format::Text => metric.help.replace('\\', "\\\\").replace('\n', "\\n"),
            Format::OpenMetrics => escaped(&metric.help),
        };
        let name = &metric.name;
        let _ = write!(self.text, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
    }

    fn samples(&mut self, metric: &Metric, labels: &Labels, value: &Value) {
        let name = &*metric.name;
        match value {
            Value::Number(value) => {
                let suffix = if metric.kind == Kind::Counter { "_total" } else { "" };
                self.sample(name, suffix, labels, None, *value);
            }
            Value::Histogram(buckets) => {
                for (bound, count) in buckets.cumulated() {
                    self.sample(name, "_bucket", labels, Some(bound), count as f64);
                }
                self.sample(name, "_bucket", labels, Some(f64::INFINITY), buckets.count() as f64);
                self.sample(name, "_sum", labels, None, buckets.sum());
                self.sample(name, "_count", labels, None, buckets.count() as f64);
            }
        }
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &Labels, bound: Option<f64>, value: f64) {
        let bound = bound.map(|bound| ("le", self.bound(bound)));
        let own = labels.iter().map(|(name, value)| (*name, escaped(value)));
        let all: Vec<String> = own.chain(bound).map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let all = if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) };
        let _ = writeln!(self.text, "{name}{suffix}{all} {}", number(value));
    }

    /// OpenMetrics writes whole bounds as floats: `1.0`.
    fn bound(&self, bound: f64) -> String {
        match self.format {
            Format::OpenMetrics if bound.is_finite() && bound.fract() == 0.0 => format!("{bound:.1}"),
            _ => number(bound),
        }
    }
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
