//! The server's side: it passes wishes on to the chaos controller, so that they appear in the run's events.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_chaos::controller::{Request as Wanted, Wish};
use eastfall_chaos::timeline::Timeline;
use eastfall_fabric::clock::Clock;
use eastfall_fabric::engine::live::LiveClock;
use eastfall_fabric::network::directory::Directory;
use eastfall_fabric::record::{Event, Results};
use eastfall_proto::control::control_server::{Control, ControlServer};
use eastfall_proto::control::{
    EventStatus, FaultStatus, InjectRequest, InjectResponse, InstanceStatus, SetRequest, SetResponse,
    StatusRequest, StatusResponse, StopFaultsRequest, StopFaultsResponse, SystemStatus,
};
use eastfall_topology::time::Moment;
use indexmap::IndexMap;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::TOKEN;
use super::registry::{FleetEntry, Registered, register};
use crate::failure::Failure;
use crate::live::supervisor::{Standing, Supervisor};
use crate::session::Session;

/// What there is to know of a running fleet.
pub(crate) struct Board {
    scenario: String,
    run: PathBuf,
    name_server: String,
    timeline: Timeline,
    clock: Clock,
    supervisor: Supervisor,
    /// Instance, service, system, addresses.
    instances: Vec<(String, String, String, Vec<String>)>,
    window_share: f64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// By id: the fault in words, and since when.
    faults: BTreeMap<String, (String, String)>,
    settings: Vec<String>,
    systems: Vec<SystemStatus>,
    events: VecDeque<EventStatus>,
}

/// Events that are kept to be shown.
const EVENTS: usize = 50;

