//! `--load`: arrivals, populations and capacities times one factor, so that the work shrinks and the dynamics stay.
//!
//! What a factor K does: parameters marked `scaled by load` and rates are multiplied. Workers are whole, so they are
//! rounded (at least 1) and service times take up the rest: workers / service time is exactly K times what it was. A
//! queue's limit, a concurrency limit and a budget bound amounts of work, so they are multiplied too; otherwise the same
//! file would reject more, or retry longer, at another K. Slow-down is per waiting request, so it is divided.
//! What stays: times, delays, shares, the counts by which a breaker judges, and services with `scaled = false`.

use crate::{
    Budget, Capacity, Concurrency, Curve, KindSchema, Operation, ParamType, ParamValue, Policy, Service,
};

pub(super) fn scale(service: &mut Service, load: f64, kinds: &[KindSchema]) {
    if load == 1.0 || !service.scaled {
        return;
    }
    if let Some(capacity) = &mut service.capacity {
        let stretch = scale_capacity(capacity, load);
        for Operation { service_time, .. } in service.operations.values_mut() {
            *service_time = service_time.map(|time| time.scaled(stretch));
        }
    }
    for edge in service.calls.values_mut() {
        scale_policy(&mut edge.policy, load);
    }
    let schema = kinds.iter().find(|schema| schema.name == service.kind);
    for param in schema.into_iter().flat_map(|schema| schema.params).filter(|param| param.scaled) {
        if let Some(value) = service.params.get_mut(param.key) {
            scale_param(value, &param.kind, load);
        }
    }
}

/// Scales workers and gives the factor that service times take up.
fn scale_capacity(capacity: &mut Capacity, load: f64) -> f64 {
    let exact = f64::from(capacity.workers) * load;
    capacity.workers = count(capacity.workers, load);
    let stretch = f64::from(capacity.workers) / exact;
    capacity.service_time = capacity.service_time.scaled(stretch);
    capacity.queue.limit = capacity.queue.limit.map(|limit| count(limit, load));
    capacity.slowdown /= load;
    stretch
}

fn scale_policy(policy: &mut Policy, load: f64) {
    match &mut policy.budget {
        Some(Budget::TokenBucket { capacity: amount, .. } | Budget::Grpc { max_tokens: amount, .. }) => {
            *amount *= load;
        }
        Some(Budget::Ratio { min_per_second, .. }) => *min_per_second *= load,
        None => {}
    }
    match &mut policy.concurrency {
        Some(Concurrency::Fixed { limit, .. }) => *limit = count(*limit, load),
        Some(Concurrency::Adaptive { min, max, .. }) => {
            *min = count(*min, load);
            *max = count(*max, load);
        }
        None => {}
    }
    if let Some(rate) = &mut policy.rate {
        rate.per_second *= load;
        rate.burst = count(rate.burst, load);
    }
}

fn scale_param(value: &mut ParamValue, kind: &ParamType, load: f64) {
    match (value, kind) {
        (value, ParamType::Optional(inside)) => scale_param(value, inside, load),
        // What there was one of, there still is one of.
        (ParamValue::Integer(number), ParamType::Integer(most)) if *number > 0 => {
            *number = ((*number as f64 * load).round() as u64).clamp(1, *most);
        }
        (ParamValue::Float(number), _) => *number = (*number * load).clamp(f64::MIN, f64::MAX),
        (ParamValue::Curve(curve), _) => *curve = Curve::scaled(curve, load),
        _ => {}
    }
}

/// A count times the load, rounded, at least 1.
fn count(count: u32, load: f64) -> u32 {
    ((f64::from(count) * load).round() as u32).max(1)
}
