//! SQS pollers: receive a batch, have the function run, delete the batch.
//!
//! A batch is deleted only after its function has run, so a run that fails or is throttled loses nothing: the messages
//! come back when their visibility time-out has passed. One batch at a time and poller: a backlog is worked off as
//! quickly as pollers and the fleet's room allow, and no quicker.

use std::sync::Arc;

use eastfall_fabric::network::client::Client;
use eastfall_fabric::world::World;
use eastfall_proto::lambda::{RunClass, RunRequest, fleet_api};
use eastfall_proto::sqs::{DeleteMessageBatchRequest, Message, ReceiveMessageRequest, sqs_api};
use tonic::Status;

use super::PollersParams;
use super::membership::Membership;
use crate::settings::Settings;

/// How long a poller waits for a message, in seconds (published: the longest there is).
const WAIT: u32 = 20;

/// Messages whose function has run, and batches that came to nothing.
const HANDLED: &str = "sqs-messages-handled";
const FAILED: &str = "sqs-batches-failed";

/// The pollers of one host.
pub(super) struct Pollers {
    pub(super) world: World,
    pub(super) settings: Settings<PollersParams>,
    pub(super) membership: Arc<Membership>,
    pub(super) sqs: Client,
    pub(super) fleet: Client,
}

impl Pollers {
    pub(super) fn know_series(&self) {
        self.world.record().count(HANDLED, 0);
        self.world.record().count(FAILED, 0);
    }

    /// The poller with this number: polls while it is assigned here, for ever.
    pub(super) async fn poll(self: Arc<Self>, number: u32) {
        let mut turn = number;
        loop {
            let settings = self.settings.get();
            if !self.membership.assigns(number) {
                self.world.sleep(settings.renew_every).await;
                continue;
            }
            // Another queue each time, so that none waits for ever behind a long one.
            let queue = 1 + turn % settings.sqs_queues;
            turn = turn.wrapping_add(1);
            if self.visit(queue, &settings).await.is_err() {
                self.world.record().count(FAILED, 1);
                self.world.sleep(settings.try_again).await;
            }
        }
    }

    async fn visit(&self, queue: u32, settings: &PollersParams) -> Result<(), Status> {
        let queue_name = format!("queue-{queue}");
        let request = ReceiveMessageRequest {
            queue_name: queue_name.clone(),
            max_number_of_messages: settings.sqs_batch,
            wait_time_seconds: WAIT,
            visibility_timeout: Some(settings.sqs_visibility.as_secs_f64() as u32),
        };
        let messages = self.sqs.call(&sqs_api::RECEIVE_MESSAGE, request).await?.messages;
        if messages.is_empty() {
            return Ok(());
        }
        let run = RunRequest {
            function_name: format!("function-{queue}"),
            class: RunClass::EventSource as i32,
            items: messages.len() as u32,
        };
        self.fleet.call(&fleet_api::RUN, run).await?;
        let count = messages.len() as u64;
        let receipt_handles = messages.into_iter().map(|message: Message| message.receipt_handle).collect();
        let delete = DeleteMessageBatchRequest { queue_name, receipt_handles };
        self.sqs.call(&sqs_api::DELETE_MESSAGE_BATCH, delete).await?;
        self.world.record().count(HANDLED, count);
        Ok(())
    }
}