impl Board {
    /// A board of a fleet that has just begun.
    pub(crate) fn new(
        session: &Session,
        supervisor: &Supervisor,
        directory: &Directory,
        clock: Clock,
        run: &Path,
    ) -> Arc<Board> {
        let topology = &session.topology;
        let name_server =
            topology.region.dns_service.as_deref().and_then(|dns| directory.of_service(dns).first().copied());
        let instances = topology.services.values().flat_map(|service| {
            service.instances.iter().map(|instance| {
                let addresses = directory.of_instance(instance).iter().map(ToString::to_string).collect();
                (instance.clone(), service.name.clone(), service.system.clone(), addresses)
            })
        });
        Arc::new(Board {
            scenario: session.scenario.id.clone(),
            run: run.to_owned(),
            name_server: name_server
                .map(|address| format!("{address}:{}", topology.region.dns_port))
                .unwrap_or_default(),
            timeline: session.scenario.timeline,
            clock,
            supervisor: supervisor.clone(),
            instances: instances.collect(),
            window_share: topology.record.window_share,
            seen: Mutex::default(),
        })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up what has been recorded.
    pub(crate) fn note(&self, results: &Results, events: &[Event]) {
        let mut seen = self.seen();
        for event in events {
            self.remember(&mut seen.events, event);
            let field = |name: &str| event.fields.get(name).map(ToString::to_string).unwrap_or_default();
            match event.kind.as_ref() {
                "fault.injected" => {
                    let since = self.timeline.written(self.timeline.date(event.at));
                    seen.faults.insert(field("id"), (field("fault"), since));
                }
                "fault.ended" => {
                    seen.faults.remove(&field("id"));
                }
                "setting.changed" => seen.settings.push(format!("{}={}", field("path"), field("value"))),
                _ => {}
            }
        }
        let minute = 60.0 / results.layout().sample.as_secs_f64();
        let recent = |name: String| -> f64 {
            let values = results.series().values(&name).unwrap_or_default();
            values.iter().rev().take(minute.ceil() as usize).filter(|value| value.is_finite()).sum()
        };
        seen.systems = results
            .systems()
            .map(|system| {
                let requests = recent(format!("system.{}.requests", system.name));
                let failed = recent(format!("system.{}.failed", system.name))
                    + recent(format!("system.{}.rejected", system.name));
                SystemStatus {
                    name: system.name.to_string(),
                    requests: requests as u64,
                    attempts: recent(format!("system.{}.attempts", system.name)) as u64,
                    retries: recent(format!("system.{}.retries", system.name)) as u64,
                    failed: failed as u64,
                    impaired: requests > 0.0 && failed / requests >= self.window_share,
                }
            })
            .collect();
    }

    /// The present moment.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// How every instance stands, in a word.
    pub(crate) fn standings(&self) -> IndexMap<String, String> {
        let standing = |name: &str| {
            let standing = self.supervisor.standing(name).map_or(Standing::Down, |(standing, _)| standing);
            format!("{standing:?}").to_lowercase()
        };
        self.instances.iter().map(|(name, ..)| (name.clone(), standing(name))).collect()
    }

    fn status(&self) -> StatusResponse {
        let seen = self.seen();
        let instance = |(name, service, system, addresses): &(String, String, String, Vec<String>)| {
            let (standing, pid) = self.supervisor.standing(name).unwrap_or((Standing::Down, None));
            InstanceStatus {
                name: name.clone(),
                service: service.clone(),
                system: system.clone(),
                state: format!("{standing:?}").to_lowercase(),
                pid: pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
                addresses: addresses.clone(),
            }
        };
        let fault = |(id, (fault, since)): (&String, &(String, String))| FaultStatus {
            id: id.clone(),
            fault: fault.clone(),
            since: since.clone(),
            until: String::new(),
        };
        StatusResponse {
            now: self.timeline.written(self.timeline.date(self.clock.now())),
            speed: self.clock.as_live().map_or(1.0, LiveClock::speed),
            scenario: self.scenario.clone(),
            run: self.run.display().to_string(),
            name_server: self.name_server.clone(),
            instances: self.instances.iter().map(instance).collect(),
            faults: seen.faults.iter().map(fault).collect(),
            systems: seen.systems.clone(),
            settings: seen.settings.clone(),
            events: seen.events.iter().cloned().collect(),
        }
    }

    fn remember(&self, events: &mut VecDeque<EventStatus>, event: &Event) {
        let at = self.timeline.written(self.timeline.date(event.at));
        let fields = event.fields.iter().map(|(name, value)| format!("{name}={value}"));
        let text = fields.collect::<Vec<_>>().join(" ");
        let again = events.iter().rposition(|old| old.kind == event.kind && *old.service == *event.service);
        let before = again.and_then(|index| events.remove(index));
        let times = before.map_or(0, |before| before.times).saturating_add(1);
        events.push_back(EventStatus {
            at,
            kind: event.kind.clone(),
            service: event.service.to_string(),
            text,
            times,
        });
        if events.len() > EVENTS {
            events.pop_front();
        }
    }
}

/// An open endpoint; it closes when this is dropped.
pub(crate) struct Endpoint {
    address: SocketAddr,
    token: String,
    desk: Desk,
    _registered: Registered,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Endpoint {
    /// Serves on a listener, and enters the fleet among those that are up.
    ///
    /// # Errors
    /// If the fleet can't be entered.
    pub(crate) fn open(
        listener: TcpListener,
        board: Arc<Board>,
        wishes: mpsc::Sender<Wish>,
        run: &Path,
    ) -> Result<Endpoint, Failure> {
        let address = listener.local_addr().map_err(|error| Failure(error.to_string()))?;
        let token = token()?;
        let run = std::fs::canonicalize(run).map_err(|error| Failure::file(run, error))?;
        let pid = i32::try_from(std::process::id()).unwrap_or_default();
        let entry = FleetEntry { pid, address: address.to_string(), token: token.clone(), run };
        let registered = register(&entry)?;
        let desk = Desk { board, wishes };
        let asked = token.clone();
        let service = ControlServer::with_interceptor(desk.clone(), move |request: Request<()>| {
            let shown = request.metadata().get(TOKEN).map(|value| value.as_bytes());
            if shown == Some(asked.as_bytes()) {
                Ok(request)
            } else {
                Err(Status::unauthenticated(
                    "this endpoint asks for the fleet's token, which only its user can read",
                ))
            }
        });
        let serving = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
        let serving = crate::live::supervisor::detach_with_handle(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the control endpoint stopped");
            }
        });
        Ok(Endpoint { address, token, desk, _registered: registered, serving })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a caller must show.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Where wishes are taken.
    pub(crate) fn desk(&self) -> Desk {
        self.desk.clone()
    }
}

/// 128 bits that nobody can guess, in hexadecimal.
fn token() -> Result<String, Failure> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0_u8; 16];
    let read = std::fs::File::open(source).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| Failure::file(source, error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Where wishes are taken. What they answer is for people.
#[derive(Clone)]
pub(crate) struct Desk {
    board: Arc<Board>,
    wishes: mpsc::Sender<Wish>,
}

impl Desk {
    /// Changes a setting, `PATH=VALUE`; how many instances have it in force now.
    pub(crate) async fn set(&self, setting: &str) -> Result<usize, String> {
        self.wish(Wanted::Set(setting.to_owned())).await?;
        let up = |(name, ..): &&(String, String, String, Vec<String>)| {
            matches!(self.board.supervisor.standing(name), Some((Standing::Up, _)))
        };
        Ok(self.board.instances.iter().filter(up).count())
    }

    /// Breaks something, in words; the fault's id.
    pub(crate) async fn inject(&self, fault: &str) -> Result<String, String> {
        let injection =
            fault.parse().map_err(|error: eastfall_fabric::fault::FaultError| error.to_string())?;
        let answer = self.wish(Wanted::Inject(injection)).await?;
        Ok(answer.split(':').next().unwrap_or_default().to_owned())
    }

    /// Ends a fault by its id, or all of them; how many.
    pub(crate) async fn stop(&self, id: &str) -> Result<usize, String> {
        let ids = if id.is_empty() {
            self.board.seen().faults.keys().cloned().collect()
        } else {
            vec![id.to_owned()]
        };
        let count = ids.len();
        for id in ids {
            self.wish(Wanted::Remove(id)).await?;
        }
        Ok(count)
    }

    async fn wish(&self, wanted: Wanted) -> Result<String, String> {
        let (wish, answer) = Wish::new(wanted);
        let over = || "the run is over".to_owned();
        self.wishes.send(wish).await.map_err(|_| over())?;
        answer.await.map_err(|_| over())?
    }
}

#[tonic::async_trait]
impl Control for Desk {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(self.board.status()))
    }

    async fn set(&self, request: Request<SetRequest>) -> Result<Response<SetResponse>, Status> {
        let count = Desk::set(self, &request.into_inner().setting).await.map_err(Status::invalid_argument)?;
        Ok(Response::new(SetResponse { acknowledged: u32::try_from(count).unwrap_or(u32::MAX) }))
    }

    async fn inject(&self, request: Request<InjectRequest>) -> Result<Response<InjectResponse>, Status> {
        let id = Desk::inject(self, &request.into_inner().fault).await.map_err(Status::invalid_argument)?;
        Ok(Response::new(InjectResponse { id }))
    }

    async fn stop_faults(
        &self,
        request: Request<StopFaultsRequest>,
    ) -> Result<Response<StopFaultsResponse>, Status> {
        let count = self.stop(&request.into_inner().id).await.map_err(Status::invalid_argument)?;
        Ok(Response::new(StopFaultsResponse { stopped: u32::try_from(count).unwrap_or(u32::MAX) }))
    }
}
