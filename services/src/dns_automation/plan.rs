//! A plan, pure: for every endpoint a set of balancers with weights, under names that nobody has used before.

use std::net::Ipv4Addr;

use eastfall_proto::dns_automation::{Balancer, EndpointPlan, Plan};

/// An endpoint that plans are made for.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// It has AAAA records too.
    pub dual_stack: bool,
    /// Share of the balancers that serve it, 0..=1; one balancer at least.
    pub share: f64,
}

/// A balancer that takes part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Healthy {
    /// Its address.
    pub address: Ipv4Addr,
    /// How much it can carry, in any unit.
    pub capacity: f64,
}

/// The plan of this number. `uuid` makes the names.
pub fn make(
    generation: u64,
    endpoints: &[Endpoint],
    balancers: &[Healthy],
    uuid: &mut dyn FnMut() -> String,
) -> Plan {
    let largest = balancers.iter().map(|balancer| balancer.capacity).fold(f64::MIN_POSITIVE, f64::max);
    let weight = |capacity: f64| ((255.0 * capacity / largest).round() as u32).clamp(1, 255);
    let mut endpoint_plan = |endpoint: &Endpoint| EndpointPlan {
        endpoint: endpoint.name.clone(),
        dual_stack: endpoint.dual_stack,
        tree: uuid(),
        balancers: spread(balancers, endpoint.share)
            .map(|balancer| Balancer {
                address: balancer.address.to_string(),
                weight: weight(balancer.capacity),
                leaf: uuid(),
            })
            .collect(),
    };
    Plan { generation, endpoints: endpoints.iter().map(&mut endpoint_plan).collect() }
}

/// An even choice of a share of the balancers, always the same one, and never none.
fn spread(balancers: &[Healthy], share: f64) -> impl Iterator<Item = &Healthy> {
    let share = share.clamp(0.0, 1.0);
    let upto = move |index: usize| (index as f64 * share).ceil();
    balancers
        .iter()
        .enumerate()
        .filter(move |(index, _)| *index == 0 || upto(index + 1) > upto(*index))
        .map(|(_, b)| b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plan(share: f64, capacities: &[f64]) -> Plan {
        let endpoint = Endpoint { name: "dynamodb.test".into(), dual_stack: false, share };
        let address = |number: usize| Ipv4Addr::from(0x7f00_0001 + number as u32);
        let balancers: Vec<Healthy> = capacities
            .iter()
            .enumerate()
            .map(|(number, &capacity)| Healthy { address: address(number), capacity })
            .collect();
        let mut number = 0;
        make(7, &[endpoint], &balancers, &mut || {
            number += 1;
            format!("uuid-{number}")
        })
    }

    #[test]
    fn weights_are_in_proportion_to_capacity() {
        let weights: Vec<u32> =
            plan(1.0, &[1.0, 2.0, 4.0]).endpoints[0].balancers.iter().map(|b| b.weight).collect();
        assert_eq!(weights, [64, 128, 255]);
    }

    proptest! {
        #[test]
        fn an_endpoint_has_its_share_of_the_balancers_and_one_at_least(
            share in 0.0..=1.0f64,
            capacities in proptest::collection::vec(0.0..1e6f64, 1..300),
        ) {
            let plan = plan(share, &capacities);
            let balancers = &plan.endpoints[0].balancers;
            let expected = (share * capacities.len() as f64).max(1.0);
            prop_assert!((balancers.len() as f64 - expected).abs() <= 1.0, "{} of {expected}", balancers.len());
            prop_assert!(balancers.iter().all(|balancer| (1..=255).contains(&balancer.weight)));
        }
    }
}
