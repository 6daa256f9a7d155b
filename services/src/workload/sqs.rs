//! Requests to SQS: messages to the queues `queue-1`..., and what their owners look at.

use eastfall_proto::sqs::{
    GetQueueAttributesRequest, ReceiveMessageRequest, SendMessageRequest, sqs_api as api,
};

use super::{Draw, Operation, operation};

const SQS: &[&str] = &["sqs"];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(SQS, &api::SEND_MESSAGE, |draw| {
            let message_body = vec![0; draw.shape.item_bytes as usize];
            SendMessageRequest { queue_name: queue(draw), message_body }
        }),
        operation(SQS, &api::RECEIVE_MESSAGE, |draw| ReceiveMessageRequest {
            queue_name: queue(draw),
            ..ReceiveMessageRequest::default()
        }),
        operation(SQS, &api::GET_QUEUE_ATTRIBUTES, |draw| GetQueueAttributesRequest {
            queue_name: queue(draw),
        }),
    ]
}

fn queue(draw: &mut Draw<'_>) -> String {
    format!("queue-{}", draw.key())
}
