//! From the tree to the graph: every rule a topology must keep, one file a section of it.
//!
//! [`Topology::load`] is the only way in. Sections are read in the order in which one needs another's names, and
//! nothing is built unless nothing is wrong.

use crate::part;
use crate::read::value::{Fault, is_off};
use crate::read::{Fields, Reading};
use crate::tree::{self, Node, Origin, Table};
use crate::{KindSchema, Problem, Problems, Record, Region, Setting, Source, Span, Topology};
use indexmap::IndexMap;
use std::ops::RangeInclusive;

mod capacity;
mod cycles;
mod edges;
mod names;
mod operations;
mod params;
mod policy;
mod region;
mod retry;
mod scale;
mod services;

/// The keys every service may have; a kind's parameters stand beside them.
pub(crate) const COMMON_KEYS: [&str; 14] = [
    "kind",
    "system",
    "title",
    "instances",
    "addresses",
    "resolver",
    "workers",
    "service-time",
    "queue",
    "slowdown",
    "operations",
    "calls",
    "restart-delay",
    "scaled",
];

/// Any length of time up to a year, none included.
const ANY_SPAN: RangeInclusive<Span> = Span::ZERO..=YEAR;
/// Any length of time up to a year, except none.
const SOME_SPAN: RangeInclusive<Span> = Span::from_nanos(1)..=YEAR;
const YEAR: Span = Span::from_mins(365 * 24 * 60);
/// A share of something.
const SHARE: RangeInclusive<f64> = 0.0..=1.0;
/// A number above zero; the ends keep products of such numbers finite.
const POSITIVE: RangeInclusive<f64> = 1e-9..=1e12;
/// A count of at least one.
const COUNT: RangeInclusive<u32> = 1..=u32::MAX;
/// What `--load` may be.
const LOAD: RangeInclusive<f64> = 1e-6..=1e6;

impl Topology {
    /// Reads, sets, checks and scales a topology.
    ///
    /// `kinds` are the kinds of services the program has; `load` multiplies arrivals, populations and capacities
    /// together (above 0, from 1e-6 to 1e6; 1 leaves everything as written).
    ///
    /// # Errors
    /// Everything that is wrong, at once. Syntax errors come alone, since what follows from them would be noise.
    pub fn load(
        source: Source<'_>,
        settings: &[Setting],
        kinds: &[KindSchema],
        load: f64,
    ) -> Result<Topology, Problems> {
        let mut root = tree::parse(source).map_err(Problems)?;
        let mut problems: Vec<Problem> = settings
            .iter()
            .filter_map(|setting| crate::apply::apply(&mut root, setting, kinds).err())
            .collect();
        problems.extend(part::take(&mut root, settings).err().unwrap_or_default());
        if !LOAD.contains(&load) {
            problems.push(Problem {
                origin: format!("--load {load}"),
                key: "load".to_owned(),
                message: format!("{load} is out of range"),
                cure: format!("write a factor from {} to {}, such as 0.1", LOAD.start(), LOAD.end()),
                nearest: None,
            });
        }
        let start = Origin::File { file: source.file.into(), line: 1, column: 1 };
        let reading = Reading::default();
        let (region, record, mut services) = read(&reading, &root, &start, kinds);
        let (found, in_force) = reading.finish();
        problems.extend(found);
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        services.values_mut().for_each(|service| scale::scale(service, load, kinds));
        Ok(Topology {
            region,
            record,
            services,
            file: source.file.to_owned(),
            text: source.text.to_owned(),
            settings: settings.to_vec(),
            kinds: kinds.to_vec(),
            load,
            in_force,
        })
    }

    /// The same topology with one value changed, as `eastfall set` does on a running fleet: the file is read anew with
    /// all settings so far and this one, so the same checks hold.
    ///
    /// # Errors
    /// Everything that would be wrong with it.
    pub fn with(&self, setting: &Setting) -> Result<Topology, Problems> {
        if setting.path.split('.').next() == Some(part::KEY) {
            return Err(Problems(vec![Problem {
                origin: format!("--set {setting}"),
                key: part::KEY.to_owned(),
                message: "which services there are is settled when a run begins".to_owned(),
                cure: "begin a run with it".to_owned(),
                nearest: None,
            }]));
        }
        let settings: Vec<Setting> = self.settings.iter().chain(std::iter::once(setting)).cloned().collect();
        Topology::load(Source { file: &self.file, text: &self.text }, &settings, &self.kinds, self.load)
    }
}

fn read(
    reading: &Reading,
    root: &Table,
    start: &Origin,
    kinds: &[KindSchema],
) -> (Region, Record, IndexMap<String, crate::Service>) {
    let mut top = Fields::new(reading, "", start, root);
    // Taken before; it is read here so that it is known.
    let _ = top.node(part::KEY);
    let presets = policy::presets(&mut top);
    let defaults = policy::defaults(&mut top, &presets);
    let outline = services::outline(root, kinds);
    let region = region::region(&mut top, &outline);
    let record = region::record(&mut top);
    // A DNS service that is misspelt is one mistake, not one more at every endpoint.
    let dns_service = root.get("region").and_then(Node::table).and_then(|region| region.get("dns-service"));
    let has_dns = dns_service.is_some_and(|node| !is_off(node));
    let context = services::Context { kinds, presets, defaults, outline, has_dns };
    let services = services::services(&mut top, &context);
    cycles::check(reading, root, &services);
    if services.is_empty() {
        let fault = Fault::new("the file has no services", "add [service.NAME] with a kind");
        top.fault("service", fault);
    }
    top.finish();
    (region, record, services)
}
