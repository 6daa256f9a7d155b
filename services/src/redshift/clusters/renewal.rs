//! Credentials in good time: those of a node are renewed from long before their end on, with pauses between attempts that
//! failed. What DynamoDB or STS are away for longer than that, nodes don't survive.

use eastfall_proto::sts::{AssumeRoleRequest, sts_api};
use tonic::Status;

use super::*;
use crate::dynamodb::value::number;
use crate::iam::seed::NODE_ROLE;
use crate::pauses::Leave;

impl Fleet {
    pub(super) fn begin_renewals(self: &Arc<Self>, settings: &ClustersParams, now: Moment) {
        let State { book, rng, .. } = &mut *self.state();
        for number in 0..book.len() {
            let due = book.node(number).expires.before(settings.renew_before) <= now;
            if !due || book.node(number).renewing || !book.may_renew(number, settings.renew_while_modifying) {
                continue;
            }
            let node = book.node_mut(number);
            let lengths = settings.renew_pauses(node.expires.since(now));
            if let Some(leave) = node.pauses.leave(now, &lengths, rng) {
                node.renewing = true;
                let fleet = Arc::clone(self);
                self.world.spawn(async move { fleet.renew(number, leave).await });
            }
        }
    }

    async fn renew(&self, number: usize, leave: Leave) {
        let outcome = self.new_credentials(number).await;
        let settings = self.settings.get();
        let renewed = {
            let State { book, rng, .. } = &mut *self.state();
            // It may have been queued in the meantime, and nothing takes it off the queue.
            let wanted = book.may_renew(number, true);
            let node = book.node_mut(number);
            node.renewing = false;
            match outcome {
                Ok(expires) if wanted => {
                    node.expires = expires;
                    node.stage = Stage::Serving;
                    node.pauses.over();
                    true
                }
                Ok(_) => false,
                Err(_) => {
                    let now = self.world.now();
                    let lengths = settings.renew_pauses(node.expires.since(now));
                    node.pauses.failed(leave, now, &lengths, rng);
                    false
                }
            }
        };
        self.world.record().count(if renewed { RENEWED } else { RENEWALS_FAILED }, 1);
        if renewed {
            self.save(number).await;
        }
    }

    /// Credentials for a node: taken of STS and written down. Gives their end.
    pub(super) async fn new_credentials(&self, node: usize) -> Result<Moment, Status> {
        let request = AssumeRoleRequest {
            principal: "service/redshift".to_owned(),
            role: NODE_ROLE.to_owned(),
            role_session_name: self.node_name(node),
            duration_seconds: self.settings.get().credentials.as_secs_f64() as u32,
        };
        let made = self.sts.call(&sts_api::ASSUME_ROLE, request).await?.credentials.unwrap_or_default();
        let known = [("node", string(self.node_name(node))), ("expires", number(made.expiration))];
        self.tables.put(NODES, item(known)).await?;
        Ok(Moment::from_nanos(made.expiration))
    }
}
