//! The running kind in virtual time: what is acknowledged survives a kill, and errors have real names.

use std::sync::{Arc, Mutex};

use eastfall_fabric::engine::sim;
use eastfall_fabric::simulation::{LAB, Setup, Simulation};
use eastfall_fabric::{Moment, Span};
use eastfall_proto::error::reason;
use eastfall_proto::route53::*;
use eastfall_topology::{Source, Topology};
use tonic::Status;

use super::record::{create, simple};

const TOPOLOGY: &str = r#"
    [region]
    name = "test"
    dns-service = "route53"
    [service.route53]
    kind = "route53"
    watch = ["a.test"]
    [service.client]
    kind = "route53"
    calls.route53 = {}
"#;

fn region() -> Simulation {
    let kinds = crate::kinds();
    let schemas: Vec<_> = kinds.iter().map(|kind| kind.schema).collect();
    let source = Source { file: "test.toml", text: TOPOLOGY };
    let topology = Topology::load(source, &[], &schemas, 1.0).expect("a sound topology");
    let simulation =
        Simulation::new(topology, kinds, &Setup { seed: 1, starts_at: Span::ZERO, codec: false });
    let simulation = simulation.expect("a simulation");
    simulation.start_all();
    simulation.run_until(Moment::START + Span::from_secs(1));
    simulation
}

/// One call of the client, and a second of time.
fn call<Req, Resp>(
    simulation: &Simulation,
    rpc: &'static eastfall_fabric::call::Rpc<Req, Resp>,
    request: Req,
) -> Result<Resp, Status>
where
    Req: Send + Sync + 'static,
    Resp: Clone + Send + Sync + 'static,
{
    let world = simulation.world("client").expect("it runs");
    let answer = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&answer);
    let now = world.now();
    sim::spawn(
        LAB,
        Box::pin(async move {
            let answer = world.dial("route53").expect("an edge").call(rpc, request).await;
            *slot.lock().expect("the slot") = Some(answer);
        }),
    );
    simulation.run_until(now + Span::from_secs(1));
    answer.lock().expect("the slot").take().expect("an answer within a second")
}

fn change(simulation: &Simulation, name: &str) -> Result<ChangeResourceRecordSetsResponse, Status> {
    let changes = vec![create(simple(name, RecordType::A, 5, &["127.0.0.1"]))];
    let request = ChangeResourceRecordSetsRequest { zone: "test".into(), changes, ..Default::default() };
    call(simulation, &route53_api::CHANGE_RESOURCE_RECORD_SETS, request)
}

fn answer(simulation: &Simulation, name: &str) -> (String, Vec<String>) {
    let request = TestDnsAnswerRequest { name: name.into(), r#type: RecordType::A as i32 };
    let answer = call(simulation, &route53_api::TEST_DNS_ANSWER, request).expect("an answer");
    (answer.response_code, answer.values)
}

fn create_zone(simulation: &Simulation) -> Result<CreateHostedZoneResponse, Status> {
    let request = CreateHostedZoneRequest { name: "test".into(), negative_ttl: 60 };
    call(simulation, &route53_api::CREATE_HOSTED_ZONE, request)
}

#[test]
fn what_is_acknowledged_survives_a_kill() {
    let simulation = region();
    create_zone(&simulation).expect("a zone");
    change(&simulation, "a.test").expect("a record");
    simulation.kill_instance("route53");
    simulation.start_instance("route53");
    assert_eq!(answer(&simulation, "a.test"), ("NOERROR".into(), vec!["127.0.0.1".into()]));
    let zones =
        call(&simulation, &route53_api::LIST_HOSTED_ZONES, ListHostedZonesRequest {}).expect("zones").zones;
    assert_eq!((zones[0].negative_ttl, zones[0].record_count, zones[0].serial), (60, 1, 2));
    simulation.finish();
}

#[test]
fn errors_have_the_names_of_the_real_service() {
    let simulation = region();
    let name = |outcome: Result<(), Status>| reason(&outcome.expect_err("refused")).expect("a name");
    assert_eq!(name(change(&simulation, "a.test").map(drop)), "NoSuchHostedZone");
    create_zone(&simulation).expect("a zone");
    assert_eq!(name(create_zone(&simulation).map(drop)), "HostedZoneAlreadyExists");
    assert_eq!(name(change(&simulation, "elsewhere").map(drop)), "InvalidChangeBatch");
    let odd = GetChangeRequest { change_id: "odd".into() };
    assert_eq!(name(call(&simulation, &route53_api::GET_CHANGE, odd).map(drop)), "NoSuchChange");
    simulation.finish();
}

#[test]
fn a_change_is_in_sync_once_it_has_propagated() {
    let simulation = region();
    create_zone(&simulation).expect("a zone");
    let change_id = change(&simulation, "a.test").expect("a record").change_id;
    let status = |simulation: &Simulation| {
        let request = GetChangeRequest { change_id: change_id.clone() };
        call(simulation, &route53_api::GET_CHANGE, request).expect("a status").status()
    };
    assert_eq!(status(&simulation), ChangeStatus::Pending, "a second after");
    // Something that waits: where nothing does, time stands still.
    let later = simulation.region().clock.now() + Span::from_secs(13);
    sim::spawn(LAB, Box::pin(sim::Sleep::until(later)));
    simulation.run_until(later);
    assert_eq!(status(&simulation), ChangeStatus::Insync, "after thirteen seconds");
    simulation.finish();
}
