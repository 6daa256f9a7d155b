//! The results of a run, added up from reports as they come.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use eastfall_topology::time::{Moment, Span};
use foldhash::fast::FixedState;
use indexmap::IndexMap;

use super::series::ColumnId;
use super::totals::{edge_name, share};
use super::window::{by_minute, windows};
use super::{
    Aggregate, EdgeKey, EdgeReport, EdgeTotals, Ending, Event, Histograms, Imbalance, Latencies, Layout,
    Reading, Report, Sample, Series, ServerTotals, SystemTotals, Tally, Waste, WasteReport, balance,
};

/// One run's books.
#[derive(Debug)]
pub struct Results {
    layout: Layout,
    series: Series,
    edges: IndexMap<EdgeKey, Edge, FixedState>,
    systems: IndexMap<Arc<str>, System>,
    /// Where a service's own series are, by service and name.
    columns: IndexMap<Arc<str>, IndexMap<Arc<str>, ColumnId, FixedState>, FixedState>,
    /// Events of intervals that are not closed.
    events: Vec<Event>,
    /// Latencies of intervals that are not closed, by number of the interval and edge.
    pending: BTreeMap<(u64, usize), Box<Histograms>>,
}

#[derive(Debug)]
struct Edge {
    totals: EdgeTotals,
    columns: [ColumnId; EDGE_SERIES.len()],
    wasted: [ColumnId; WASTE_SERIES.len()],
    breakers: [ColumnId; BREAKER_SERIES.len()],
    amplification: ColumnId,
    /// The system whose customers call here.
    counts_for: Option<usize>,
    /// The system that serves here, if it is one with customers.
    served_by: Option<usize>,
}

#[derive(Debug)]
struct System {
    edges: Vec<EdgeKey>,
    columns: [ColumnId; SYSTEM_SERIES.len()],
    wasted: [ColumnId; WASTE_SERIES.len()],
    waste: Waste,
    error_share: ColumnId,
}

/// Counts of an edge, each a series `caller->callee.NAME`.
const EDGE_SERIES: [&str; 8] =
    ["requests", "ok", "failed", "rejected", "timed_out", "attempts", "retries", "short_circuited"];

/// What an edge's callee did in vain: requests, and seconds of workers' time. Systems have it too.
const WASTE_SERIES: [&str; 2] = ["wasted", "wasted_s"];

/// The states of an edge's breakers. None are as good as zero, so they go together like counts.
const BREAKER_SERIES: [&str; 3] = ["breakers", "breakers_open", "breakers_half_open"];

/// Counts of a system's customers, each a series `system.NAME.…`. Here `failed` includes what timed out.
const SYSTEM_SERIES: [&str; 5] = ["requests", "failed", "rejected", "attempts", "retries"];

/// First attempts that a minute must have to be judged by its amplification: with fewer, a retry whose first attempt fell
/// into the minute before would look like a storm.
const JUDGED_FROM: f64 = 10.0;

/// What came together with the closing of sampling intervals; for whoever writes or shows it.
#[derive(Debug, Default)]
pub struct Tick {
    /// The rows of the series that were closed.
    pub rows: Range<usize>,
    /// Events, in the order of time.
    pub events: Vec<Event>,
    /// Latencies of intervals that were closed, all instances together.
    pub latencies: Vec<Interval>,
}

/// The latencies of one edge in one interval.
#[derive(Debug)]
pub struct Interval {
    /// The calling service.
    pub caller: Arc<str>,
    /// The called service.
    pub callee: Arc<str>,
    /// Its start.
    pub from: Moment,
    /// Its end.
    pub to: Moment,
    /// The latencies.
    pub histograms: Box<Histograms>,
}

// === impl Results ===

