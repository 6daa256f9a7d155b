//! The queue on our engine: a task for every customer, who visits a station.

use std::sync::{Arc, Mutex, PoisonError};

use eastfall_fabric::capacity::Station;
use eastfall_fabric::clock::Clock;
use eastfall_fabric::distribution::draw;
use eastfall_fabric::engine::sim;
use eastfall_fabric::record::ServerRecorder;
use eastfall_fabric::rng::stream;
use eastfall_topology::{Capacity, Moment, Queue};

use super::{CUSTOMERS, between_arrivals, service_time};

/// How long each customer was there, in nanoseconds.
pub fn run(seed: u64) -> Vec<u64> {
    let capacity =
        Capacity { workers: 1, service_time: service_time(), queue: Queue::default(), slowdown: 0.0 };
    let clock = Clock::virtual_time();
    sim::reset();
    let station = Station::new(clock, stream(seed, "service"), capacity, ServerRecorder::default());
    let times = Arc::new(Mutex::new(Vec::with_capacity(CUSTOMERS as usize)));
    let noted = Arc::clone(&times);
    let mut luck = stream(seed, "arrivals");
    let source = async move {
        for _ in 0..CUSTOMERS {
            clock.sleep(draw(&between_arrivals(), &mut luck)).await;
            let (station, noted) = (station.clone(), Arc::clone(&noted));
            let customer = async move {
                let arrived = clock.now();
                station.visit(None, None, 1.0).await.expect("the queue has no limit");
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.push(clock.now().since(arrived).as_nanos());
            };
            sim::spawn(sim::Owner(1), Box::pin(customer));
        }
    };
    sim::spawn(sim::Owner(1), Box::pin(source));
    sim::run_until(Moment::MAX);
    sim::reset();
    std::mem::take(&mut times.lock().unwrap_or_else(PoisonError::into_inner))
}
