//! The control API, and what of it lies on disk.

use eastfall_fabric::disk::Write;
use eastfall_proto::ec2::InstanceState;
use eastfall_proto::error::api_error;
use eastfall_proto::nlb::nlb_server::Nlb;
use eastfall_proto::nlb::*;
use tonic::{Code, Request, Response, Status};

use super::*;
use crate::nlb::DOMAIN;

/// The control API as its callers see it.
pub(super) struct Desk(pub(super) Arc<Health>);

/// A target as it lies on disk: under load balancer and instance, its zone and whether it passes.
pub(super) fn write(balancers: &[Balancer], what: &What, zone: usize, verdict: &Verdict) -> Option<Write> {
    let What::Instance { balancer, instance } = what else { return None };
    let passes = match verdict.passes() {
        None => 0,
        Some(true) => 1,
        Some(false) => 2,
    };
    Some((key(&balancers[*balancer].name, instance), Some(vec![zone as u8, passes])))
}

fn key(balancer: &str, instance: &str) -> Vec<u8> {
    format!("{balancer}/{instance}").into_bytes()
}

/// The way back. A load balancer that is no longer in the topology has no targets.
pub(super) fn read(
    balancers: &[Balancer],
    key: &[u8],
    value: &[u8],
    now: Moment,
) -> Option<(What, usize, Verdict)> {
    let (name, instance) = std::str::from_utf8(key).ok()?.split_once('/')?;
    let balancer = balancers.iter().position(|balancer| balancer.name == name)?;
    let &[zone, passes] = value else { return None };
    let verdict = if passes == 0 { Verdict::unknown() } else { Verdict::known(passes == 1, now) };
    Some((What::Instance { balancer, instance: instance.into() }, usize::from(zone), verdict))
}

fn invalid_target(message: String) -> Status {
    api_error(Code::InvalidArgument, DOMAIN, "InvalidTarget", message)
}

fn failed(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}

impl Health {
    /// A customer's load balancer by its name.
    fn balancer(&self, name: &str) -> Result<usize, Status> {
        let found = self.balancers.iter().position(|balancer| balancer.name == name);
        found.filter(|&found| self.balancers[found].service.is_none()).ok_or_else(|| {
            let message = format!("there is no load balancer '{name}'");
            api_error(Code::NotFound, DOMAIN, "LoadBalancerNotFound", message)
        })
    }

    async fn register(&self, balancer: usize, mut instances: Vec<String>) -> Result<(), Status> {
        {
            let state = self.state();
            instances.retain(|instance| !state.numbers.contains_key(&(balancer, instance.as_str().into())));
        }
        if instances.is_empty() {
            return Ok(());
        }
        let described = self.ec2.describe(instances).await.map_err(|status| match status.code() {
            Code::NotFound => invalid_target(status.message().to_owned()),
            _ => status,
        })?;
        let mut members = Vec::with_capacity(described.len());
        for instance in described {
            let zone = self.zones.iter().position(|zone| *zone == instance.availability_zone);
            let running = instance.state() == InstanceState::Running;
            let zone = zone.filter(|_| running).ok_or_else(|| {
                invalid_target(format!(
                    "instance '{}' does not run in a zone with nodes",
                    instance.instance_id
                ))
            })?;
            let what = What::Instance { balancer, instance: instance.instance_id.as_str().into() };
            members.push(Member { what, zone, verdict: Verdict::unknown() });
        }
        let write = |member: &Member| write(&self.balancers, &member.what, member.zone, &member.verdict);
        self.disk.commit(members.iter().filter_map(write).collect()).await.map_err(failed)?;
        let (now, interval) = (self.world.now(), self.settings.get().check_interval);
        let mut state = self.state();
        members.into_iter().for_each(|member| state.add(member, now, interval));
        Ok(())
    }

    async fn deregister(&self, balancer: usize, instances: Vec<String>) -> Result<(), Status> {
        let name = &self.balancers[balancer].name;
        let deletions = instances.iter().map(|instance| (key(name, instance), None)).collect();
        self.disk.commit(deletions).await.map_err(failed)?;
        let mut state = self.state();
        for instance in instances {
            state.remove(balancer, &instance);
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Nlb for Desk {
    async fn register_targets(
        &self,
        request: Request<RegisterTargetsRequest>,
    ) -> Result<Response<RegisterTargetsResponse>, Status> {
        let RegisterTargetsRequest { load_balancer, instance_ids } = request.into_inner();
        self.0.register(self.0.balancer(&load_balancer)?, instance_ids).await?;
        Ok(Response::new(RegisterTargetsResponse {}))
    }

    async fn deregister_targets(
        &self,
        request: Request<DeregisterTargetsRequest>,
    ) -> Result<Response<DeregisterTargetsResponse>, Status> {
        let DeregisterTargetsRequest { load_balancer, instance_ids } = request.into_inner();
        self.0.deregister(self.0.balancer(&load_balancer)?, instance_ids).await?;
        Ok(Response::new(DeregisterTargetsResponse {}))
    }

    async fn describe_target_health(
        &self,
        request: Request<DescribeTargetHealthRequest>,
    ) -> Result<Response<DescribeTargetHealthResponse>, Status> {
        let balancer = self.0.balancer(&request.get_ref().load_balancer)?;
        let failover = self.0.settings.get().failover;
        let state = self.0.state();
        let health = |member: &Member| {
            let (_, name) = member.what.target().filter(|(of, _)| *of == balancer)?;
            Some(TargetHealth {
                instance_id: name.to_string(),
                availability_zone: self.0.zones[member.zone].clone(),
                state: member.verdict.told(failover) as i32,
            })
        };
        let targets = state.members.values().filter_map(health).collect();
        Ok(Response::new(DescribeTargetHealthResponse { targets }))
    }

    async fn list_serving(
        &self,
        request: Request<ListServingRequest>,
    ) -> Result<Response<ListServingResponse>, Status> {
        let ListServingRequest { zone, version } = request.into_inner();
        let state = self.0.state();
        let told = state
            .serving
            .get(zone as usize)
            .ok_or_else(|| Status::invalid_argument(format!("there is no zone number {zone}")))?;
        let changed = version != told.version;
        let load_balancers = if changed { told.serving.clone() } else { Vec::new() };
        Ok(Response::new(ListServingResponse { version: told.version, changed, load_balancers }))
    }
}
