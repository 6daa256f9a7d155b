//! `eastfall up`: launches the live fleet, plays the scenario on it, and leaves a complete run folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use eastfall_chaos::controller::{Controller, Wish};
use eastfall_fabric::clock::Clock;
use eastfall_fabric::engine::live::LiveClock;
use eastfall_fabric::fleet::Fleet;
use eastfall_fabric::network::directory::Directory;
use eastfall_fabric::record::{Layout, Report, Results};
use eastfall_topology::time::{Moment, Span};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::fleet::LiveFleet;
use super::lateness::Lateness;
use super::pipe::{FleetFile, FromInstance, Traces};
use super::preflight::{fitting_load, short_timers, take_network};
use super::progress::Progress;
use super::start::start;
use super::supervisor::{Notice, Supervisor};
use super::traces;
use crate::cli::{self, exit};
use crate::conclusion::Conclusion;
use crate::control::endpoint::{Board, Endpoint};
use crate::failure::Failure;
use crate::journal::{LAB, LabJournal};
use crate::logging;
use crate::metrics::{self, FleetMetrics};
use crate::output;
use crate::page::live::LivePage;
use crate::page::report;
use crate::page::server::Site;
use crate::run_folder::{Mode, RunWriter};
use crate::session::Session;
use crate::show;

/// Reports of an interval may come this much later than its end, on the wall, before it is closed.
const REPORT_DELAY: f64 = 0.5;

/// Launches a fleet and looks after it until its scenario ends or somebody stops it.
///
/// # Errors
/// Bad input, a machine that stands in the way, or an instance that can't start.
pub fn up(arguments: &cli::Up) -> Result<u8, Failure> {
    if !(arguments.speed.is_finite() && arguments.speed > 0.0) {
        return Err(Failure(format!("--speed {}: must be a number above zero", arguments.speed)));
    }
    let traces = traces::wanted(arguments.trace_ratio)?;
    let session = load(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure(format!("the runtime can't be built: {error}")))?;
    runtime.block_on(launch(arguments, session, traces))
}

/// The session, at a load that fits the machine unless one was asked for.
fn load(arguments: &cli::Up) -> Result<Session, Failure> {
    let session = Session::load(&arguments.scenario, Mode::Live, Some(arguments.speed))?;
    if arguments.scenario.load.is_some() {
        return Ok(session);
    }
    let fits = fitting_load(&session.topology, arguments.speed);
    output::note(format_args!(
        "load: {fits} of the topology's, which is what this machine carries at speed {}",
        arguments.speed
    ));
    let scenario = cli::Scenario { load: Some(fits), ..arguments.scenario.clone() };
    Session::load(&scenario, Mode::Live, Some(arguments.speed))
}

/// A launched fleet, and what is being recorded of it.
struct Launched {
    session: Session,
    supervisor: Supervisor,
    notices: mpsc::UnboundedReceiver<Notice>,
    clock: Clock,
    results: Results,
    writer: RunWriter,
    journal: LabJournal,
    metrics: Arc<FleetMetrics>,
}

async fn launch(arguments: &cli::Up, session: Session, traces: Option<Traces>) -> Result<u8, Failure> {
    let (network, control) = take_network(session.topology.region.port).await?;
    let scrapes = metrics::server::listen(arguments.metrics).await?;
    let directory = Directory::new(&session.topology, network)?;
    let folder = session.folder(arguments.scenario.out.as_deref());
    let writer = RunWriter::create(&folder, &session.description)?;
    let fleet_file = write_fleet_file(&session, arguments.speed, network, &folder, traces.clone())?;
    if let Some(Traces { endpoint, ratio }) = &traces {
        output::note(format_args!("traces: {ratio} of them go to {endpoint}"));
    }
    announce(&session, arguments.speed, &directory, &folder);

    let delays = session.topology.services.values().flat_map(|service| {
        service.instances.iter().map(|instance| (instance.clone(), service.restart_delay))
    });
    let (sender, mut notices) = mpsc::unbounded_channel();
    let supervisor = Supervisor::new(&fleet_file, &folder.join("logs"), delays, sender)?;
    let (clock, early) = match start(&supervisor, &mut notices, arguments.speed).await {
        Ok(begun) => begun,
        Err(failure) => {
            supervisor.end().await;
            return Err(failure);
        }
    };
    logging::begin(clock, session.scenario.timeline, LAB);
    let layout = Layout::of(&session.topology);
    let metrics = FleetMetrics::new(&session, &supervisor, clock, layout.clone());
    let metrics_server = metrics::server::open(scrapes, Arc::clone(&metrics))?;
    output::note(format_args!("metrics: http://{}/metrics", metrics_server.address()));
    let results = Results::new(layout);
    let journal = LabJournal::new(clock);
    let mut launched = Launched { session, supervisor, notices, clock, results, writer, journal, metrics };
    for report in early {
        launched.add(report);
    }
    live_through(arguments, launched, directory, control, &folder).await
}

