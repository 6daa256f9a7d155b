//! The queue on nexosim: two models, a source that sends arrivals and a server that schedules departures.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eastfall_fabric::distribution::draw;
use eastfall_fabric::rng::{Rng, stream};
use eastfall_topology::Distribution;
use nexosim::model::{Context, Model, schedulable};
use nexosim::ports::Output;
use nexosim::simulation::{Mailbox, SimInit};
use nexosim::time::MonotonicTime;
use serde::{Deserialize, Serialize};

use super::{CUSTOMERS, between_arrivals, service_time};

/// A model's luck. Models can be written down and read back; this one is not, for nobody does it here.
struct Luck(Rng);

impl Luck {
    fn next(&mut self, distribution: &Distribution) -> Duration {
        Duration::from_nanos(draw(distribution, &mut self.0).as_nanos())
    }
}

impl Default for Luck {
    fn default() -> Self {
        Luck(stream(0, "luck"))
    }
}

#[derive(Serialize, Deserialize)]
struct Source {
    arrival: Output<()>,
    left: u32,
    #[serde(skip)]
    luck: Luck,
}

#[Model]
impl Source {
    #[nexosim(init)]
    async fn init(&mut self, context: &Context<Self>) {
        self.await_next(context);
    }

    #[nexosim(schedulable)]
    async fn arrive(&mut self, (): (), context: &Context<Self>) {
        self.arrival.send(()).await;
        self.await_next(context);
    }

    fn await_next(&mut self, context: &Context<Self>) {
        if self.left > 0 {
            self.left -= 1;
            let pause = self.luck.next(&between_arrivals());
            context.schedule_event(pause, schedulable!(Self::arrive), ()).expect("it is later");
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Server {
    /// When those who are there came; the first is being served.
    arrived: VecDeque<MonotonicTime>,
    #[serde(skip)]
    times: Arc<Mutex<Vec<u64>>>,
    #[serde(skip)]
    luck: Luck,
}

#[Model]
impl Server {
    async fn enter(&mut self, (): (), context: &Context<Self>) {
        self.arrived.push_back(context.time());
        if self.arrived.len() == 1 {
            self.begin(context);
        }
    }

    #[nexosim(schedulable)]
    async fn end(&mut self, (): (), context: &Context<Self>) {
        if let Some(arrived) = self.arrived.pop_front() {
            let nanos = context.time().duration_since(arrived).as_nanos() as u64;
            self.times.lock().unwrap_or_else(PoisonError::into_inner).push(nanos);
        }
        if !self.arrived.is_empty() {
            self.begin(context);
        }
    }

    fn begin(&mut self, context: &Context<Self>) {
        let service = self.luck.next(&service_time());
        context.schedule_event(service, schedulable!(Self::end), ()).expect("it is later");
    }
}

/// How long each customer was there, in nanoseconds.
pub fn run(seed: u64) -> Vec<u64> {
    let mut source =
        Source { arrival: Output::default(), left: CUSTOMERS, luck: Luck(stream(seed, "arrivals")) };
    let times = Arc::new(Mutex::new(Vec::with_capacity(CUSTOMERS as usize)));
    let server =
        Server { arrived: VecDeque::new(), times: Arc::clone(&times), luck: Luck(stream(seed, "service")) };
    let (source_box, server_box) = (Mailbox::new(), Mailbox::new());
    source.arrival.connect(Server::enter, &server_box);
    let mut simulation = SimInit::with_num_threads(1)
        .add_model(source, source_box, "source")
        .add_model(server, server_box, "server")
        .init(MonotonicTime::EPOCH)
        .expect("a sound model");
    simulation.run().expect("it comes to an end");
    std::mem::take(&mut times.lock().unwrap_or_else(PoisonError::into_inner))
}
