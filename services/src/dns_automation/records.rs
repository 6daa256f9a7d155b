//! The record store as the automation uses it, and the driver that carries out the steps of a task there.

use eastfall_fabric::Span;
use eastfall_fabric::network::client::Client;
use eastfall_fabric::rng::Rng;
use eastfall_fabric::world::World;
use eastfall_proto::error::reason;
use eastfall_proto::route53::{
    ChangeResourceRecordSetsRequest, ChangeStatus, CreateHostedZoneRequest, GetChangeRequest,
    ListResourceRecordSetsRequest, RecordSet, route53_api,
};
use rand::RngExt as _;
use tonic::{Code, Status};

use super::step::{Blocked, Reply, Task, Wish};

/// How long to wait before trying again: twice as long each time in a row, up to a limit, and any share of that from
/// half to all, so that those who collided don't again.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackOff {
    /// After the first time.
    pub(super) base: Span,
    /// At most.
    pub(super) max: Span,
}

impl BackOff {
    fn after(&self, times: u32, rng: &mut Rng) -> Span {
        self.base.doubled(times, self.max).mul_f64(rng.random_range(0.5..=1.0))
    }
}

/// A way to the record store.
#[derive(Clone)]
pub(super) struct Records {
    world: World,
    client: Client,
    back_off: BackOff,
    rng: Rng,
    /// Counts what was asked for under the same name at the same moment.
    asked: u64,
    last_change: Option<String>,
}

impl Records {
    pub(super) fn new(world: &World, client: Client, back_off: BackOff, purpose: &str) -> Self {
        let rng = world.rng(purpose);
        Records { world: world.clone(), client, back_off, rng, asked: 0, last_change: None }
    }

    /// Carries out a task to its end; `blocked` is told whenever it has to wait.
    pub(super) async fn perform<T: Task>(
        &mut self,
        task: &mut T,
        mut blocked: impl FnMut(&T, Blocked),
    ) -> T::Outcome {
        let mut times = 0;
        loop {
            let reply = match task.wish() {
                Wish::Done(outcome) => return outcome,
                Wish::List(request) => self.list(request).await.map_or(Reply::Unanswered, Reply::Listed),
                Wish::Change(request) => self.change(request).await,
                Wish::BackOff(why) => {
                    blocked(task, why);
                    let wait = self.back_off.after(times, &mut self.rng);
                    times += 1;
                    self.world.sleep(wait).await;
                    Reply::Waited
                }
            };
            self.asked += 1;
            let now = self.world.now();
            let fresh = format!("{}/{}/{}", self.world.instance().name, now.as_nanos(), self.asked);
            task.reply(reply, now, &fresh);
        }
    }

    /// All pages of a list.
    pub(super) async fn list(
        &self,
        mut request: ListResourceRecordSetsRequest,
    ) -> Result<Vec<RecordSet>, Status> {
        let mut records = Vec::new();
        loop {
            let page = self.client.call(&route53_api::LIST_RESOURCE_RECORD_SETS, request.clone()).await?;
            records.extend(page.records);
            if page.next_name.is_empty() {
                return Ok(records);
            }
            request.start_name = page.next_name;
        }
    }

    async fn change(&mut self, request: ChangeResourceRecordSetsRequest) -> Reply {
        match self.client.call(&route53_api::CHANGE_RESOURCE_RECORD_SETS, request).await {
            Ok(response) => {
                self.last_change = Some(response.change_id);
                Reply::Changed
            }
            Err(status) if reason(&status).as_deref() == Some("GenerationSuperseded") => Reply::Superseded,
            Err(status) if status.code() == Code::FailedPrecondition => {
                Reply::Refused(status.message().to_owned())
            }
            Err(_) => Reply::Unanswered,
        }
    }

    /// Makes an endpoint's zone if there is none.
    pub(super) async fn ensure_zone(&self, endpoint: &str, negative_ttl: Span) -> Result<(), Status> {
        let negative_ttl = u32::try_from(negative_ttl.as_micros() / 1_000_000).unwrap_or(u32::MAX);
        let request = CreateHostedZoneRequest { name: endpoint.to_owned(), negative_ttl };
        match self.client.call(&route53_api::CREATE_HOSTED_ZONE, request).await {
            Err(status) if status.code() != Code::AlreadyExists => Err(status),
            _ => Ok(()),
        }
    }

    /// Waits until every name server has the last change, and so all before it. A question that is not answered is
    /// asked again.
    pub(super) async fn in_sync(&mut self, poll: Span) {
        let Some(change_id) = self.last_change.take() else { return };
        loop {
            let request = GetChangeRequest { change_id: change_id.clone() };
            match self.client.call(&route53_api::GET_CHANGE, request).await {
                Ok(response) if response.status() == ChangeStatus::Insync => return,
                _ => self.world.sleep(poll).await,
            }
        }
    }
}