fn write_fleet_file(
    session: &Session,
    speed: f64,
    network: u8,
    folder: &Path,
    traces: Option<Traces>,
) -> Result<PathBuf, Failure> {
    let timeline = session.scenario.timeline;
    let run = std::fs::canonicalize(folder).map_err(|error| Failure::file(folder, error))?;
    let (topology_file, topology) = session.topology.source();
    let file = run.join("fleet.json");
    let fleet = FleetFile {
        topology_file: topology_file.to_owned(),
        topology: topology.to_owned(),
        settings: session.topology.settings().iter().map(ToString::to_string).collect(),
        load: session.topology.load_factor(),
        seed: session.seed,
        speed,
        starts_at: session.scenario.timeline.time_of_day(Moment::START).as_nanos(),
        incident: (timeline.written(timeline.starts()), timeline.lead().as_nanos()),
        network,
        run,
        traces,
    };
    fleet.write(&file)?;
    Ok(file)
}

/// Says what is launched, and what to expect of it.
fn announce(session: &Session, speed: f64, directory: &Directory, folder: &Path) {
    let topology = &session.topology;
    let instances: usize = topology.services.values().map(|service| service.instances.len()).sum();
    output::note(format_args!(
        "{}: {instances} instances, {speed} times as fast as the wall",
        session.scenario.title
    ));
    output::note(format_args!("seed {}, run folder {}", session.seed, folder.display()));
    let name_server = topology
        .region
        .dns_service
        .as_deref()
        .and_then(|service| directory.of_service(service).first().copied());
    if let Some(address) = name_server {
        let name =
            topology.services.values().flat_map(|s| s.calls.values()).find_map(|edge| edge.endpoint.clone());
        let name = name.unwrap_or_default();
        output::note(format_args!("DNS: dig @{address} -p {} {name}", topology.region.dns_port));
    }
    let short = short_timers(topology, speed);
    if !short.is_empty() {
        let shown: Vec<_> = short.iter().take(4).map(String::as_str).collect();
        let more = short.len() - shown.len();
        output::note(format_args!(
            "at this speed {} timers last less than 10 ms of the wall, where the machine's own delays distort them \
             (docs/model.md, 'Time compression'):\n  {}{}",
            short.len(),
            shown.join("\n  "),
            if more > 0 { format!("\n  and {more} more") } else { String::new() }
        ));
    }
}

/// Plays the scenario and records what happens, to the end.
async fn live_through(
    arguments: &cli::Up,
    mut launched: Launched,
    directory: Directory,
    control: TcpListener,
    folder: &Path,
) -> Result<u8, Failure> {
    #[expect(clippy::disallowed_methods, reason = "how long the run took on the wall is among its results")]
    let began = std::time::Instant::now();
    let (wishes, wished) = mpsc::channel::<Wish>(16);
    let topology = launched.session.topology.clone();
    let fleet = Arc::new(LiveFleet::new(launched.supervisor.clone(), directory.clone(), topology));
    let board = Board::new(&launched.session, &launched.supervisor, &directory, launched.clock, folder);
    let endpoint = Endpoint::open(control, Arc::clone(&board), wishes, folder)?;
    output::note(format_args!("control: {} (eastfall status, set and inject find it)", endpoint.address()));
    let page = LivePage::new(&launched.session, Arc::clone(&board));
    let site = Site::beside(&endpoint, Arc::clone(&page)).await?;
    output::note(format_args!("page: {}", site.address()));

    let (stop, stopped) = oneshot::channel::<()>();
    let scenario = launched.session.scenario.clone();
    let controller =
        Controller::new(fleet as Arc<dyn Fleet>, launched.clock, Arc::new(launched.journal.clone()));
    let playing = super::supervisor::detach_with_handle(async move {
        let stopped = async {
            // An end without a word is an end too.
            let _ = stopped.await;
        };
        controller.run(&scenario, wished, stopped).await
    });

    let mut progress = Progress::new(arguments.headless);
    let interrupted = launched.watch(&board, &page, &mut progress).await?;
    progress.finish();
    drop(site);
    drop(endpoint);
    let end = launched.clock.now().min(launched.session.until);
    let _ = stop.send(());
    // What the controller mends it mends at once; a fleet that no longer answers is ended all the same.
    let _ = super::supervisor::wall_timeout(Duration::from_secs(1), playing).await;
    launched.supervisor.end().await;
    while let Ok(notice) = launched.notices.try_recv() {
        launched.note(notice);
    }
    for report in launched.journal.0.take_last(end) {
        launched.add(report);
    }
    let Launched { session, results, writer, .. } = launched;
    let conclusion = Conclusion::draw(&session, results, end, began.elapsed().as_secs_f64(), Some(writer))?;
    if let Some(lateness) = Lateness::of(conclusion.results.series(), arguments.speed) {
        output::note(lateness);
    }
    finish(arguments, &session, &conclusion, folder, interrupted)
}