impl Results {
    /// Empty books. Every edge and system of the layout has its series from the start, so that files have the same
    /// columns whether or not something happened.
    pub fn new(mut layout: Layout) -> Self {
        layout.histograms = layout.histograms.max(Span::from_nanos(1));
        let mut results = Results {
            series: Series::new(layout.sample),
            edges: IndexMap::default(),
            systems: IndexMap::new(),
            columns: IndexMap::default(),
            events: Vec::new(),
            pending: BTreeMap::new(),
            layout,
        };
        for (name, edges) in results.layout.systems() {
            let mut column = |what: &str, aggregate| {
                results.series.column(format!("system.{name}.{what}").into(), aggregate)
            };
            let columns = SYSTEM_SERIES.map(|what| column(what, Aggregate::Count));
            let wasted = WASTE_SERIES.map(|what| column(what, Aggregate::Count));
            let error_share = column("error_share", Aggregate::Sum);
            let waste = Waste::default();
            results.systems.insert(name, System { edges, columns, wasted, waste, error_share });
        }
        let edges: Vec<_> =
            results.layout.edges().map(|(from, to)| (Arc::clone(from), Arc::clone(to))).collect();
        for (caller, callee) in edges {
            results.edge(caller, callee);
        }
        results
    }

    /// What the results are laid out by.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Adds a report. Instances may come in any order, and late.
    pub fn add(&mut self, report: Report) {
        match report {
            Report::Event(event) => self.events.push(event),
            Report::Sample(sample) => self.add_sample(sample),
            Report::Edge(edge) => self.add_edge(edge),
            Report::Waste(waste) => self.add_waste(waste),
            // A run folder has latencies as callers see them.
            Report::Served(_) => {}
        }
    }

    /// Closes the sampling intervals that end by a moment: all who are alive have reported, or nobody waits for them
    /// any longer.
    pub fn close(&mut self, at: Moment) -> Tick {
        self.close_rows(at, false)
    }

    /// Closes everything at the end of the run.
    pub fn finish(&mut self, at: Moment) -> Tick {
        let tick = self.close_rows(at, true);
        if self.series.amended() {
            self.derive(0..self.series.times().len());
        }
        tick
    }

    /// All series. `<service>.<name>` over the service's instances; for an edge `caller->callee.` with `requests`, `ok`,
    /// `failed`, `rejected`, `timed_out`, `attempts`, `retries`, `short_circuited`, `wasted` and `wasted_s` (requests that
    /// had a worker's attention although their caller had given up, and seconds of it), `breakers`, `breakers_open` and
    /// `breakers_half_open` (states at the end of the interval) and `amplification` (attempts for each first attempt,
    /// unknown without one); for a system's customers `system.NAME.` with `requests`, `failed` (timed out included),
    /// `rejected`, `attempts`, `retries`, `error_share`, which stays as it was while nobody asks, and `wasted` and
    /// `wasted_s` of all its services.
    pub fn series(&self) -> &Series {
        &self.series
    }

    /// How much of the run is closed.
    pub fn length(&self) -> Span {
        self.series.times().last().copied().unwrap_or_default().since_start()
    }

    /// The totals of all edges, in the order of the topology.
    pub fn edges(&self) -> impl Iterator<Item = &EdgeTotals> {
        self.edges.values().map(|edge| &edge.totals)
    }

    /// Attempts on all edges together: the RPCs of the run.
    pub fn rpcs(&self) -> u64 {
        self.edges().map(|edge| edge.tally.attempts.total()).sum()
    }

    /// Attempts for each first attempt of an edge, in the worst minute of those with at least ten first attempts, and
    /// not less than over the whole run.
    pub fn peak_amplification(&self, edge: &EdgeTotals) -> f64 {
        self.peak(&edge.name()).max(edge.amplification())
    }

    /// The totals of every system that somebody outside it calls, in the order of the topology.
    pub fn systems(&self) -> impl Iterator<Item = SystemTotals> {
        self.systems.iter().map(|(name, system)| self.system_totals(name, system))
    }

    /// The totals of a service as its own servers saw it.
    pub fn server(&self, service: &str) -> ServerTotals {
        let total = |what: &str| self.series.total(&format!("{service}.server.{what}"));
        let count = |what| total(what).round() as u64;
        ServerTotals {
            served: count("served"),
            rejected: count("rejected"),
            cancelled: count("cancelled"),
            late: count("late"),
            waited: count("waited"),
            queued: count("queued"),
            wait: Span::from_secs_f64(total("wait_s")),
            queue: Span::from_secs_f64(total("queue_s")),
            time: Span::from_secs_f64(total("time_s")),
            wasted: Span::from_secs_f64(total("wasted_s")),
        }
    }

