//! What a population does, worked out from the parameters in force.

use super::*;
use crate::workload::{self, Send, Shape};

/// A population's parameters, ready for use.
pub(super) struct Plan {
    pub(super) curve: Curve,
    /// This instance's share of the rate.
    pub(super) rate: f64,
    /// The highest rate of the day.
    pub(super) peak: f64,
    pub(super) shape: Shape,
    pub(super) max_in_flight: u32,
    choices: Vec<Choice>,
}

/// One operation of the mix.
pub(super) struct Choice {
    pub(super) callee: String,
    pub(super) send: Send,
    /// The sum of the shares up to and with this one.
    up_to: f64,
}

impl Plan {
    /// The plan of an instance under a topology.
    ///
    /// # Errors
    /// If the mix names a service that is not called or an operation that it does not have.
    pub(super) fn new(world: &World, topology: &Topology) -> Result<Plan, StartError> {
        let own = world.instance().service.as_str();
        let service = topology.services.get(own).ok_or("the population's service is not in the topology")?;
        let params = CustomersParams::from(&service.params);
        let total: f64 = params.mix.values().sum();
        let (mut choices, mut up_to) = (Vec::new(), 0.0);
        for (name, weight) in &params.mix {
            let (callee, operation) = name.split_once(['.', '/']).ok_or_else(|| {
                format!(
                    "service.{own}.mix: `{name}` is not SERVICE.OPERATION; write it as \"dynamodb.GetItem\""
                )
            })?;
            if !service.calls.contains_key(callee) {
                return Err(StartError(format!(
                    "service.{own}.mix: `{name}` needs an edge; add [service.{own}.calls.{callee}]"
                )));
            }
            let send = workload::find(topology, callee, operation)
                .map_err(|why| format!("service.{own}.mix: {why}"))?;
            up_to += weight / total;
            choices.push(Choice { callee: callee.to_owned(), send, up_to });
        }
        if choices.is_empty() {
            return Err(StartError(format!("service.{own}.mix: no operation; name at least one")));
        }
        let rate = params.rate / service.instances.len().max(1) as f64;
        Ok(Plan {
            peak: rate * params.curve.peak(),
            curve: params.curve,
            rate,
            shape: Shape::new(params.keys, params.skew, params.table, params.item_bytes),
            max_in_flight: params.max_in_flight,
            choices,
        })
    }

    /// The operation for a draw from 0 to 1.
    pub(super) fn choose(&self, draw: f64) -> &Choice {
        let position = self.choices.partition_point(|choice| choice.up_to <= draw);
        // Shares may add up to a hair less than 1.
        &self.choices[position.min(self.choices.len() - 1)]
    }
}
