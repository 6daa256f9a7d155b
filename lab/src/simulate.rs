//! A run in virtual time.

use std::sync::Arc;

use eastfall_chaos::controller::Controller;
use eastfall_fabric::clock::Clock;
use eastfall_fabric::engine::sim::{self, Stopped};
use eastfall_fabric::fleet::Fleet;
use eastfall_fabric::record::{Layout, Results};
use eastfall_fabric::simulation::{LAB, Setup, Simulation};
use eastfall_topology::time::Moment;

use crate::conclusion::Conclusion;
use crate::failure::Failure;
use crate::journal::LabJournal;
use crate::run_folder::RunWriter;
use crate::session::Session;

/// How a run in virtual time is made.
#[derive(Default)]
pub struct Options<'a> {
    /// Every call goes through the generated client, the wire format and the generated server.
    pub codec: bool,
    /// Writes the run's folder.
    pub writer: Option<RunWriter>,
    /// Told of the present moment, every sampling interval.
    pub progress: Option<&'a mut dyn FnMut(Moment)>,
    /// Asked as often whether to give up.
    pub stop: Option<&'a dyn Fn() -> bool>,
}

/// Runs a session from its start to its end, on this thread.
///
/// # Errors
/// If the region can't be built, an instance does not start, time stands still, the run is given up, or the folder can't
/// be written.
pub fn simulate(session: &Session, options: Options<'_>) -> Result<Conclusion, Failure> {
    #[expect(clippy::disallowed_methods, reason = "how long the run took on the wall is among its results")]
    let began = std::time::Instant::now();
    let Options { codec, mut writer, mut progress, stop } = options;
    let timeline = &session.scenario.timeline;
    let setup = Setup { seed: session.seed, starts_at: timeline.time_of_day(Moment::START), codec };
    let simulation = Simulation::new(session.topology.clone(), eastfall_services::kinds(), &setup)?;
    let mut results = Results::new(Layout::of(&session.topology));
    let journal = LabJournal::new(Clock::virtual_time());
    play(session, &simulation, &journal);
    simulation.start_all();

    let sample = session.topology.record.sample;
    let mut now = Moment::START;
    while now < session.until {
        now = (now + sample).min(session.until);
        if simulation.run_until(now) == Stopped::Livelock {
            return Err(Failure(format!(
                "time stands still at {}: tasks wake each other for ever; the run folder shows what led there",
                timeline.written(timeline.date(now))
            )));
        }
        let last = now == session.until;
        let reports = if last { simulation.take_last_reports(now) } else { simulation.take_reports(now) };
        for report in reports.into_iter().chain(journal.0.take(now)) {
            results.add(report);
        }
        let tick = results.close(now);
        if let Some(writer) = &mut writer {
            writer.tick(&results, tick)?;
        }
        if let Some(progress) = &mut progress {
            progress(now);
        }
        if stop.is_some_and(|stop| stop()) {
            simulation.finish();
            return Err(Failure("the run was given up".to_owned()));
        }
        if let Some(failure) = simulation.start_failures().first() {
            return Err(Failure(format!("an instance did not start: {failure}")));
        }
    }
    simulation.finish();
    // With what its disks held: what is to be written of the run needs room, too.
    drop(simulation);
    Conclusion::draw(session, results, now, began.elapsed().as_secs_f64(), writer)
}

/// Lets the controller play the scenario beside the region.
fn play(session: &Session, simulation: &Simulation, journal: &LabJournal) {
    let fleet: Arc<dyn Fleet> = Arc::new(simulation.clone());
    let controller = Controller::new(fleet, Clock::virtual_time(), Arc::new(journal.clone()));
    let scenario = session.scenario.clone();
    sim::spawn(
        LAB,
        Box::pin(async move {
            // Nobody wishes for anything in virtual time.
            let (_, nobody) = tokio::sync::mpsc::channel(1);
            controller.run(&scenario, nobody, std::future::pending()).await;
        }),
    );
}
