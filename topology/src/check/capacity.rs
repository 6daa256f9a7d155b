//! Workers, queues and distributions of service times.

use super::{ANY_SPAN, COUNT, SOME_SPAN};
use crate::read::value::{Fault, Readable};
use crate::read::{Fields, Reading};
use crate::tree::{Node, Value};
use crate::words;
use crate::{Capacity, Discipline, Distribution, Queue, Span};

words! {
    enum Shape {
        Constant = "constant",
        Exponential = "exponential",
        Uniform = "uniform",
        LogNormal = "log-normal",
        Pareto = "pareto",
    }
}

words! {
    enum QueueWord {
        Fifo = "fifo",
        Lifo = "lifo",
        DropExpired = "drop-expired",
        CoDel = "codel",
    }
}

/// `workers`, `service-time`, `queue` and `slowdown` of a service. Without workers there is no limit and no time.
pub(super) fn capacity(fields: &mut Fields<'_, '_>) -> Option<Capacity> {
    let workers = fields.optional("workers", COUNT);
    let service_time = distribution(fields, "service-time");
    let queue = queue(fields.table("queue")).unwrap_or_default();
    let slowdown = fields.within("slowdown", 0.0, 0.0..=1e6);
    // `workers = "none"` switches the whole part off; what else is given then waits for it to come back.
    let switched_off = workers.is_none() && fields.node("workers").is_some();
    for key in ["service-time", "queue", "slowdown"] {
        let orphan = fields.node(key).is_some() && workers.is_none() && !switched_off;
        fields.require(
            !orphan,
            key,
            format!("`{key}` needs `workers`"),
            "add workers = ..., or take this key out",
        );
    }
    let workers = workers?;
    if service_time.is_none() && fields.node("service-time").is_none() {
        fields.fault("workers", Fault::new("`workers` need a `service-time`", "add service-time = \"2ms\""));
    }
    Some(Capacity { workers, service_time: service_time?, queue, slowdown })
}

/// A key that holds a distribution of times, if it is there.
pub(super) fn distribution(fields: &mut Fields<'_, '_>, key: &str) -> Option<Distribution> {
    let node = fields.on(key)?;
    let distribution = read_distribution(fields.reading(), &fields.path_of(key), node);
    if let Some(distribution) = &distribution {
        fields.reading().note(fields.path_of(key), distribution);
    }
    distribution
}

/// `"2ms"` or `{ distribution = "exponential", mean = "2ms" }`.
pub(super) fn read_distribution(reading: &Reading, path: &str, node: &Node) -> Option<Distribution> {
    if !matches!(node.value, Value::Table(_)) {
        let value = Span::read(node).and_then(|value| match ANY_SPAN.contains(&value) {
            true => Ok(value),
            false => Err(Fault::new(format!("{value} is out of range"), "write at most 365d")),
        });
        return value
            .map(|value| Distribution::Constant { value })
            .map_err(|fault| reading.fault(&node.origin, path, fault))
            .ok();
    }
    let mut fields = Fields::of_node(reading, path, node);
    let one = Span::from_nanos(1);
    let distribution = match fields.tag("distribution", None)? {
        Shape::Constant => Distribution::Constant { value: fields.required("value", one, ANY_SPAN) },
        Shape::Exponential => Distribution::Exponential { mean: fields.required("mean", one, SOME_SPAN) },
        Shape::Uniform => {
            let low = fields.required("low", Span::ZERO, ANY_SPAN);
            let high = fields.required("high", low, ANY_SPAN);
            let message = format!("{high} is below low {low}");
            fields.require(low <= high, "high", message, "raise high or lower low");
            Distribution::Uniform { low, high }
        }
        Shape::LogNormal => Distribution::LogNormal {
            median: fields.required("median", one, SOME_SPAN),
            sigma: fields.required("sigma", 0.0, 0.0..=5.0),
        },
        Shape::Pareto => Distribution::Pareto {
            minimum: fields.required("minimum", one, SOME_SPAN),
            // Below 1 a Pareto distribution has no mean; at 1.001 it is a thousand times the minimum.
            alpha: fields.required("alpha", 2.0, 1.001..=100.0),
        },
    };
    fields.finish();
    Some(distribution)
}

fn queue(mut fields: Fields<'_, '_>) -> Option<Queue> {
    let discipline = match fields.tag("discipline", Some(QueueWord::Fifo))? {
        QueueWord::Fifo => Discipline::Fifo,
        QueueWord::Lifo => Discipline::Lifo,
        QueueWord::DropExpired => Discipline::DropExpired,
        QueueWord::CoDel => Discipline::CoDel {
            target: fields.within("target", Span::from_millis(5), SOME_SPAN),
            interval: fields.within("interval", Span::from_millis(100), SOME_SPAN),
        },
    };
    let limit = fields.optional("limit", COUNT);
    let cancel_abandoned = fields.value("cancel-abandoned", false);
    fields.finish();
    Some(Queue { discipline, limit, cancel_abandoned })
}
