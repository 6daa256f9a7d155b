//! Requests to generic services.

use eastfall_proto::service::{PerformRequest, service_api};

use super::{Send, sending};

/// Performs the operation of this name.
pub(super) fn perform(operation: &str) -> Send {
    let operation = operation.to_owned();
    sending(&service_api::PERFORM, move |draw| PerformRequest {
        operation: operation.clone(),
        body: vec![0; draw.shape.item_bytes as usize],
    })
}
