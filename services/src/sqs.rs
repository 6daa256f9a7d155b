//! Kind `sqs`: queues that hold messages until they are deleted.
//!
//! A message is on disk before its sender is told so; a receiver that does not delete what it received gets it again
//! when the visibility time-out has passed. That is what makes an outage of the receivers a **backlog** and not a loss:
//! nothing here fails when pollers stop, the queues only grow.
//!
//! Which queues there are stands in DynamoDB and is held in memory ([`crate::catalog`]): without DynamoDB no queue can be
//! made, and those in use go on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::call::Context;
use eastfall_fabric::disk::Disk;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::error::api_error;
use eastfall_proto::sqs::sqs_server::Sqs;
use eastfall_proto::sqs::*;
use eastfall_topology::{Moment, Span};
use prost::Message as _;
use tonic::{Code, Request, Response, Status};

use crate::catalog::{Catalog, NAME};
use crate::dynamodb::value::{self, Item, item, number, string};
use crate::settings::{Settings, instance_count, split};

mod queue;
#[cfg(test)]
mod tests;

use queue::{Queue, Receipt, message_id};

eastfall_topology::params! {
    /// Message queues.
    pub struct SqsParams for "sqs" offers ["SendMessage", "ReceiveMessage", "GetQueueAttributes"] {
        /// How long a received message stays hidden, unless queue or request say otherwise (published default).
        visibility_timeout: Span = "30s", range "0s"..="12h";
        /// How long a message is kept that nobody deletes (published default).
        retention: Span = "4d", range "1m"..="14d";
        /// The largest message body in bytes (published in 2025: 1 MiB).
        largest_message: u32 = 1048576, range 1..=1048576;
        /// Queues `queue-1`... that exist when the run begins in the middle of the region's life (assumption).
        queues_of_before: u32 = 4, range 0..=10000;
        /// How long what is known of a queue counts as fresh (assumption: minutes).
        metadata_ttl: Span = "5m", range "1s"..="1d";
        /// How often ages are told and old messages removed (ours).
        housekeeping: Span = "30s", range "1s"..="1h";
    }
}

const DOMAIN: &str = "sqs.amazonaws.com";
const TABLE: &str = "sqs-queues";
/// The queue's own visibility time-out, in seconds.
const VISIBILITY: &str = "visibility";
/// Longest visibility time-out in seconds, longest wait in seconds, most messages at once (published).
const LONGEST_VISIBILITY: u32 = 43_200;
const LONGEST_WAIT: u32 = 20;
const MOST_MESSAGES: u32 = 10;

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: SqsParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let own = world.instance().service.clone();
    if instance_count(&world, &own) != 1 {
        // A receipt would have to lead to the instance that holds the message.
        return Err(format!("service {own} holds its queues in one process; set `instances = 1`").into());
    }
    let disk = world.disk("messages").await?;
    let mut state = State::default();
    for (_, value) in disk.load()? {
        let stored = StoredMessage::decode(value.as_slice())
            .map_err(|error| format!("a message on disk `messages` of {own} is damaged: {error}"))?;
        state.next_number = state.next_number.max(stored.number + 1);
        state.count += 1;
        let sent = Moment::from_nanos(stored.sent);
        state.queues.entry(stored.queue_name).or_default().add(stored.number, stored.body, sent);
    }
    let desk = Arc::new(Desk {
        settings: Settings::new(&world),
        catalog: Catalog::of(&world, TABLE)?,
        state: Mutex::new(state),
        world: world.clone(),
        disk,
    });
    for name in [SENT, DELETED, REDELIVERED, EXPIRED] {
        world.record().count(name, 0);
    }
    desk.say();
    let task = Arc::clone(&desk);
    world.spawn(async move {
        let settings = task.settings.get();
        let row = |queue| item([(NAME, string(format!("queue-{queue}")))]);
        let rows = (1..=settings.queues_of_before).map(row).collect();
        task.catalog.prepare(rows, settings.metadata_ttl).await;
    });
    let task = Arc::clone(&desk);
    world.spawn(async move { task.keep_house().await });
    world.serve(vec![(&sqs_api::API, sqs_api::handler(desk))]).await
}

const SENT: &str = "sent";
const DELETED: &str = "deleted";
/// Deliveries of a message that had been delivered before.
const REDELIVERED: &str = "redelivered";
/// Messages that were removed because nobody had deleted them for so long.
const EXPIRED: &str = "expired";

struct Desk {
    world: World,
    settings: Settings<SqsParams>,
    catalog: Catalog,
    disk: Disk,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<String, Queue>,
    next_number: u64,
    /// Messages in all queues.
    count: usize,
}

