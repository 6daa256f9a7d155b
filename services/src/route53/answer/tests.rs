//! What resolvers are told.

use std::net::Ipv4Addr;

use super::*;
use crate::route53::record::{alias, create, delete, simple, weighted};
use eastfall_proto::route53::Change;

const ZONE: &str = "dynamodb.test";

/// A root alias over a tree of two balancers with weights 1 and 3.
fn installed() -> Zones {
    let mut zones = Zones::default();
    zones.create(ZONE, 900).expect("a zone");
    let mut changes: Vec<Change> = tree().into_iter().map(create).collect();
    changes.push(create(alias(ZONE, RecordType::A, "tree.dynamodb.test")));
    changes.push(create(simple("www.dynamodb.test", RecordType::Cname, 60, &["Dynamodb.test."])));
    changes.push(create(simple("away.dynamodb.test", RecordType::Cname, 60, &["example.org"])));
    changes.push(create(simple("round.dynamodb.test", RecordType::Cname, 60, &["round.dynamodb.test"])));
    changes.push(create(simple("none.dynamodb.test", RecordType::Cname, 60, &["no.such.dynamodb.test"])));
    zones.change(ZONE, &changes, None).expect("installed");
    zones
}

fn tree() -> Vec<RecordSet> {
    let leaf = |number: u8| simple(&leaf_name(number), RecordType::A, 5, &[&format!("127.0.0.{number}")]);
    let middle = |number: u8, weight| {
        weighted(alias("tree.dynamodb.test", RecordType::A, &leaf_name(number)), &number.to_string(), weight)
    };
    vec![leaf(1), leaf(2), middle(1, 1), middle(2, 3)]
}

fn leaf_name(number: u8) -> String {
    format!("{number}.tree.dynamodb.test")
}

fn gone() -> Zones {
    let mut zones = installed();
    let changes: Vec<Change> = tree().into_iter().map(delete).collect();
    zones.change(ZONE, &changes, None).expect("deleted");
    zones
}

fn ask(zones: &Zones, name: &str, record_type: dns::RecordType) -> Answer {
    answer(zones, &Question::new(name, record_type), &mut |_| 0)
}

#[test]
fn an_alias_is_followed_by_the_server_and_answered_under_the_name_asked_for() {
    let answer = ask(&installed(), ZONE, dns::RecordType::A);
    let data = RecordData::A(Ipv4Addr::new(127, 0, 0, 1));
    assert_eq!(answer, Answer::of(vec![Record { name: ZONE.into(), ttl: Span::from_secs(5), data }]));
}

#[test]
fn a_root_alias_whose_tree_is_gone_is_noerror_with_zero_answers_and_the_soa() {
    let answer = ask(&gone(), ZONE, dns::RecordType::A);
    assert_eq!(
        (answer.code, answer.records.len()),
        (ResponseCode::NoError, 0),
        "not NXDOMAIN and not an error"
    );
    assert_eq!(
        answer.negative_ttl(),
        Some(Span::from_secs(900)),
        "resolvers keep it for a quarter of an hour"
    );
}

#[test]
fn names_without_records_are_told_apart() {
    let zones = installed();
    let code = |name| ask(&zones, name, dns::RecordType::Txt).code;
    assert_eq!(code(ZONE), ResponseCode::NoError, "the name exists, a text does not");
    assert_eq!(code("no.such.dynamodb.test"), ResponseCode::NxDomain);
    assert_eq!(code("example.org"), ResponseCode::Refused, "somebody else's zone");
    let other = ask(&zones, ZONE, dns::RecordType::Other(65)).code;
    assert_eq!(other, ResponseCode::NoError, "a type that nobody stores");
    let mut empty = Zones::default();
    empty.create(ZONE, 900).expect("a zone");
    let leaf = simple("a.b.dynamodb.test", RecordType::A, 5, &["127.0.0.1"]);
    empty.change(ZONE, &[create(leaf)], None).expect("a record");
    assert_eq!(
        ask(&empty, "b.dynamodb.test", dns::RecordType::A).code,
        ResponseCode::NoError,
        "there is one below it"
    );
    assert_eq!(ask(&empty, ZONE, dns::RecordType::A).code, ResponseCode::NoError, "a zone's own name exists");
}