fn finish(
    arguments: &cli::Up,
    session: &Session,
    conclusion: &Conclusion,
    folder: &Path,
    interrupted: bool,
) -> Result<u8, Failure> {
    // The run is there without it, and its results are what was asked for.
    if let Err(failure) = report::write(folder) {
        output::note(format_args!("no report: {failure}"));
    }
    if arguments.json {
        let text = serde_json::to_string_pretty(&conclusion.summary);
        output::line(text.map_err(|error| Failure(error.to_string()))?);
    } else {
        output::text(show::conclusion(session, conclusion, folder));
    }
    let failed = conclusion.failed_checks();
    // A run that somebody cut short has not failed.
    if interrupted || failed.is_empty() {
        return Ok(exit::DONE);
    }
    for check in failed {
        output::note(format_args!("not as expected: {check}"));
    }
    Ok(exit::FAILED)
}

impl Launched {
    /// Records until the end of the run; true if somebody stopped it before.
    async fn watch(
        &mut self,
        board: &Board,
        page: &LivePage,
        progress: &mut Progress,
    ) -> Result<bool, Failure> {
        let speed = self.clock.as_live().map_or(1.0, LiveClock::speed);
        let delay = Span::from_secs_f64(REPORT_DELAY * speed);
        let sample = self.session.topology.record.sample;
        // Often enough for people to see it move, not more often than there is something new.
        let mut ticks = self.clock.interval(sample.max(Span::from_secs_f64(0.25 * speed)));
        let mut interrupt = signal(tokio::signal::unix::SignalKind::interrupt())?;
        let mut terminate = signal(tokio::signal::unix::SignalKind::terminate())?;
        loop {
            tokio::select! {
                biased;
                _ = interrupt.recv() => return Ok(true),
                _ = terminate.recv() => return Ok(true),
                notice = self.notices.recv() => match notice {
                    Some(notice) => self.note(notice),
                    None => return Ok(true),
                },
                _ = ticks.tick() => {
                    let now = self.clock.now();
                    for report in self.journal.0.take(now) {
                        self.add(report);
                    }
                    let tick = self.results.close(now.before(delay));
                    self.metrics.note(&self.results);
                    board.note(&self.results, &tick.events);
                    page.tick(&self.results, &tick);
                    self.writer.tick(&self.results, tick)?;
                    progress.show(&self.session, now, &self.results);
                    if now >= self.session.until + delay {
                        return Ok(false);
                    }
                }
            }
        }
    }

    fn add(&mut self, report: Report) {
        self.metrics.add(&report);
        self.results.add(report);
    }

    fn note(&mut self, notice: Notice) {
        let journal = |kind: &str, instance: &str, reason: String| {
            self.journal.0.event(kind, &[("instance", instance.to_owned()), ("reason", reason)]);
        };
        match notice {
            Notice::Said(instance, message) => match message {
                FromInstance::Report(report) => self.add(report),
                FromInstance::Done { number, result } => self.supervisor.note_done(number, result),
                FromInstance::Started => {
                    self.supervisor.note_started(&instance);
                    journal("instance.started", &instance, "brought back".to_owned());
                }
                FromInstance::Failed { reason } => journal("instance.failed", &instance, reason),
                FromInstance::Loaded => {}
            },
            Notice::Died { instance, how } => {
                self.metrics.died(&instance);
                journal("instance.died", &instance, how);
            }
        }
    }
}

/// The signals of one kind, from now on.
///
/// # Errors
/// If they can't be caught.
pub(crate) fn signal(kind: tokio::signal::unix::SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    tokio::signal::unix::signal(kind).map_err(|error| Failure(format!("signals can't be caught: {error}")))
}
