//! `eastfall serve`: one instance of a live fleet.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use eastfall_fabric::clock::Clock;
use eastfall_fabric::engine::fine::FineTimer;
use eastfall_fabric::engine::live::LiveClock;
use eastfall_fabric::fleet::Command;
use eastfall_fabric::network::directory::Directory;
use eastfall_fabric::network::live::LiveBackend;
use eastfall_fabric::record::Recorder;
use eastfall_fabric::world::{Instance, Kind, Region, World};
use eastfall_topology::{Setting, Topology};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};

use super::lateness;
use super::pipe::{FleetFile, FromInstance, ToInstance};
use super::supervisor::wall_timeout;
use super::traces;
use crate::cli::{self, exit};

/// How long the last spans may take to be sent, on the wall.
const LAST_SPANS: Duration = Duration::from_millis(500);

/// Is an instance until the supervisor says stop or goes away.
pub fn serve(arguments: &cli::Serve) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the runtime can't be built: {error}")),
    };
    match runtime.block_on(be_instance(arguments)) {
        Ok(()) => ExitCode::from(exit::DONE),
        Err(reason) => fail(&reason),
    }
}

fn fail(reason: &str) -> ExitCode {
    say(&FromInstance::Failed { reason: reason.to_owned() });
    tracing::error!(reason, "the instance can't go on");
    ExitCode::from(exit::USAGE)
}

/// Writes one line to the supervisor. If that is gone, so will we be: standard input has ended too.
fn say(message: &FromInstance) {
    if let Ok(line) = serde_json::to_string(message) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

async fn be_instance(arguments: &cli::Serve) -> Result<(), String> {
    let fleet = FleetFile::read(&arguments.fleet)?;
    let kinds = eastfall_services::kinds();
    let schemas: Vec<_> = kinds.iter().map(|kind| kind.schema).collect();
    let topology = fleet.load_topology(&schemas).map_err(|problems| problems.to_string())?;
    let (instance, kind) = find(&topology, &kinds, &arguments.instance)?;
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    say(&FromInstance::Loaded);

    let Some(origin) = wait_for_begin(&mut input).await? else { return Ok(()) };
    let clock = LiveClock::new(UNIX_EPOCH + Duration::from_nanos(origin), fleet.speed);
    let fine = FineTimer::start();
    let clock = Clock::live(fine.as_ref().map_or(clock, |timer| clock.with_fine_waits(timer)));
    crate::logging::begin(clock, fleet.timeline()?, &arguments.instance);
    if let Err(error) = fine {
        tracing::warn!(%error, "short waits are rounded up to whole milliseconds of the wall");
    }
    let sample = topology.record.sample;
    let recorder = Recorder::new(clock, instance.origin(), topology.record.histograms);
    recorder.keep_server_latencies();
    let world = enter_world(&fleet, topology, instance, clock, recorder)?;
    let exporter = match &fleet.traces {
        Some(traces) => Some(traces::start(traces, &world, clock, origin)?),
        None => None,
    };
    (kind.start)(world.clone()).await.map_err(|error| error.to_string())?;
    say(&FromInstance::Started);
    tracing::info!(speed = fleet.speed, "the instance serves");

    let mut ticks = clock.interval(sample);
    loop {
        let line = tokio::select! {
            biased;
            line = input.next_line() => line,
            at = ticks.tick() => {
                lateness::note(world.record(), at, clock.now());
                hand_over(&world, at);
                continue;
            }
        };
        match line.map_err(|error| format!("standard input: {error}"))? {
            Some(line) if !obey(&world, &line)? => {}
            _ => break,
        }
    }
    for report in world.record().take_last(clock.now()) {
        say(&FromInstance::Report(report));
    }
    tracing::info!("the instance was told to stop");
    if let Some(exporter) = exporter {
        // The last spans, if the collector takes them at once: the supervisor does not wait for long.
        let _ = wall_timeout(LAST_SPANS, exporter.flush()).await;
    }
    Ok(())
}

/// The instance and its kind, by name.
fn find(topology: &Topology, kinds: &[Kind], name: &str) -> Result<(Instance, Kind), String> {
    let mut services = topology.services.values();
    let (service, index) = services
        .find_map(|service| Some((service, service.instances.iter().position(|instance| instance == name)?)))
        .ok_or_else(|| format!("the topology has no instance {name}"))?;
    let kind = kinds.iter().find(|kind| kind.schema.name == service.kind);
    let kind = kind.ok_or_else(|| format!("there is no kind {}", service.kind))?;
    let instance = Instance {
        name: name.to_owned(),
        service: service.name.clone(),
        system: service.system.clone(),
        index,
    };
    Ok((instance, kind.clone()))
}

async fn wait_for_begin(input: &mut Lines<BufReader<Stdin>>) -> Result<Option<u64>, String> {
    while let Some(line) = input.next_line().await.map_err(|error| format!("standard input: {error}"))? {
        if let ToInstance::Begin { origin } = parse(&line)? {
            return Ok(Some(origin));
        }
    }
    Ok(None)
}

fn parse(line: &str) -> Result<ToInstance, String> {
    serde_json::from_str(line).map_err(|error| format!("the supervisor said `{line}`: {error}"))
}

fn enter_world(
    fleet: &FleetFile,
    topology: Topology,
    instance: Instance,
    clock: Clock,
    recorder: Recorder,
) -> Result<World, String> {
    let directory = Directory::new(&topology, fleet.network)?;
    let (port, dns_port) = (topology.region.port, topology.region.dns_port);
    let dns_service = topology.region.dns_service.clone();
    let name_server = dns_service.and_then(|service| directory.of_service(&service).first().copied());
    let backend = LiveBackend {
        port,
        name_server: name_server.map(|address| SocketAddr::from((address, dns_port))),
        dns_port,
        disks: fleet.run.join("disks").join(&instance.name),
    };
    let region = Region::new(clock, fleet.seed, topology, directory, fleet.starts_at());
    Ok(World::new(instance, region, Arc::new(backend), recorder))
}

/// Hands over what was recorded up to a moment.
fn hand_over(world: &World, at: eastfall_topology::time::Moment) {
    world.sample();
    for report in world.record().take(at) {
        say(&FromInstance::Report(report));
    }
}

/// Does as it is told; true if told to stop.
fn obey(world: &World, line: &str) -> Result<bool, String> {
    let ToInstance::Command { number, command } = parse(line)? else { return Ok(false) };
    let region = world.region();
    let result = match command {
        Command::Stop => return Ok(true),
        Command::Set { path, value } => {
            region.set(&Setting { path, value }).map_err(|problems| problems.to_string())
        }
        Command::AddFault { id, fault } => {
            region.faults.add(&id, fault);
            Ok(())
        }
        Command::RemoveFault { id } => {
            region.faults.remove(&id);
            Ok(())
        }
    };
    say(&FromInstance::Done { number, result });
    Ok(false)
}
