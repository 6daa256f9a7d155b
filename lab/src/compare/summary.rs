//! A comparison in one object: what `--json` prints and `summary.json` holds. Its keys are a contract with users' scripts.
//!
//! All but `wall_s` follows from scenario, variants and seeds. Times are minutes after the incident's start. A null is a
//! number that is not there: a median or an end of an interval that is *never* (see `never`), or an interval that so few
//! seeds don't allow.

use std::collections::BTreeMap;

use eastfall_fabric::record::Latencies;
use indexmap::{IndexMap, IndexSet};
use serde::{Serialize, Serializer};

use super::Plan;
use super::interval::{LEVEL, Median, differences, median};
use super::outcome::{Merged, Metrics, Outcome};

/// A comparison in one object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The scenario's id.
    pub scenario: String,
    /// The variant that the others are held against: the first.
    pub baseline: String,
    /// Every variant ran with this seed and those after it.
    pub first_seed: u64,
    /// How many seeds were asked for.
    pub seeds: u32,
    /// False if it was cut off: some variants have fewer seeds then.
    pub complete: bool,
    /// How often at least an interval encloses the true median; null if there are too few seeds for any.
    pub level: Option<f64>,
    /// Wall time it took, in seconds.
    pub wall_s: f64,
    /// The rows.
    pub variants: Vec<VariantSummary>,
}

/// One variant over all its seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VariantSummary {
    /// Its name.
    pub name: String,
    /// What it sets, `PATH=VALUE`.
    pub settings: Vec<String>,
    /// How many seeds came to their end.
    pub seeds: usize,
    /// Minutes after the incident's start, by milestone.
    pub milestones: IndexMap<String, Estimate>,
    /// All customers: `requests`, `failed` (rejected ones included), `p50_ms`, `p99_ms`, `p999_ms` (of single runs).
    pub customers: IndexMap<String, Estimate>,
    /// All edges: `rpcs`, `peak_amplification` (of the worst edge in its worst minute), `wasted`, `wasted_s`.
    pub region: IndexMap<String, Estimate>,
    /// By system: `recovery_min` (the end of its last impact window; 0 without one), `impact_min`, `requests`, `failed`
    /// and so on, as its customers saw it.
    pub systems: IndexMap<String, IndexMap<String, Estimate>>,
    /// By edge.
    pub edges: IndexMap<String, IndexMap<String, Estimate>>,
    /// Latency of customers' requests of all seeds together, from the intended start.
    pub latency: Percentiles,
    /// The same by system.
    pub system_latency: IndexMap<String, Percentiles>,
}

/// A number over the seeds of a variant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The median over the seeds; infinite (null): never.
    #[serde(serialize_with = "finite")]
    pub median: f64,
    /// The lower end of the interval; infinite (null): never. Nothing with too few seeds.
    #[serde(serialize_with = "finite_if_any")]
    pub low: Option<f64>,
    /// The upper end.
    #[serde(serialize_with = "finite_if_any")]
    pub high: Option<f64>,
    /// The share of seeds in which it never came before the run's end, 0..=1.
    pub never: f64,
    /// How it differs from the baseline; null for the baseline itself.
    pub difference: Option<Difference>,
}

/// How much a variant's number differs from the baseline's, seed by seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The median of the differences; infinite (null): in most seeds only one of the two ever came.
    #[serde(serialize_with = "finite")]
    pub median: f64,
    /// The lower end of its interval; nothing with too few seeds.
    #[serde(serialize_with = "finite_if_any")]
    pub low: Option<f64>,
    /// The upper end.
    #[serde(serialize_with = "finite_if_any")]
    pub high: Option<f64>,
    /// What the interval says.
    pub verdict: Verdict,
}

/// What the interval of a difference says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It lies below zero: less, or earlier, than the baseline.
    Less,
    /// It lies above zero: more, or later, than the baseline.
    More,
    /// It encloses zero.
    WithinNoise,
    /// There are too few seeds to say.
    TooFewSeeds,
}

/// Percentiles of latencies, in milliseconds, up to the width of a histogram's bucket (0.8 %); null without any.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many there are.
    pub count: u64,
    /// The median.
    pub p50_ms: Option<f64>,
    /// The 99th percentile.
    pub p99_ms: Option<f64>,
    /// The 99.9th percentile.
    pub p999_ms: Option<f64>,
}

type Seeds = BTreeMap<u64, Outcome>;

impl Comparison {
    /// Sums up what there is.
    pub(super) fn of(plan: &Plan, merged: &[Merged], wall_s: f64) -> Comparison {
        let baseline = &merged[0].outcomes;
        let fewest = merged.iter().map(|one| one.outcomes.len()).min().unwrap_or(0);
        let variants = plan.variants.iter().zip(merged).enumerate().map(|(number, (variant, merged))| {
            let baseline = (number > 0).then_some(baseline);
            VariantSummary::of(&variant.name, &variant.settings, merged, baseline)
        });
        Comparison {
            scenario: plan.variants[0].session.scenario.id.clone(),
            baseline: plan.variants[0].name.clone(),
            first_seed: plan.first_seed,
            seeds: plan.seeds,
            complete: fewest == plan.seeds as usize,
            level: median(&vec![0.0; fewest]).and_then(|median| median.interval).map(|_| LEVEL),
            wall_s,
            variants: variants.collect(),
        }
    }
}

