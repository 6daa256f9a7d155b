//! Runs: who gets a slot, what a cold start needs, how long it all takes.

use std::sync::{Arc, PoisonError};

use eastfall_fabric::call::Context;
use eastfall_fabric::distribution::draw;
use eastfall_proto::lambda::fleet_server::Fleet as Api;
use eastfall_proto::lambda::{RunClass, RunRequest, RunResponse};
use eastfall_topology::Span;
use tonic::{Request, Response, Status};

use super::workers::Slot;
use super::{COLD_STARTS, COLD_STARTS_FAILED, Fleet, series};
use crate::catalog::NAME;
use crate::dynamodb::value::{item, string};
use crate::lambda::{FUNCTIONS, no_function, service_error, throttled};

/// What the fleet answers.
pub(super) struct Desk(pub(super) Arc<Fleet>);

/// A slot as long as a run has it; given back however the run ends.
struct Held<'a> {
    fleet: &'a Fleet,
    slot: Slot,
    class: RunClass,
    /// The function whose environment stays on the worker.
    keep: Option<&'a str>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let (now, limits) = (self.fleet.world.now(), self.fleet.limits());
        let mut state = self.fleet.state();
        let busy = &mut state.busy[self.class as usize];
        *busy = busy.saturating_sub(1);
        state.workers.release(&self.slot, self.keep, now, limits);
        self.fleet.world.record().gauge("slots-busy", f64::from(state.busy.iter().sum::<u32>()));
    }
}

impl Fleet {
    /// A slot for a function, if its class may have one more and one is free.
    fn take_slot<'a>(&'a self, function: &str, class: RunClass) -> Result<Held<'a>, Status> {
        let settings = self.settings.get();
        let (now, limits) = (self.world.now(), self.limits());
        let share = match class {
            RunClass::Sync => 1.0,
            RunClass::Async => settings.async_share,
            RunClass::EventSource => settings.event_source_share,
        };
        let mut state = self.state();
        let slots = f64::from(limits.slots) * state.workers.in_service() as f64;
        let may = f64::from(state.busy[class as usize]) < share * slots;
        let slot = may.then(|| state.workers.take(function, now, limits)).flatten();
        let Some(slot) = slot else {
            state.refused += 1;
            drop(state);
            self.world.record().count(series(class).1, 1);
            return Err(throttled(match may {
                true => "no worker has room",
                false => "work of this class is throttled",
            }));
        };
        state.busy[class as usize] += 1;
        self.world.record().gauge("slots-busy", f64::from(state.busy.iter().sum::<u32>()));
        drop(state);
        Ok(Held { fleet: self, slot, class, keep: None })
    }

    async fn run(&self, context: &Context, request: RunRequest) -> Result<RunResponse, Status> {
        let class = request.class();
        let function = request.function_name.as_str();
        let mut held = self.take_slot(function, class)?;
        let (cold_start, duration) = self.draw(request.items);
        let cold = !held.slot.warm;
        if cold {
            self.make_environment(context, function, cold_start).await?;
        }
        held.keep = Some(function);
        self.world.sleep(duration).await;
        let instance_id = held.slot.instance_id.clone();
        if !self.state().workers.contains(&instance_id) {
            return Err(service_error(format!("worker {instance_id} was terminated under the function")));
        }
        self.world.record().count(series(class).0, 1);
        Ok(RunResponse { instance_id, cold_start: cold })
    }

    /// A cold start: needs the function's metadata, which says where its code is.
    async fn make_environment(&self, context: &Context, function: &str, takes: Span) -> Result<(), Status> {
        let key = item([(NAME, string(function))]);
        match self.tables.within(context).get(FUNCTIONS, key).await {
            Ok(row) if row.is_empty() => Err(no_function(function)),
            Ok(_) => {
                self.world.record().count(COLD_STARTS, 1);
                self.world.sleep(takes).await;
                Ok(())
            }
            Err(status) => {
                self.world.record().count(COLD_STARTS_FAILED, 1);
                Err(service_error(format!("the function can't be loaded: {}", status.message())))
            }
        }
    }

    /// How long a cold start and the run itself take. Both are drawn for every run, so that warmth has no say in the
    /// luck of later runs.
    fn draw(&self, items: u32) -> (Span, Span) {
        let settings = self.settings.get();
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let cold_start = draw(&settings.cold_start, &mut rng);
        let duration = match items {
            0 => draw(&settings.duration, &mut rng),
            items => (0..items).fold(Span::ZERO, |sum, _| sum + draw(&settings.item_duration, &mut rng)),
        };
        (cold_start, duration)
    }
}

#[async_trait::async_trait]
impl Api for Desk {
    async fn run(&self, request: Request<RunRequest>) -> Result<Response<RunResponse>, Status> {
        let (context, request) = crate::settings::split(request);
        self.0.run(&context, request).await.map(Response::new)
    }
}
