//! The load balancers' names in DNS: the addresses of the nodes whose zones are in service, and no others.

use eastfall_proto::route53::change::Action;
use eastfall_proto::route53::*;
use tonic::{Code, Status};

use super::*;

/// How long after the record store did not do as asked it is asked again.
const TRY_AGAIN: Span = Span::from_secs(5);
/// How long an empty answer is believed, in seconds; nobody is to get one (ours: as short as an ordinary answer).
const NEGATIVE_TTL: u32 = 60;

impl Health {
    pub(super) async fn keep_names(&self) {
        for balancer in &self.balancers {
            while let Err(status) = self.make_zone(&balancer.hosted_zone).await {
                self.complain(&balancer.host, &status).await;
            }
        }
        let mut written: Vec<Vec<String>> = vec![Vec::new(); self.balancers.len()];
        loop {
            for (number, balancer) in self.balancers.iter().enumerate() {
                loop {
                    let addresses = self.addresses(number);
                    if written[number] == addresses {
                        break;
                    }
                    match self.write(balancer, addresses.clone()).await {
                        Ok(()) => written[number] = addresses,
                        Err(status) => self.complain(&balancer.host, &status).await,
                    }
                }
            }
            self.names_changed.notified().await;
        }
    }

    /// The addresses that a name is to have now.
    fn addresses(&self, balancer: usize) -> Vec<String> {
        let state = self.state();
        let position = self.balancers[balancer].address;
        let directory = &self.world.region().directory;
        let inside = self.node_names.iter().zip(&state.out[balancer]).filter(|(_, out)| !**out);
        inside
            .filter_map(|(node, _)| directory.of_instance(node).get(position).map(ToString::to_string))
            .collect()
    }

    async fn make_zone(&self, name: &str) -> Result<(), Status> {
        let request = CreateHostedZoneRequest { name: name.to_owned(), negative_ttl: NEGATIVE_TTL };
        match self.records.call(&route53_api::CREATE_HOSTED_ZONE, request).await {
            Err(status) if status.code() != Code::AlreadyExists => Err(status),
            _ => Ok(()),
        }
    }

    async fn write(&self, balancer: &Balancer, values: Vec<String>) -> Result<(), Status> {
        let record = RecordSet {
            name: balancer.host.clone(),
            r#type: RecordType::A as i32,
            ttl: self.settings.get().ttl,
            values,
            ..RecordSet::default()
        };
        let request = ChangeResourceRecordSetsRequest {
            zone: balancer.hosted_zone.clone(),
            changes: vec![Change { action: Action::Upsert as i32, record: Some(record) }],
            comment: "zones in service".to_owned(),
            precondition: None,
        };
        self.records.call(&route53_api::CHANGE_RESOURCE_RECORD_SETS, request).await.map(drop)
    }

    async fn complain(&self, name: &str, status: &Status) {
        let fields = [("name", name.to_owned()), ("reason", status.message().to_owned())];
        self.world.record().event("nlb.name-not-written", &fields);
        self.world.sleep(TRY_AGAIN).await;
    }
}
