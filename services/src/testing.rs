//! For tests: a small region in virtual time, and a way to do something in it.

pub(crate) mod identity;

use std::sync::{Arc, Mutex};

use eastfall_fabric::engine::sim;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::record::Report;
use eastfall_fabric::simulation::{LAB, Setup, Simulation};
use eastfall_fabric::world::Kind;
use eastfall_topology::{Span, Topology};

/// A region that runs.
pub(crate) struct Lab {
    pub(crate) simulation: Simulation,
    reports: Mutex<Vec<Report>>,
}

impl Lab {
    /// Starts everything that a topology names.
    pub(crate) fn start(text: &str, seed: u64) -> Lab {
        Lab::start_with(text, seed, crate::kinds())
    }

    /// The same with other kinds of service: for the part of another system that a test needs to have in hand.
    pub(crate) fn start_with(text: &str, seed: u64, kinds: Vec<Kind>) -> Lab {
        let schemas: Vec<_> = kinds.iter().map(|kind| kind.schema).collect();
        let source = eastfall_topology::Source { file: "test.toml", text };
        let topology =
            Topology::load(source, &[], &schemas, 1.0).unwrap_or_else(|problems| panic!("{problems}"));
        let setup = Setup { seed, starts_at: Span::ZERO, codec: false };
        let simulation = Simulation::new(topology, kinds, &setup).expect("a region");
        simulation.start_all();
        let lab = Lab { simulation, reports: Mutex::default() };
        lab.run_for(Span::from_secs(1));
        assert_eq!(lab.simulation.start_failures(), Vec::<String>::new(), "everything starts");
        lab
    }

    /// A client as an instance has it.
    pub(crate) fn client(&self, instance: &str, callee: &str) -> Client {
        self.simulation.world(instance).expect("a running instance").dial(callee).expect("an edge")
    }

    /// Lets time pass.
    pub(crate) fn run_for(&self, span: Span) {
        self.simulation.run_until(sim::now() + span);
        self.reports.lock().expect("reports").extend(self.simulation.take_reports(sim::now()));
    }

    /// Does something and waits for its end.
    pub(crate) fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        let task = async move {
            let value = future.await;
            *slot.lock().expect("slot") = Some(value);
        };
        sim::spawn(LAB, Box::pin(task));
        for _ in 0..100_000 {
            self.simulation.run_until(sim::now() + Span::from_millis(1));
            if let Some(value) = result.lock().expect("slot").take() {
                return value;
            }
        }
        panic!("it did not come to an end in 100 s");
    }

    /// The last value of a series, and the sum of all its values.
    pub(crate) fn last_and_sum(&self, name: &str) -> Option<(f64, f64)> {
        let reports = self.reports.lock().expect("reports");
        let samples = reports.iter().filter_map(|report| match report {
            Report::Sample(sample) => Some(&sample.readings),
            _ => None,
        });
        let readings = samples.flatten().filter(|reading| &*reading.name == name);
        readings.fold(None, |before, reading| {
            Some((reading.value, before.map_or(0.0, |(_, sum)| sum) + reading.value))
        })
    }

    /// The last value of a gauge of one service, of several that have one of that name.
    pub(crate) fn last_of(&self, service: &str, name: &str) -> Option<f64> {
        let reports = self.reports.lock().expect("reports");
        let mut readings = reports.iter().rev().filter_map(|report| match report {
            Report::Sample(sample) if &*sample.service == service => {
                sample.readings.iter().find(|reading| &*reading.name == name)
            }
            _ => None,
        });
        readings.next().map(|reading| reading.value)
    }

    /// Forgets what was recorded up to now.
    pub(crate) fn forget(&self) {
        self.reports.lock().expect("reports").clear();
    }

    /// Everything that was recorded up to now.
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.reports.lock().expect("reports").clone()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.simulation.finish();
    }
}
