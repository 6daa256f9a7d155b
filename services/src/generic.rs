//! Kind `service`: a service that the topology describes and no code of ours knows.
//!
//! Named operations, each with a service time, a share of errors of its own, and the calls it makes: required or
//! optional, one after the other, at once or in steps, always or sometimes. With these and customers alone a user can
//! build a graph of their own and see how it fails.

use std::sync::{Arc, Mutex, PoisonError};

use eastfall_fabric::call::{Call, Context};
use eastfall_fabric::distribution::draw as draw_time;
use eastfall_fabric::network::server::Serving;
use eastfall_fabric::rng::Rng;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::service::service_server::Service;
use eastfall_proto::service::{PerformRequest, PerformResponse, service_api};
use eastfall_topology::{Distribution, Operation, OperationCall, Params, Span};
use futures_util::future::{join, join_all};
use rand::RngExt as _;
use tonic::{Request, Response, Status};

use crate::settings::{Settings, split};
use crate::workload::{self, Draw, Shape};

eastfall_topology::params! {
    /// A service that is described by its operations in the topology file.
    pub struct GenericParams for "service" with operations {
        /// How many keys its calls to stores choose from (assumption).
        keys: u64 = 10000, range 1..=1000000000;
        /// How unevenly they are chosen: the exponent of Zipf's law (YCSB's default).
        skew: f64 = 0.99, range 0.0..=5.0;
        /// The table that its calls to DynamoDB use.
        table: String = "customer-data";
        /// Bytes that its requests carry (assumption).
        item_bytes: u32 = 256, range 1..=300000;
    }
}

impl From<&Params> for Shape {
    fn from(params: &Params) -> Shape {
        let GenericParams { keys, skew, table, item_bytes } = params.into();
        Shape::new(keys, skew, table, item_bytes)
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: GenericParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let topology = world.topology();
    let own = topology
        .services
        .get(&world.instance().service)
        .ok_or("the instance's service is not in the topology")?;
    for call in own.operations.values().flat_map(Operation::all_calls) {
        workload::find(&topology, &call.service, &call.operation).map(drop)?;
    }
    let costs_world = world.clone();
    let costs = move |call: &Call| costs_world.service(|service| service_time(service, call)).flatten();
    let rng = Mutex::new(world.rng("operations"));
    let generic = Arc::new(Generic { world: world.clone(), shape: Settings::new(&world), rng });
    world
        .serve_with(
            vec![(&service_api::API, service_api::handler(generic))],
            Serving { costs: Some(Arc::new(costs)), ..Serving::default() },
        )
        .await
}

fn service_time(service: &eastfall_topology::Service, call: &Call) -> Option<Distribution> {
    let request: &PerformRequest = call.body.get()?;
    service.operations.get(&request.operation)?.service_time
}

struct Generic {
    world: World,
    /// What its requests to others are made of.
    shape: Settings<Shape>,
    rng: Mutex<Rng>,
}

impl Generic {
    fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn perform(&self, context: &Context, name: &str) -> Result<PerformResponse, Status> {
        let topology = self.world.topology();
        let own = topology.services.get(&self.world.instance().service);
        let operation: &Operation = own.and_then(|own| own.operations.get(name)).ok_or_else(|| {
            let known: Vec<&str> =
                own.into_iter().flat_map(|own| own.operations.keys()).map(String::as_str).collect();
            Status::unimplemented(format!("there is no operation `{name}`; there are {}", known.join(", ")))
        })?;
        if operation.error_share > 0.0 && self.draw(|rng| rng.random::<f64>()) < operation.error_share {
            return Err(Status::internal(format!("operation `{name}` failed by its own error share")));
        }
        // Who is called is drawn before anything is sent, so that the luck of one call doesn't depend on another's end.
        let calls = self.chosen(&operation.calls);
        let steps: Vec<(Span, Vec<&OperationCall>)> =
            operation.steps.iter().map(|step| (self.drawn(step.sleep), self.chosen(&step.calls))).collect();
        let mut optional_calls_failed = self.make(context, &calls, operation.parallel).await?;
        for (sleep, calls) in steps {
            let (failed, ()) = join(self.make(context, &calls, true), self.world.sleep(sleep)).await;
            optional_calls_failed += failed?;
        }
        Ok(PerformResponse { body: Vec::new(), optional_calls_failed })
    }

    /// Makes calls, at once or one after the other, and counts the optional ones that failed.
    async fn make(&self, context: &Context, calls: &[&OperationCall], at_once: bool) -> Result<u32, Status> {
        let mut optional_calls_failed = 0;
        let mut count = |call: &OperationCall, outcome: Result<(), Status>| match outcome {
            Err(status) if call.required => Err(failed(call, &status)),
            Err(_) => {
                optional_calls_failed += 1;
                Ok(())
            }
            Ok(()) => Ok(()),
        };
        if at_once {
            let outcomes = join_all(calls.iter().map(|call| self.send(context, call))).await;
            for (call, outcome) in calls.iter().zip(outcomes) {
                count(call, outcome)?;
            }
        } else {
            for call in calls {
                count(call, self.send(context, call).await)?;
            }
        }
        Ok(optional_calls_failed)
    }

    /// The calls to make this time, each as often as its count says.
    fn chosen<'c>(&self, calls: &'c [OperationCall]) -> Vec<&'c OperationCall> {
        let chosen = calls.iter().filter(|call| call.probability >= 1.0 || self.is_chosen(call));
        chosen.flat_map(|call| std::iter::repeat_n(call, call.count as usize)).collect()
    }

    fn drawn(&self, time: Option<Distribution>) -> Span {
        time.map_or(Span::ZERO, |time| self.draw(|rng| draw_time(&time, rng)))
    }

    fn is_chosen(&self, call: &OperationCall) -> bool {
        self.draw(|rng| rng.random::<f64>()) < call.probability
    }

    async fn send(&self, context: &Context, call: &OperationCall) -> Result<(), Status> {
        let client = self
            .world
            .dial(&call.service)
            .map_err(|error| Status::internal(error.to_string()))?
            .within(context);
        let send = workload::find(&self.world.topology(), &call.service, &call.operation)
            .map_err(Status::internal)?;
        let shape = self.shape.get();
        let answer = self.draw(|rng| send(&client, self.world.now(), &mut Draw::new(&shape, rng)));
        answer.await
    }
}

/// What a caller hears when a required call failed: that this service is unavailable to it, whatever the callee's
/// reason. Passing on a `resource_exhausted` would have the caller slow down for a service that is not ours.
fn failed(call: &OperationCall, status: &Status) -> Status {
    let (service, operation) = (&call.service, &call.operation);
    Status::unavailable(format!("{service}/{operation} failed: {:?}: {}", status.code(), status.message()))
}

#[async_trait::async_trait]
impl Service for Generic {
    async fn perform(&self, request: Request<PerformRequest>) -> Result<Response<PerformResponse>, Status> {
        let (context, request) = split(request);
        Generic::perform(self, &context, &request.operation).await.map(Response::new)
    }
}

#[cfg(test)]
mod tests;
