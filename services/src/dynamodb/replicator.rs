//! Kind `dynamodb-global-tables`: copies changes between the region's tables and their replicas in other regions.
//!
//! One instance a region beside ours, named after it, paired by position with the instances of its `dynamodb-replica`.
//! It reads our region's change streams through the public regional name, like every customer, so when that name
//! resolves to nothing it can neither read nor write here: replicas go on serving, and what either side changes in the
//! meantime waits in the streams. Afterwards it catches up at a bounded rate.
//!
//! A link carries only what was first written in the region it reads from, so there are no loops; the last writer wins,
//! so it may repeat itself after a restart.

use std::sync::Arc;

use eastfall_fabric::disk::Disk;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_topology::Span;

use super::balancer::BalancerParams;
use super::replica::{ReplicaParams, region_of};
use crate::settings::{Settings, callee_of_kind, instance_count};

mod link;

use link::Link;

eastfall_topology::params! {
    /// Global Tables: replicates every table with a stream between the region and one other.
    pub struct ReplicatorParams for "dynamodb-global-tables" {
        /// How often a stream is asked for changes (assumption: the real thing is usually below a second behind;
        /// 5s keeps the calls few and is little beside the hours that are measured).
        poll_interval: Span = "5s", range "100ms"..="10m";
        /// Changes a second that one direction applies at most. Calibrated: two changes a second that waited 157
        /// minutes, 18,840 of them, then take 5.4 minutes at 60 a second, which with the resolvers' negative caches
        /// agrees with the published 02:32 after DNS was right at 02:25.
        records_per_second: f64 = 60.0, range 0.001..=1e9, scaled by load;
        /// Changes carried at a time (published for streams: up to 1,000; at most 100 here, as in a transaction).
        batch: u32 = 100, range 1..=100;
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: ReplicatorParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let home_service = callee_of_kind(&world, BalancerParams::SCHEMA.name)?;
    let replica_service = callee_of_kind(&world, ReplicaParams::SCHEMA.name)?;
    let replicas: Vec<String> = match world.topology().services.get(&replica_service) {
        Some(service) => service.instances.iter().map(|name| region_of(&replica_service, name)).collect(),
        None => Vec::new(),
    };
    let own = world.instance().index;
    let Some(own_region) =
        replicas.get(own).filter(|_| replicas.len() == instance_count(&world, &world.instance().service))
    else {
        return Err(StartError(format!(
            "service {} needs as many instances as {replica_service}: they are paired in order",
            world.instance().service
        )));
    };
    let settings = Arc::new(Settings::<ReplicatorParams>::new(&world));
    let disk = world.disk("positions").await?;
    let home = || Ok::<_, StartError>((world.topology().region.name.clone(), world.dial(&home_service)?));
    let replica = |index: usize| {
        Ok::<_, StartError>((replicas[index].clone(), world.dial_instance(&replica_service, index)?))
    };
    let mut links = vec![
        Link::new(&world, &settings, &disk, home()?, replica(own)?, true)?,
        Link::new(&world, &settings, &disk, replica(own)?, home()?, false)?,
    ];
    for other in (0..replicas.len()).filter(|other| *other != own) {
        links.push(Link::new(&world, &settings, &disk, replica(other)?, replica(own)?, false)?);
    }
    world.record().event("replication.started", &[("region", own_region.clone())]);
    let links: Vec<Arc<Link>> = links.into_iter().map(Arc::new).collect();
    for link in &links {
        let link = Arc::clone(link);
        world.spawn(async move { link.run().await });
    }
    keep_measuring(&world, links);
    Ok(())
}

/// Records the lag, also while every call hangs.
fn keep_measuring(world: &World, links: Vec<Arc<Link>>) {
    let clock = world.clock();
    let task_world = world.clone();
    world.spawn(async move {
        let mut ticks = clock.interval(task_world.topology().record.sample);
        loop {
            let now = ticks.tick().await;
            let lag = links.iter().map(|link| link.lag(now)).max().unwrap_or_default();
            task_world.record().gauge_max("lag-seconds", lag.as_secs_f64());
        }
    });
}

/// How far a shard of a table has been copied, and where that is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    /// The last record that is done with.
    sequence_number: u64,
    /// Every change made before this moment (nanoseconds) is done with.
    complete_to: u64,
}

impl Position {
    fn to_bytes(self) -> Vec<u8> {
        [self.sequence_number.to_be_bytes(), self.complete_to.to_be_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Position> {
        let (sequence_number, complete_to) = bytes.split_at_checked(8)?;
        let number = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?));
        Some(Position { sequence_number: number(sequence_number)?, complete_to: number(complete_to)? })
    }
}

async fn keep(disk: &Disk, key: String, position: Position) -> Result<(), eastfall_fabric::disk::DiskError> {
    disk.commit(vec![(key.into_bytes(), Some(position.to_bytes()))]).await
}