#[test]
fn a_zone_that_was_never_filled_is_nobodys() {
    let mut zones = Zones::default();
    let refused = Answer::nothing(ResponseCode::Refused, None);
    zones.create(ZONE, 900).expect("a zone");
    assert_eq!(ask(&zones, ZONE, dns::RecordType::A), refused, "it has only been made");
    let lock = simple("lock.dynamodb.test", RecordType::Txt, 5, &["somebody's"]);
    zones.change(ZONE, &[create(lock)], None).expect("a text");
    assert_eq!(ask(&zones, ZONE, dns::RecordType::A), refused, "whoever fills it has only taken its lock");
    let address = simple(ZONE, RecordType::A, 5, &["127.0.0.1"]);
    zones.change(ZONE, &[create(address)], None).expect("an address");
    assert!(ask(&zones, ZONE, dns::RecordType::A).has(dns::RecordType::A), "now it is answered for");
}

#[test]
fn a_cname_comes_with_what_it_leads_to() {
    let zones = installed();
    let answer = ask(&zones, "www.dynamodb.test", dns::RecordType::A);
    let names: Vec<_> = answer.records.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(names, ["www.dynamodb.test", ZONE]);
    let away = ask(&zones, "away.dynamodb.test", dns::RecordType::A);
    assert_eq!(
        (away.code, away.records.len()),
        (ResponseCode::NoError, 1),
        "the rest is for others to answer"
    );
    let nowhere = ask(&zones, "none.dynamodb.test", dns::RecordType::A);
    assert_eq!(
        (nowhere.code, nowhere.records.len()),
        (ResponseCode::NxDomain, 1),
        "the alias and that its end is none"
    );
    assert_eq!(ask(&zones, "round.dynamodb.test", dns::RecordType::A).code, ResponseCode::ServFail);
    assert_eq!(
        ask(&zones, "www.dynamodb.test", dns::RecordType::Cname).records.len(),
        1,
        "asked for as such"
    );
}

#[test]
fn the_zone_itself_is_described_when_asked() {
    let answer = ask(&installed(), ZONE, dns::RecordType::Soa);
    assert!(matches!(&answer.records[..], [Record { data: RecordData::Soa(soa), .. }] if soa.zone == ZONE));
}

#[test]
fn the_longest_zone_answers() {
    let mut zones = installed();
    let inside = "tree.dynamodb.test";
    zones.create(inside, 60).expect("a zone inside the zone");
    let other = simple("other.tree.dynamodb.test", RecordType::A, 5, &["127.0.0.1"]);
    zones.change(inside, &[create(other)], None).expect("an address");
    assert_eq!(ask(&zones, "1.tree.dynamodb.test", dns::RecordType::A).code, ResponseCode::NxDomain);
}

#[test]
fn weights_are_shares() {
    let zones = installed();
    let mut hits = [0, 0];
    for luck in 0..4 {
        let answer = answer(&zones, &Question::new(ZONE, dns::RecordType::A), &mut |total| {
            assert_eq!(total, 4, "the sum of the weights");
            luck
        });
        let second = answer.records[0].data == RecordData::A(Ipv4Addr::new(127, 0, 0, 2));
        hits[usize::from(second)] += 1;
    }
    assert_eq!(hits, [1, 3]);
}

#[test]
fn weights_that_are_all_zero_make_no_difference_between_records() {
    let mut zones = Zones::default();
    zones.create(ZONE, 900).expect("a zone");
    let record = |number: u8| {
        let record = simple(ZONE, RecordType::A, 5, &[&format!("127.0.0.{number}")]);
        create(weighted(record, &number.to_string(), 0))
    };
    zones.change(ZONE, &[record(1), record(2)], None).expect("records");
    for luck in 0..2 {
        let answer = answer(&zones, &Question::new(ZONE, dns::RecordType::A), &mut |_| luck);
        assert_eq!(answer.records[0].data, RecordData::A(Ipv4Addr::new(127, 0, 0, luck as u8 + 1)));
    }
}

#[test]
fn addresses_counts_what_is_left_of_an_endpoint() {
    assert_eq!(addresses(&installed(), ZONE), 2);
    assert_eq!(addresses(&gone(), ZONE), 0);
    assert_eq!(addresses(&installed(), "example.org"), 0);
}
