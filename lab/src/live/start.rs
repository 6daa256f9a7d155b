//! How a fleet starts: all processes load, time is set to begin a little later, and all start while it stands.
//!
//! A process takes seconds of the wall to start where the machine is busy, and at 300 times the wall five of those are the
//! whole time that a night's region has before its trigger. So the origin of time lies in the future: until then every
//! clock shows the first moment, and whoever has started waits there for the others.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use eastfall_fabric::clock::Clock;
use eastfall_fabric::engine::live::LiveClock;
use eastfall_fabric::record::Report;
use tokio::sync::mpsc;

use super::pipe::FromInstance;
use super::supervisor::{Notice, Supervisor, wall_timeout};
use crate::failure::Failure;

/// How long the whole fleet may take to load, and to start, on the wall.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The shortest time before the origin, on the wall.
const SHORTEST_LEAD: Duration = Duration::from_millis(250);

/// Starts all processes, lets time begin when all are loaded, and waits until all serve. Returns also what the first of
/// them reported while the last ones started.
///
/// # Errors
/// An instance that can't start, or takes too long.
#[expect(clippy::disallowed_methods, reason = "this is where incident time is tied to the wall's")]
pub(super) async fn start(
    supervisor: &Supervisor,
    notices: &mut mpsc::UnboundedReceiver<Notice>,
    speed: f64,
) -> Result<(Clock, Vec<Report>), Failure> {
    let all: BTreeSet<String> = supervisor.instances().into_iter().collect();
    let began = Instant::now();
    for instance in &all {
        supervisor.start(instance)?;
    }
    let mut early = Vec::new();
    wait_for(notices, &all, &mut early, |message| matches!(message, FromInstance::Loaded)).await?;
    // To start takes about as long as to load: sockets and stores instead of the program and the topology. Who takes
    // longer starts in the first minutes, as one that is brought back.
    let lead = began.elapsed().max(SHORTEST_LEAD);
    let origin = SystemTime::now() + lead;
    let nanos = origin.duration_since(UNIX_EPOCH).map_err(|error| Failure(error.to_string()))?.as_nanos();
    let clock = Clock::live(LiveClock::new(origin, speed));
    supervisor.begin(u64::try_from(nanos).unwrap_or(u64::MAX), clock);
    wait_for(notices, &all, &mut early, |message| matches!(message, FromInstance::Started)).await?;
    for instance in &all {
        supervisor.note_started(instance);
    }
    Ok((clock, early))
}

/// Waits until these instances have said something; what others report meanwhile is kept.
async fn wait_for(
    notices: &mut mpsc::UnboundedReceiver<Notice>,
    all: &BTreeSet<String>,
    early: &mut Vec<Report>,
    is_it: impl Fn(&FromInstance) -> bool,
) -> Result<(), Failure> {
    let mut missing = all.clone();
    let waiting = async {
        while !missing.is_empty() {
            match notices.recv().await {
                Some(Notice::Said(instance, FromInstance::Failed { reason })) => {
                    return Err(Failure(format!("{instance} can't start: {reason}")));
                }
                Some(Notice::Said(instance, message)) if is_it(&message) => {
                    missing.remove(&instance);
                }
                Some(Notice::Died { instance, how }) => {
                    return Err(Failure(format!(
                        "{instance} ended before it served ({how}); its log says why"
                    )));
                }
                Some(Notice::Said(_, FromInstance::Report(report))) => early.push(report),
                Some(Notice::Said(..)) => {}
                None => break,
            }
        }
        Ok(())
    };
    let outcome = wall_timeout(START_LIMIT, waiting).await;
    outcome.unwrap_or_else(|_| {
        let missing: Vec<_> = missing.into_iter().collect();
        Err(Failure(format!("not up within {} s: {}", START_LIMIT.as_secs(), missing.join(", "))))
    })
}
