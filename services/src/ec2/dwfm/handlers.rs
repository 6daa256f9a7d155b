//! What droplets and the EC2 API ask of a host.

use std::sync::Arc;

use eastfall_fabric::call::Context;
use eastfall_proto::ec2::dwfm_server::Dwfm;
use eastfall_proto::ec2::*;
use eastfall_proto::error::refused_for_now;
use eastfall_topology::{Moment, Span};
use tokio::sync::oneshot;
use tonic::{Code, Request, Response, Status};

use super::workers::Work;
use super::*;
use crate::ec2::store::{Alteration, Change};
use crate::settings::split;

/// The host as its callers see it.
pub(super) struct Desk(pub(super) Arc<Host>);

/// Somebody who waits for a lease. Giving up doesn't take the attempt out of the line, unless the queue cancels what was
/// abandoned.
struct Waiting<'a> {
    host: &'a Host,
    ticket: Ticket,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.host.state();
        let gave_up = state.askers.swap_remove(&self.ticket).is_some();
        if gave_up && state.line.capacity().queue.cancel_abandoned {
            state.line.leave(self.ticket, self.host.world.now());
        }
    }
}

impl Host {
    async fn request_lease(self: &Arc<Self>, context: &Context, droplet: u32) -> Result<Moment, Status> {
        let local = self.local(droplet)?;
        let record = self.world.record();
        record.count(ATTEMPTS, 1);
        if let Err(wait) = self.admit() {
            record.count(THROTTLED, 1);
            let (code, wait) = (Code::ResourceExhausted, std::time::Duration::from_nanos(wait.as_nanos()));
            return Err(refused_for_now(code, "lease attempts are throttled", wait));
        }
        if !self.state().store_answers {
            record.count(STORE_FAILED, 1);
            return Err(Status::unavailable(
                "the store of leases can't be reached; ask again at the next turn",
            ));
        }
        let now = self.world.now();
        let deadline = context.deadline.map(Moment::from_nanos);
        let (reply, answer) = oneshot::channel();
        let ticket = {
            let mut state = self.state();
            let ticket = state.line.join(now, deadline, Work::Establish { local }).map_err(|_| {
                record.count(QUEUE_FULL, 1);
                Status::resource_exhausted("the queue of lease attempts is full")
            })?;
            state.askers.insert(ticket, reply);
            ticket
        };
        let _waiting = Waiting { host: self, ticket };
        self.dispatch(now);
        answer.await.unwrap_or_else(|_| Err(Status::unavailable("the host went away")))
    }

    /// The operators' throttle: how long to wait, if it does not let an attempt in.
    fn admit(&self) -> Result<(), Span> {
        let settings = self.settings.get();
        let Some(share) = settings.admission else { return Ok(()) };
        let mut state = self.state();
        let per_second = share * establishing_rate(state.line.capacity());
        state.admission.admit(per_second, settings.admission_wait, self.world.now())
    }
}

#[async_trait::async_trait]
impl Dwfm for Desk {
    async fn request_lease(
        &self,
        request: Request<RequestLeaseRequest>,
    ) -> Result<Response<RequestLeaseResponse>, Status> {
        let (context, request) = split(request);
        let until = self.0.request_lease(&context, request.droplet).await?;
        Ok(Response::new(RequestLeaseResponse { until: until.as_nanos() }))
    }

    async fn check_readiness(
        &self,
        _: Request<CheckReadinessRequest>,
    ) -> Result<Response<CheckReadinessResponse>, Status> {
        Ok(Response::new(CheckReadinessResponse { serving: self.0.state().store_answers }))
    }

    async fn place_instance(
        &self,
        request: Request<PlaceInstanceRequest>,
    ) -> Result<Response<PlaceInstanceResponse>, Status> {
        self.0.place(request.into_inner().instance_id).await.map(Response::new)
    }

    async fn remove_instance(
        &self,
        request: Request<RemoveInstanceRequest>,
    ) -> Result<Response<RemoveInstanceResponse>, Status> {
        let RemoveInstanceRequest { instance_id: instance, droplet } = request.into_inner();
        let what = Alteration::Terminate { instance };
        let applied = self.0.change(Change { droplet, what }).await?;
        Ok(Response::new(RemoveInstanceResponse { applied }))
    }

    async fn modify_instance(
        &self,
        request: Request<ModifyInstanceRequest>,
    ) -> Result<Response<ModifyInstanceResponse>, Status> {
        let ModifyInstanceRequest { instance_id: instance, droplet } = request.into_inner();
        let what = Alteration::Modify { instance, asked: self.0.world.now() };
        let applied = self.0.change(Change { droplet, what }).await?;
        Ok(Response::new(ModifyInstanceResponse { applied }))
    }
}