impl VariantSummary {
    fn of(name: &str, settings: &[String], merged: &Merged, baseline: Option<&Seeds>) -> VariantSummary {
        let seeds = &merged.outcomes;
        let estimate = |pick: &dyn Fn(&Outcome) -> Option<f64>| Estimate::of(seeds, baseline, pick);
        let named = |pick: fn(&Outcome) -> &Metrics| metrics(seeds, baseline, &|outcome| Some(pick(outcome)));
        let by_name = |pick: fn(&Outcome) -> &IndexMap<String, Metrics>| {
            let names = keys(seeds, &|outcome| pick(outcome).keys().cloned().collect());
            let each = names.into_iter().map(|name| {
                let metrics = metrics(seeds, baseline, &|outcome| pick(outcome).get(&name));
                (name, metrics)
            });
            each.collect()
        };
        let milestones = keys(seeds, &|outcome| outcome.milestones.keys().cloned().collect()).into_iter();
        let system_latency = merged.systems().map(|(name, h)| (name.clone(), Percentiles::of(&h.requests())));
        VariantSummary {
            name: name.to_owned(),
            settings: settings.to_vec(),
            seeds: seeds.len(),
            milestones: milestones
                .filter_map(|id| {
                    Some((id.clone(), estimate(&|outcome| outcome.milestones.get(&id).copied())?))
                })
                .collect(),
            customers: named(|outcome| &outcome.customers),
            region: named(|outcome| &outcome.region),
            systems: by_name(|outcome| &outcome.systems),
            edges: by_name(|outcome| &outcome.edges),
            latency: Percentiles::of(&merged.customers()),
            system_latency: system_latency.collect(),
        }
    }
}

/// The keys that any of the seeds has, in the order in which they first come.
fn keys(seeds: &Seeds, keys: &dyn Fn(&Outcome) -> Vec<String>) -> IndexSet<String> {
    seeds.values().flat_map(keys).collect()
}

fn metrics<'a>(
    seeds: &'a Seeds,
    baseline: Option<&'a Seeds>,
    pick: &dyn Fn(&'a Outcome) -> Option<&'a Metrics>,
) -> IndexMap<String, Estimate> {
    let names: IndexSet<&str> =
        seeds.values().filter_map(pick).flat_map(|metrics| metrics.keys().copied()).collect();
    let estimate = |name| Estimate::of(seeds, baseline, &|outcome| pick(outcome)?.get(name).copied());
    names.into_iter().filter_map(|name| Some((name.to_owned(), estimate(name)?))).collect()
}

impl Estimate {
    fn of<'a>(
        seeds: &'a Seeds,
        baseline: Option<&'a Seeds>,
        pick: &dyn Fn(&'a Outcome) -> Option<f64>,
    ) -> Option<Estimate> {
        let values = |seeds: &'a Seeds| -> Vec<(u64, f64)> {
            seeds.iter().filter_map(|(seed, outcome)| Some((*seed, pick(outcome)?))).collect()
        };
        let own = values(seeds);
        let numbers: Vec<f64> = own.iter().map(|(_, value)| *value).collect();
        let Median { value, interval } = median(&numbers)?;
        let never = numbers.iter().filter(|value| value.is_infinite()).count();
        let difference = baseline.and_then(|baseline| Difference::of(&differences(&own, &values(baseline))));
        let [low, high] = ends(interval);
        Some(Estimate { median: value, low, high, never: never as f64 / numbers.len() as f64, difference })
    }
}

impl Difference {
    fn of(differences: &[f64]) -> Option<Difference> {
        let Median { value, interval } = median(differences)?;
        let verdict = match interval {
            None => Verdict::TooFewSeeds,
            Some([_, high]) if high < 0.0 => Verdict::Less,
            Some([low, _]) if low > 0.0 => Verdict::More,
            Some(_) => Verdict::WithinNoise,
        };
        let [low, high] = ends(interval);
        Some(Difference { median: value, low, high, verdict })
    }
}

fn ends(interval: Option<[f64; 2]>) -> [Option<f64>; 2] {
    interval.map_or([None; 2], |ends| ends.map(Some))
}

/// JSON has no infinity.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn finite<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    value.is_finite().then_some(*value).serialize(serializer)
}

fn finite_if_any<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    value.filter(|value| value.is_finite()).serialize(serializer)
}

impl Percentiles {
    fn of(latencies: &Latencies) -> Percentiles {
        let at = |share| (latencies.count() > 0).then(|| latencies.quantile(share).as_millis_f64());
        Percentiles { count: latencies.count(), p50_ms: at(0.5), p99_ms: at(0.99), p999_ms: at(0.999) }
    }
}