    /// Where the books do not agree with each other, after [`Results::finish`]; nothing if all is well.
    pub fn imbalances(&self) -> Vec<Imbalance> {
        self.edges().flat_map(|edge| balance::check(edge, &self.series)).collect()
    }

    fn add_sample(&mut self, Sample { at, service, readings, .. }: Sample) {
        if !self.columns.contains_key(&service) {
            self.columns.insert(Arc::clone(&service), IndexMap::default());
        }
        let columns = &mut self.columns[&service];
        for Reading { name, aggregate, value } in readings {
            let column = match columns.get(&name) {
                Some(column) => *column,
                None => {
                    let column = self.series.column(format!("{service}.{name}").into(), aggregate);
                    columns.insert(name, column);
                    column
                }
            };
            self.series.put(column, at, value);
        }
    }

    fn add_edge(&mut self, report: EdgeReport) {
        let EdgeReport { at, caller, callee, tally, breakers, histograms, .. } = report;
        let index = self.edge(caller, callee);
        let edge = &mut self.edges[index];
        let requests = tally.requests;
        let [ok, failed, rejected, timed_out] =
            [Ending::Ok, Ending::Failed, Ending::Rejected, Ending::TimedOut]
                .map(|ending| requests.of(ending));
        let (total, attempts) = (requests.total(), tally.attempts.total());
        let counts =
            [total, ok, failed, rejected, timed_out, attempts, tally.retries, tally.short_circuits()];
        for (column, count) in edge.columns.into_iter().zip(counts).filter(|(_, count)| *count > 0) {
            self.series.put(column, at, count as f64);
        }
        if let Some((_, system)) = edge.counts_for.and_then(|system| self.systems.get_index(system)) {
            let counts = [total, failed + timed_out, rejected, attempts, tally.retries];
            for (column, count) in system.columns.into_iter().zip(counts).filter(|(_, count)| *count > 0) {
                self.series.put(column, at, count as f64);
            }
        }
        let states = [breakers.all, breakers.open, breakers.half_open];
        for (column, count) in edge.breakers.into_iter().zip(states).filter(|(_, count)| *count > 0) {
            self.series.put(column, at, f64::from(count));
        }
        edge.totals.tally.merge(&tally);
        if let Some(histograms) = histograms {
            let number = at.as_nanos().saturating_sub(1) / self.layout.histograms.as_nanos();
            match self.pending.get_mut(&(number, index)) {
                Some(pending) => pending.merge(&histograms),
                None => {
                    self.pending.insert((number, index), histograms);
                }
            }
        }
    }

    fn add_waste(&mut self, WasteReport { at, edge: (caller, callee), waste, .. }: WasteReport) {
        let index = self.edge(caller, callee);
        let edge = &mut self.edges[index];
        edge.totals.waste.merge(waste);
        let mut columns = edge.wasted.to_vec();
        if let Some((_, system)) = edge.served_by.and_then(|system| self.systems.get_index_mut(system)) {
            system.waste.merge(waste);
            columns.extend(system.wasted);
        }
        let values = [waste.requests as f64, waste.worker.as_secs_f64()];
        for (column, value) in columns.into_iter().zip(values.into_iter().cycle()) {
            self.series.put(column, at, value);
        }
    }

    /// The number of an edge, made if the layout did not have it.
    fn edge(&mut self, caller: Arc<str>, callee: Arc<str>) -> usize {
        let key = (caller, callee);
        if let Some(index) = self.edges.get_index_of(&key) {
            return index;
        }
        let name = edge_name(&key.0, &key.1);
        let mut column =
            |what: &str, aggregate| self.series.column(format!("{name}.{what}").into(), aggregate);
        let columns = EDGE_SERIES.map(|what| column(what, Aggregate::Count));
        let wasted = WASTE_SERIES.map(|what| column(what, Aggregate::Count));
        let breakers = BREAKER_SERIES.map(|what| column(what, Aggregate::Count));
        let amplification = column("amplification", Aggregate::Sum);
        let served_by =
            self.layout.services.get(&key.1).and_then(|role| self.systems.get_index_of(&role.system));
        let counts_for = self.systems.values().position(|system| system.edges.contains(&key));
        let totals = EdgeTotals {
            caller: Arc::clone(&key.0),
            callee: Arc::clone(&key.1),
            tally: Tally::default(),
            waste: Waste::default(),
            histograms: Histograms::default(),
        };
        let edge = Edge { totals, columns, wasted, breakers, amplification, counts_for, served_by };
        self.edges.insert_full(key, edge).0
    }

