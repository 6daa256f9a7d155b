//! The control API over the store, with the real service's names of errors.

use std::sync::Arc;

use eastfall_fabric::Moment;
use eastfall_fabric::dns::{Authority as _, Question, RecordData, RecordType as Asked};
use eastfall_fabric::world::World;
use eastfall_proto::error::api_error;
use eastfall_proto::route53::route53_server::Route53;
use eastfall_proto::route53::*;
use tonic::{Code, Request, Response, Status};

use super::Route53Params;
use super::store::{Store, StoreError};
use super::zone::{Refusal, Zone};
use crate::settings::Settings;

const DOMAIN: &str = "route53.amazonaws.com";

/// The zone's negative TTL where a request names none: 900 s, as Route 53 makes it.
const NEGATIVE_TTL: u32 = 900;

/// The control API of a running instance.
pub(super) struct Control {
    world: World,
    settings: Settings<Route53Params>,
    store: Arc<Store>,
}

impl Control {
    pub(super) fn new(world: World, store: Arc<Store>) -> Self {
        Control { settings: Settings::new(&world), world, store }
    }

    /// A change's identifier says when it is in sync, so that it outlives a restart: nobody has to remember it.
    fn change_id(&self) -> String {
        format!("C{:020}", (self.world.now() + self.settings.get().propagation).as_nanos())
    }
}

#[async_trait::async_trait]
impl Route53 for Control {
    async fn create_hosted_zone(
        &self,
        request: Request<CreateHostedZoneRequest>,
    ) -> Result<Response<CreateHostedZoneResponse>, Status> {
        let CreateHostedZoneRequest { name, negative_ttl } = request.into_inner();
        let negative_ttl = if negative_ttl == 0 { NEGATIVE_TTL } else { negative_ttl };
        self.store.create(&name, negative_ttl).await.map_err(status)?;
        let zone = self.store.zones().get(&name).map(describe).ok();
        Ok(Response::new(CreateHostedZoneResponse { zone }))
    }

    async fn list_hosted_zones(
        &self,
        _: Request<ListHostedZonesRequest>,
    ) -> Result<Response<ListHostedZonesResponse>, Status> {
        let zones = self.store.zones().iter().map(describe).collect();
        Ok(Response::new(ListHostedZonesResponse { zones }))
    }

    async fn change_resource_record_sets(
        &self,
        request: Request<ChangeResourceRecordSetsRequest>,
    ) -> Result<Response<ChangeResourceRecordSetsResponse>, Status> {
        let ChangeResourceRecordSetsRequest { zone, changes, precondition, .. } = request.into_inner();
        self.store.change(&zone, &changes, precondition.as_ref()).await.map_err(status)?;
        Ok(Response::new(ChangeResourceRecordSetsResponse { change_id: self.change_id() }))
    }

    async fn get_change(
        &self,
        request: Request<GetChangeRequest>,
    ) -> Result<Response<GetChangeResponse>, Status> {
        let id = request.into_inner().change_id;
        let in_sync = id.strip_prefix('C').and_then(|nanos| nanos.parse().ok()).map(Moment::from_nanos);
        let in_sync = in_sync.ok_or_else(|| {
            api_error(Code::NotFound, DOMAIN, "NoSuchChange", format!("there is no change {id:?}"))
        })?;
        let pending = !in_sync.since(self.world.now()).is_zero();
        let status = if pending { ChangeStatus::Pending } else { ChangeStatus::Insync };
        Ok(Response::new(GetChangeResponse { status: status as i32 }))
    }

    async fn list_resource_record_sets(
        &self,
        request: Request<ListResourceRecordSetsRequest>,
    ) -> Result<Response<ListResourceRecordSetsResponse>, Status> {
        let request = request.into_inner();
        let page = self.store.zones().get(&request.zone).map(|zone| zone.list(&request)).map_err(refused)?;
        let next_name = page.next_name.unwrap_or_default();
        Ok(Response::new(ListResourceRecordSetsResponse { records: page.records, next_name }))
    }

    async fn test_dns_answer(
        &self,
        request: Request<TestDnsAnswerRequest>,
    ) -> Result<Response<TestDnsAnswerResponse>, Status> {
        let request = request.into_inner();
        let asked = match request.r#type() {
            RecordType::A | RecordType::Unspecified => Asked::A,
            RecordType::Aaaa => Asked::Aaaa,
            RecordType::Txt => Asked::Txt,
            RecordType::Cname => Asked::Cname,
        };
        let answer = self.store.answer(&Question::new(&request.name, asked));
        let values = answer.records.iter().filter_map(|record| match &record.data {
            RecordData::A(address) => Some(address.to_string()),
            RecordData::Aaaa(address) => Some(address.to_string()),
            RecordData::Txt(text) => Some(text.clone()),
            RecordData::Cname(name) => Some(name.clone()),
            RecordData::Soa(_) => None,
        });
        let (response_code, values) = (answer.code.to_string(), values.collect());
        Ok(Response::new(TestDnsAnswerResponse { response_code, values }))
    }
}

fn describe(zone: &Zone) -> HostedZone {
    HostedZone {
        name: zone.name().to_owned(),
        negative_ttl: zone.negative_ttl(),
        record_count: zone.len() as u64,
        serial: zone.serial(),
    }
}

fn status(error: StoreError) -> Status {
    match error {
        StoreError::Refused(refusal) => refused(refusal),
        StoreError::Disk(error) => Status::internal(error.to_string()),
    }
}

fn refused(refusal: Refusal) -> Status {
    let (code, reason) = match &refusal {
        Refusal::BadName(_) => (Code::InvalidArgument, "InvalidInput"),
        Refusal::ZoneExists(_) => (Code::AlreadyExists, "HostedZoneAlreadyExists"),
        Refusal::NoSuchZone(_) => (Code::NotFound, "NoSuchHostedZone"),
        Refusal::BatchSize(_) | Refusal::Change { .. } => (Code::FailedPrecondition, "InvalidChangeBatch"),
        Refusal::Superseded { .. } => (Code::FailedPrecondition, "GenerationSuperseded"),
    };
    api_error(code, DOMAIN, reason, refusal.to_string())
}
