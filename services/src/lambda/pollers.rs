//! Kind `lambda-pollers`: event sources. Pollers take messages from SQS and records from Kinesis and have functions run
//! for them.
//!
//! The two kinds of source hold their places differently, and so they fail differently when DynamoDB can't be reached.
//! Kinesis: each shard has a lease and a checkpoint, anybody takes a lease that has ended, and so readers come back by
//! themselves ([`kinesis`]). SQS: pollers are assigned by a leader, and hosts that were cut off have left the group and
//! wait to be admitted again; when all were cut off at once, nobody is left to admit anybody ([`membership`]). **That is
//! the failure this kind reproduces**: a subsystem that has failed and does not recover although everything under it
//! has.

use std::sync::Arc;

use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_topology::Span;

use super::fleet::FleetParams;
use crate::kinesis::KinesisParams;
use crate::settings::{Settings, callee_of_kind, callee_of_kind_if_any};
use crate::sqs::SqsParams;
use crate::tables::Tables;

mod kinesis;
mod membership;
mod sqs;

use membership::Membership;

eastfall_topology::params! {
    /// The pollers of event sources.
    pub struct PollersParams for "lambda-pollers" {
        /// SQS pollers, of all instances together; each has one batch under way. Read at start only. With
        /// `item-duration` of the fleet they make the rate at which a backlog can be worked off (chosen: docs/model).
        sqs_pollers: u32 = 8, range 1..=100000, scaled by load;
        /// Queues `queue-1`... that are event sources; messages of `queue-N` go to `function-N`.
        sqs_queues: u32 = 4, range 1..=10000;
        /// Messages of one batch at most (published default 10, at most so many).
        sqs_batch: u32 = 5, range 1..=10;
        /// How long a message under way is hidden from other pollers; one whose function was refused comes back after it
        /// (published advice: several times the function's time-out).
        sqs_visibility: Span = "10m", range "1s"..="12h";
        /// Streams `stream-1`... that are event sources; records of `stream-N` go to `function-N`.
        kinesis_streams: u32 = 2, range 0..=10000;
        /// Records of one batch at most (published default 100; ours is smaller, for there are few records).
        kinesis_batch: u32 = 10, range 1..=10000;
        /// How long a reader that has found nothing waits (assumption: the real one polls every second).
        kinesis_poll_every: Span = "10s", range "100ms"..="1h";
        /// How long a shard's lease lasts (assumption).
        kinesis_lease: Span = "2m", range "1s"..="1d";
        /// How often leases, checkpoints and signs of life are written to DynamoDB (assumption).
        renew_every: Span = "20s", range "1s"..="1h";
        /// A host that could not write for so long has left the group of SQS pollers and stops polling; a leader not
        /// heard of for so long is replaced (inferred: minutes; delays were seen three minutes after the name was gone).
        gives_up_after: Span = "2m", range "1s"..="1d";
        /// Whether a host that has left may become leader and so admit itself and others: the repair. As shipped it may
        /// not (inferred: what it knows may be old), which is why the subsystem stays down.
        rejoins_alone: bool = false;
        /// How long a poller pauses after a call that failed or was throttled (assumption).
        try_again: Span = "30s", range "100ms"..="1h";
        /// How long after the run's start the pollers begin (ours: names and tables have to exist by then).
        start_delay: Span = "2m", range "0s"..="1d";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: PollersParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let tables = Tables::of(&world)?;
    let fleet = world.dial(&callee_of_kind(&world, FleetParams::SCHEMA.name)?)?;
    let params: PollersParams = world.params();
    if let Some(queues) = callee_of_kind_if_any(&world, SqsParams::SCHEMA.name)? {
        let membership = Membership::new(&world, tables.clone());
        let pollers = Arc::new(sqs::Pollers {
            sqs: world.dial(&queues)?,
            membership: Arc::clone(&membership),
            settings: Settings::new(&world),
            fleet: fleet.clone(),
            world: world.clone(),
        });
        pollers.know_series();
        world.spawn(membership.keep());
        for number in 0..params.sqs_pollers {
            world.spawn(Arc::clone(&pollers).poll(number));
        }
    }
    if let Some(streams) = callee_of_kind_if_any(&world, KinesisParams::SCHEMA.name)? {
        let readers = Arc::new(kinesis::Readers::new(&world, world.dial(&streams)?, fleet, tables));
        world.spawn(readers.keep());
    }
    Ok(())
}

/// Table of leases and signs of life, by source and member.
const TABLE: &str = "lambda-pollers";
const SCHEMA: &str = "lambda-pollers(group,member)";