    fn close_rows(&mut self, at: Moment, last: bool) -> Tick {
        let rows = self.series.close(at, last);
        self.derive(rows.clone());
        // A stable sort by time and instance: the same whatever the order in which instances reported.
        self.events.sort_by(|a, b| (a.at, &a.instance).cmp(&(b.at, &b.instance)));
        let closed =
            if last { self.events.len() } else { self.events.partition_point(|event| event.at <= at) };
        let events = self.events.drain(..closed).collect();
        Tick { rows, events, latencies: self.close_latencies(at, last) }
    }

    fn close_latencies(&mut self, at: Moment, last: bool) -> Vec<Interval> {
        let mut closed = Vec::new();
        while let Some(entry) = self.pending.first_entry() {
            let (number, index) = *entry.key();
            let (from, to) = (
                Moment::START + self.layout.histograms * number,
                Moment::START + self.layout.histograms * (number + 1),
            );
            if to > at && !last {
                break;
            }
            let histograms = entry.remove();
            let totals = &mut self.edges[index].totals;
            totals.histograms.merge(&histograms);
            let (caller, callee) = (Arc::clone(&totals.caller), Arc::clone(&totals.callee));
            closed.push(Interval { caller, callee, from, to: to.min(at.max(from)), histograms });
        }
        closed
    }

    /// Fills in what follows from other series.
    fn derive(&mut self, rows: Range<usize>) {
        for system in self.systems.values() {
            let mut before =
                rows.start.checked_sub(1).map_or(0.0, |row| self.series.get(system.error_share, row));
            for row in rows.clone() {
                let [requests, failed, rejected, ..] =
                    system.columns.map(|column| self.series.get(column, row));
                if requests > 0.0 {
                    before = (failed + rejected) / requests;
                }
                self.series.set(system.error_share, row, before);
            }
        }
        for edge in self.edges.values() {
            for row in rows.clone() {
                let [.., attempts, retries, _] = edge.columns.map(|column| self.series.get(column, row));
                if attempts > retries {
                    self.series.set(edge.amplification, row, attempts / (attempts - retries));
                }
            }
        }
    }

    fn system_totals(&self, name: &Arc<str>, system: &System) -> SystemTotals {
        let mut tally = Tally::default();
        let mut latencies = Latencies::default();
        for edge in system.edges.iter().filter_map(|key| self.edges.get(key)) {
            tally.merge(&edge.totals.tally);
            latencies.merge(&edge.totals.histograms.requests());
        }
        let [requests, failed, rejected] = ["requests", "failed", "rejected"]
            .map(|what| self.series.values(&format!("system.{name}.{what}")).unwrap_or_default());
        let unanswered: Vec<f64> =
            failed.iter().zip(rejected).map(|(failed, rejected)| failed + rejected).collect();
        let minutes = by_minute(self.series.times(), [requests, &unanswered]);
        SystemTotals {
            name: Arc::clone(name),
            latencies,
            windows: windows(&minutes, self.layout.window_share, self.layout.window_quiet),
            goodput: share(tally.requests.of(Ending::Ok) as f64, self.length().as_secs_f64()),
            peak_amplification: self
                .peak(&format!("system.{name}"))
                .max(share(tally.attempts.total() as f64, tally.first_attempts() as f64)),
            waste: system.waste,
            tally,
        }
    }

    /// Attempts for each first attempt in the worst minute that can be judged; 0 if there is none.
    fn peak(&self, of: &str) -> f64 {
        let [attempts, retries] = ["attempts", "retries"]
            .map(|what| self.series.values(&format!("{of}.{what}")).unwrap_or_default());
        let minutes = by_minute(self.series.times(), [attempts, retries]);
        let judged = minutes.iter().map(|minute| (minute.sums[0], minute.sums[0] - minute.sums[1]));
        judged.filter(|(_, first)| *first >= JUDGED_FROM).map(|(all, first)| all / first).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests;
