//! Requests to EventBridge: events of the sources `source-1`....

use eastfall_proto::eventbridge::{EventEntry, PutEventsRequest, event_bridge_api as api};

use super::{Operation, operation};

pub(super) fn operations() -> Vec<Operation> {
    vec![operation(&["eventbridge"], &api::PUT_EVENTS, |draw| PutEventsRequest {
        entries: vec![EventEntry {
            source: format!("source-{}", draw.key()),
            detail: vec![0; draw.shape.item_bytes as usize],
        }],
    })]
}