fn invalid(message: String) -> Status {
    api_error(Code::InvalidArgument, DOMAIN, "InvalidParameterValue", message)
}

fn unavailable(cause: &str) -> Status {
    api_error(Code::Unavailable, DOMAIN, "ServiceUnavailable", cause)
}

fn receipt(handle: &str) -> Result<Receipt, Status> {
    Receipt::parse(handle).ok_or_else(|| invalid(format!("'{handle}' is not a receipt handle")))
}

fn visibility(seconds: u32) -> Result<Span, Status> {
    match seconds {
        0..=LONGEST_VISIBILITY => Ok(Span::from_secs(u64::from(seconds))),
        _ => Err(invalid(format!("visibility time-out {seconds} is not in 0..={LONGEST_VISIBILITY}"))),
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a queue.
    async fn queue(&self, context: &Context, name: &str) -> Result<Item, Status> {
        let ttl = self.settings.get().metadata_ttl;
        let found = self.catalog.get(context, name, ttl).await;
        found.map_err(|status| unavailable(status.message()))?.ok_or_else(|| {
            api_error(Code::NotFound, DOMAIN, "QueueDoesNotExist", format!("there is no queue '{name}'"))
        })
    }

    fn say(&self) {
        self.world.record().gauge("backlog", self.state().count as f64);
    }

    async fn keep_house(&self) {
        loop {
            let settings = self.settings.get();
            self.world.sleep(settings.housekeeping).await;
            let now = self.world.now();
            let limit = now.before(settings.retention);
            let (old, oldest) = {
                let state = self.state();
                let old = |(name, queue): (&String, &Queue)| {
                    let numbers = queue.sent_before(limit);
                    (!numbers.is_empty()).then(|| (name.clone(), numbers))
                };
                let old: Vec<_> = state.queues.iter().filter_map(old).collect();
                (old, state.queues.values().filter_map(Queue::oldest).min())
            };
            for (name, numbers) in old {
                let count = numbers.len() as u64;
                match self.remove(&name, numbers).await {
                    Ok(()) => self.world.record().count(EXPIRED, count),
                    Err(status) => {
                        let fields = [("queue", name), ("reason", status.message().to_owned())];
                        self.world.record().event("sqs.not-expired", &fields);
                    }
                }
            }
            let age = oldest.map_or(0.0, |oldest| now.since(oldest).as_secs_f64());
            self.world.record().gauge("age-of-oldest-seconds", age);
        }
    }

    /// Takes messages off the disk, then out of their queue.
    async fn remove(&self, name: &str, numbers: Vec<u64>) -> Result<(), Status> {
        let writes = numbers.iter().map(|number| (key(*number), None)).collect();
        self.disk.commit(writes).await.map_err(|error| unavailable(&error.to_string()))?;
        {
            let mut state = self.state();
            let Some(queue) = state.queues.get_mut(name) else { return Ok(()) };
            let before = queue.len();
            numbers.into_iter().for_each(|number| queue.delete(number));
            let gone = before - queue.len();
            state.count -= gone;
        }
        self.say();
        Ok(())
    }

    async fn delete(&self, context: &Context, name: &str, handles: &[String]) -> Result<(), Status> {
        self.queue(context, name).await?;
        let receipts = handles.iter().map(|handle| receipt(handle)).collect::<Result<Vec<_>, _>>()?;
        let numbers: Vec<u64> = match self.state().queues.get(name) {
            Some(queue) => receipts.into_iter().filter_map(|receipt| queue.number(receipt)).collect(),
            None => Vec::new(),
        };
        let count = numbers.len() as u64;
        self.remove(name, numbers).await?;
        self.world.record().count(DELETED, count);
        Ok(())
    }
}

fn key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

#[async_trait::async_trait]
impl Sqs for Desk {
    async fn create_queue(
        &self,
        request: Request<CreateQueueRequest>,
    ) -> Result<Response<CreateQueueResponse>, Status> {
        let (context, request) = split(request);
        if request.queue_name.is_empty() {
            return Err(invalid("a queue needs a name".to_owned()));
        }
        let mut row = item([(NAME, string(&request.queue_name))]);
        if let Some(seconds) = request.visibility_timeout {
            visibility(seconds)?;
            row.insert(VISIBILITY.to_owned(), number(seconds));
        }
        let put = self.catalog.put(&context, row, None, self.settings.get().metadata_ttl).await;
        put.map_err(|status| unavailable(status.message()))?;
        Ok(Response::new(CreateQueueResponse {}))
    }

    async fn send_message(
        &self,
        request: Request<SendMessageRequest>,
    ) -> Result<Response<SendMessageResponse>, Status> {
        let (context, request) = split(request);
        let SendMessageRequest { queue_name, message_body } = request;
        let largest = self.settings.get().largest_message;
        if message_body.len() > largest as usize {
            let size = message_body.len();
            return Err(invalid(format!("a message of {size} bytes is above the limit of {largest}")));
        }
        self.queue(&context, &queue_name).await?;
        let sent = self.world.now();
        let message_number = {
            let mut state = self.state();
            state.next_number += 1;
            state.next_number - 1
        };
        let stored = StoredMessage {
            queue_name: queue_name.clone(),
            number: message_number,
            sent: sent.as_nanos(),
            body: message_body.clone(),
        };
        let write = (key(message_number), Some(stored.encode_to_vec()));
        self.disk.commit(vec![write]).await.map_err(|error| unavailable(&error.to_string()))?;
        {
            let mut state = self.state();
            state.queues.entry(queue_name).or_default().add(message_number, message_body, sent);
            state.count += 1;
        }
        self.world.record().count(SENT, 1);
        self.say();
        Ok(Response::new(SendMessageResponse { message_id: message_id(message_number) }))
    }

    async fn receive_message(
        &self,
        request: Request<ReceiveMessageRequest>,
    ) -> Result<Response<ReceiveMessageResponse>, Status> {
        let (context, request) = split(request);
        if request.max_number_of_messages > MOST_MESSAGES || request.wait_time_seconds > LONGEST_WAIT {
            return Err(invalid(format!(
                "at most {MOST_MESSAGES} messages can be received at once, and waited for {LONGEST_WAIT} s"
            )));
        }
        let row = self.queue(&context, &request.queue_name).await?;
        let seconds = request.visibility_timeout.or_else(|| value::parsed(&row, VISIBILITY));
        let hidden_for = match seconds {
            Some(seconds) => visibility(seconds)?,
            None => self.settings.get().visibility_timeout,
        };
        let most = request.max_number_of_messages.max(1) as usize;
        let clock = self.world.clock();
        let deadline = clock.now() + Span::from_secs(u64::from(request.wait_time_seconds));
        loop {
            let now = clock.now();
            let (messages, next_turn, arrived) = {
                let mut state = self.state();
                let queue = state.queues.entry(request.queue_name.clone()).or_default();
                let messages = queue.receive(now, most, hidden_for);
                (messages, queue.next_turn(), Arc::clone(&queue.arrived))
            };
            if !messages.is_empty() || now >= deadline {
                let again = messages.iter().filter(|message| message.approximate_receive_count > 1).count();
                self.world.record().count(REDELIVERED, again as u64);
                return Ok(Response::new(ReceiveMessageResponse { messages }));
            }
            let until = next_turn.map_or(deadline, |turn| turn.min(deadline));
            let _ = clock.timeout_at(until, arrived.notified()).await;
        }
    }

    async fn delete_message(
        &self,
        request: Request<DeleteMessageRequest>,
    ) -> Result<Response<DeleteMessageResponse>, Status> {
        let (context, request) = split(request);
        self.delete(&context, &request.queue_name, &[request.receipt_handle]).await?;
        Ok(Response::new(DeleteMessageResponse {}))
    }

    async fn delete_message_batch(
        &self,
        request: Request<DeleteMessageBatchRequest>,
    ) -> Result<Response<DeleteMessageBatchResponse>, Status> {
        let (context, request) = split(request);
        if request.receipt_handles.len() > MOST_MESSAGES as usize {
            return Err(invalid(format!("a batch has at most {MOST_MESSAGES} entries")));
        }
        self.delete(&context, &request.queue_name, &request.receipt_handles).await?;
        Ok(Response::new(DeleteMessageBatchResponse {}))
    }

    async fn get_queue_attributes(
        &self,
        request: Request<GetQueueAttributesRequest>,
    ) -> Result<Response<GetQueueAttributesResponse>, Status> {
        let (context, request) = split(request);
        self.queue(&context, &request.queue_name).await?;
        let now = self.world.now();
        let state = self.state();
        let Some(queue) = state.queues.get(&request.queue_name) else {
            return Ok(Response::new(GetQueueAttributesResponse::default()));
        };
        let hidden = queue.hidden(now);
        let age = queue.oldest().map_or(Span::ZERO, |oldest| now.since(oldest));
        Ok(Response::new(GetQueueAttributesResponse {
            approximate_number_of_messages: (queue.len() - hidden) as u64,
            approximate_number_of_messages_not_visible: hidden as u64,
            approximate_age_of_oldest_message: age.as_secs_f64() as u64,
        }))
    }
}
