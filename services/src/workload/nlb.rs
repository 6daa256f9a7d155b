//! Connections through a load balancer; `table` names it.

use eastfall_proto::nlb::{ConnectRequest, nlb_node_api};

use super::{Operation, operation};

pub(super) fn operations() -> Vec<Operation> {
    vec![operation(&["nlb"], &nlb_node_api::CONNECT, |draw| ConnectRequest {
        load_balancer: draw.shape.table.clone(),
    })]
}
