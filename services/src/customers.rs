//! Kind `customers`: people and programs that use the region's APIs and don't wait for one another.
//!
//! The load is open: the next request comes when it comes, whatever became of the last. That is what makes an outage's
//! backlog, and why latency counts from the moment at which a request was to be sent: a closed loop would slow down
//! with the service and then report that all was well (coordinated omission).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use eastfall_fabric::network::client::Host;
use eastfall_fabric::rng::Rng;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_topology::{Curve, Moment, Span, Topology};
use indexmap::IndexMap;
use rand::RngExt as _;

use crate::settings::instance_count;
use crate::workload::Draw;

pub(crate) mod arrivals;
mod plan;

use arrivals::{Candidate, next_candidate};
use plan::Plan;

eastfall_topology::params! {
    /// A population of customers: an open load on the APIs of its mix.
    pub struct CustomersParams for "customers" {
        /// Requests a second where the curve is 1, of all instances of the population together (assumption: shipped
        /// rates are of the order of a hundred a second over the region).
        rate: f64 = 10.0, range 0.0..=1000000.0, scaled by load;
        /// How long after the run's start the first request comes (ours): names and tables have to exist by then, or the
        /// very first answer of the name server, an empty one, is believed for a quarter of an hour.
        start_delay: Span = "0s", range "0s"..="1d";
        /// Factor on the rate by time of day, linear between the points and across midnight.
        curve: Curve = [["00:00", 1.0]];
        /// Machines the requests come from, each with a resolver cache and connections of its own, of all instances
        /// together. Negative answers are cached by machine, so recovery is as gradual as they are many. Read at start
        /// only.
        hosts: u32 = 100, range 1..=1000000, scaled by load;
        /// Weights of operations: `"dynamodb.GetItem" = 0.7` for an API, `"SERVICE/OPERATION" = 1` for an operation of a
        /// generic service.
        mix: IndexMap<String, f64>;
        /// How many keys are in use (assumption).
        keys: u64 = 10000, range 1..=1000000000;
        /// How unevenly keys are chosen: the exponent of Zipf's law, 0 for evenly (YCSB's default is 0.99).
        skew: f64 = 0.99, range 0.0..=5.0;
        /// The table that requests to DynamoDB use; its partition key must be `id`, a string. For connections through NLB,
        /// the load balancer's name.
        table: String = "customer-data";
        /// Bytes that a written item, or another request's body, carries (assumption).
        item_bytes: u32 = 256, range 1..=300000;
        /// Requests that may be under way in an instance; further ones are rejected by the client and counted (ours:
        /// bounds the lab's memory, so high that no shipped scenario reaches it).
        max_in_flight: u32 = 100000, range 1..=100000000, scaled by load;
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: CustomersParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let topology = world.topology();
    let plan = Plan::new(&world, &topology)?;
    let params: CustomersParams = world.params();
    let instances = instance_count(&world, &world.instance().service).max(1) as u32;
    let population = Population {
        hosts: vec![None; params.hosts.div_ceil(instances) as usize],
        rng: world.rng("requests"),
        in_flight: Arc::default(),
        topology,
        plan,
        world: world.clone(),
    };
    world.spawn(population.run());
    Ok(())
}

/// One instance's share of the population.
struct Population {
    world: World,
    topology: Arc<Topology>,
    plan: Plan,
    /// Made when they first send something.
    hosts: Vec<Option<Host>>,
    rng: Rng,
    in_flight: Arc<AtomicU32>,
}

impl Population {
    async fn run(mut self) {
        let clock = self.world.clock();
        let mut arrivals = self.world.rng("arrivals");
        // A population that is brought back later begins at once.
        let first = Moment::START + self.world.params::<CustomersParams>().start_delay;
        clock.sleep_until(first).await;
        let mut now = clock.now();
        loop {
            self.follow_the_topology();
            let world = self.world.clone();
            let factor = |moment: Moment| self.plan.curve.at(world.time_of_day(moment));
            let candidate = next_candidate(&mut arrivals, now, self.plan.peak, factor, self.plan.rate);
            now = candidate.moment();
            clock.sleep_until(now).await;
            if let Candidate::Arrival(intended) = candidate {
                self.arrive(intended);
            }
        }
    }

    fn follow_the_topology(&mut self) {
        if self.world.region().is_in_force(&self.topology) {
            return;
        }
        let topology = self.world.topology();
        match Plan::new(&self.world, &topology) {
            Ok(plan) => self.plan = plan,
            Err(error) => {
                self.world.record().event("customers.mix-refused", &[("reason", error.to_string())])
            }
        }
        self.topology = topology;
    }

    /// Sends one request and goes on.
    fn arrive(&mut self, intended: Moment) {
        let world = &self.world;
        world.record().count("arrivals", 1);
        // Everything is drawn whether or not it is sent, so that a limit reached in one variant doesn't change the
        // luck of all later requests.
        let choice = self.plan.choose(self.rng.random::<f64>());
        let number = self.rng.random_range(0..self.hosts.len());
        let host = self.hosts[number]
            .get_or_insert_with(|| world.host(&format!("{}/host-{}", world.instance().name, number + 1)));
        let client = match host.dial(&choice.callee) {
            Ok(client) => client,
            // The plan was checked, so the edge was taken out of the topology in between: next time it's noticed.
            Err(error) => {
                return world.record().event("customers.not-sent", &[("reason", error.to_string())]);
            }
        };
        let request = (choice.send)(&client, intended, &mut Draw::new(&self.plan.shape, &mut self.rng));
        let Some(place) = Place::take(&self.in_flight, self.plan.max_in_flight) else {
            return world.record().count("rejected-by-client", 1);
        };
        world.spawn(async move {
            // How it ended is on the edge's record; a customer has nobody to tell.
            let _ = request.await;
            drop(place);
        });
    }
}

/// A place among the requests under way; free again when dropped.
struct Place(Arc<AtomicU32>);

impl Place {
    fn take(in_flight: &Arc<AtomicU32>, limit: u32) -> Option<Place> {
        if in_flight.fetch_add(1, Ordering::Relaxed) >= limit {
            in_flight.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Place(Arc::clone(in_flight)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The longest wait for one arrival before the rate is looked at again.
const LOOK_AGAIN: Span = Span::from_secs(10);

#[cfg(test)]
mod tests;
