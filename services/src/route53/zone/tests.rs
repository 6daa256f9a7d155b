//! The store's rules, one test each, and batches against a simple model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::route53::record::{alias, create, delete, simple, upsert, weighted};
use eastfall_proto::route53::ListResourceRecordSetsRequest as List;

const ZONE: &str = "dynamodb.test";

fn zones() -> Zones {
    let mut zones = Zones::default();
    zones.create(ZONE, 900).expect("a zone");
    zones
}

fn address(name: &str, value: &str) -> RecordSet {
    simple(name, RecordType::A, 5, &[value])
}

fn text(value: &str) -> RecordSet {
    simple("lock.dynamodb.test", RecordType::Txt, 0, &[value])
}

fn refusal(zones: &mut Zones, changes: &[Change]) -> String {
    let before = zones.clone();
    let refusal = zones.change(ZONE, changes, None).expect_err("it is refused").to_string();
    assert_eq!(*zones, before, "a refused batch changes nothing");
    refusal
}

fn names(zones: &Zones) -> Vec<String> {
    let page = zones.get(ZONE).expect("the zone").list(&List::default());
    page.records.into_iter().map(|record| record.name).collect()
}

#[test]
fn a_batch_is_made_as_a_whole_or_not_at_all() {
    let mut zones = zones();
    let refused =
        refusal(&mut zones, &[create(address("a.dynamodb.test", "127.0.0.1")), delete(text("never there"))]);
    assert!(refused.contains("change 2") && refused.contains("was not found"), "{refused}");
    assert!(names(&zones).is_empty(), "the first change was sound and is not made either");
}

#[test]
fn delete_and_create_in_one_batch_are_a_compare_and_swap() {
    let mut zones = zones();
    zones.change(ZONE, &[create(text("free"))], None).expect("the lock is there");
    let take = |holder| [delete(text("free")), create(text(holder))];
    zones.change(ZONE, &take("a"), None).expect("the first one gets it");
    let refused = refusal(&mut zones, &take("b"));
    assert!(refused.contains("do not match the current values"), "{refused}");
}

#[test]
fn create_fails_where_the_record_is() {
    let mut zones = zones();
    zones.change(ZONE, &[create(text("a"))], None).expect("created");
    assert!(refusal(&mut zones, &[create(text("b"))]).contains("already exists"));
}

#[test]
fn an_alias_needs_a_target_of_its_type_at_the_moment_of_the_change() {
    let mut zones = zones();
    let root = || upsert(alias(ZONE, RecordType::A, "tree.dynamodb.test"));
    assert!(refusal(&mut zones, &[root()]).contains("alias target name tree.dynamodb.test does not exist"));
    let other = simple("tree.dynamodb.test", RecordType::Txt, 0, &["a text"]);
    assert!(refusal(&mut zones, &[create(other), root()]).contains("does not exist"), "of another type");
    let tree = || address("tree.dynamodb.test", "127.0.0.1");
    assert!(
        refusal(&mut zones, &[root(), create(tree())]).contains("does not exist"),
        "made later in the batch"
    );
    zones.change(ZONE, &[create(tree()), root()], None).expect("made earlier in the batch");
}

#[test]
fn what_an_alias_points_at_can_be_deleted_under_it() {
    let mut zones = zones();
    let tree = || address("tree.dynamodb.test", "127.0.0.1");
    let root = || alias(ZONE, RecordType::A, "tree.dynamodb.test");
    zones.change(ZONE, &[create(tree()), create(root())], None).expect("installed");
    zones.change(ZONE, &[delete(tree())], None).expect("nobody asks what points at it");
    assert_eq!(names(&zones), [ZONE], "the root is left alone");
    assert!(
        refusal(&mut zones, &[upsert(root())]).contains("does not exist"),
        "and can't even be written again"
    );
}

#[test]
fn a_newer_generation_shuts_out_older_ones() {
    let mut zones = zones();
    let at = |generation| Precondition { name: ZONE.into(), generation };
    zones.change(ZONE, &[upsert(text("145"))], Some(&at(145))).expect("the first");
    zones.change(ZONE, &[upsert(text("145 again"))], Some(&at(145))).expect("the same again");
    let refused = zones.change(ZONE, &[upsert(text("110"))], Some(&at(110)));
    assert_eq!(refused, Err(Refusal::Superseded { name: ZONE.into(), generation: 110, newer: 145 }));
    let failed = zones.change(ZONE, &[delete(text("no"))], Some(&at(200)));
    assert!(matches!(failed, Err(Refusal::Change { .. })), "sound generation, unsound change");
    zones
        .change(ZONE, &[upsert(text("146"))], Some(&at(146)))
        .expect("a refused batch records no generation");
}

#[test]
fn what_no_zone_could_serve_is_refused() {
    let mut zones = zones();
    let long = "x".repeat(64) + ".dynamodb.test";
    let weight = |weight| weighted(address("w.dynamodb.test", "127.0.0.1"), "one", weight);
    let cases = [
        (address("elsewhere.test", "127.0.0.1"), "is not in zone"),
        (address("notdynamodb.test", "127.0.0.1"), "is not in zone"),
        (address(&long, "127.0.0.1"), "is not a DNS name"),
        (address("a.dynamodb.test", "not an address"), "which its type can't have"),
        (simple("a.dynamodb.test", RecordType::A, 5, &[]), "neither values nor an alias"),
        (alias("a.dynamodb.test", RecordType::A, "elsewhere.test"), "outside zone"),
        (
            RecordSet { values: vec!["127.0.0.1".into()], ..alias(ZONE, RecordType::A, ZONE) },
            "values and an alias",
        ),
        (weight(256), "a weight above 255"),
        (RecordSet { set_identifier: "one".into(), ..address(ZONE, "127.0.0.1") }, "or neither"),
        (simple(ZONE, RecordType::Unspecified, 5, &["?"]), "which its type can't have"),
    ];
    for (record, rule) in cases {
        let refused = refusal(&mut zones, &[create(record)]);
        assert!(refused.contains(rule), "{refused}\nshould say: {rule}");
    }
    zones.change(ZONE, &[create(weight(1))], None).expect("a weighted record");
    assert!(
        refusal(&mut zones, &[create(address("w.dynamodb.test", "127.0.0.2"))])
            .contains("simple or weighted")
    );
    let cname = simple("w.dynamodb.test", RecordType::Cname, 5, &["a.dynamodb.test"]);
    assert!(refusal(&mut zones, &[create(cname)]).contains("a CNAME stands alone"));
    assert_eq!(zones.change(ZONE, &[], None), Err(Refusal::BatchSize(0)));
    let many = vec![upsert(text("x")); MAX_CHANGES + 1];
    assert_eq!(zones.change(ZONE, &many, None), Err(Refusal::BatchSize(MAX_CHANGES + 1)));
    assert!(matches!(zones.change("other.test", &many, None), Err(Refusal::NoSuchZone(_))));
    assert!(
        matches!(zones.create("DYNAMODB.test.", 5), Err(Refusal::ZoneExists(_))),
        "case and final dot don't count"
    );
}

#[test]
fn writing_what_is_there_is_no_change() {
    let mut zones = zones();
    assert_eq!(zones.change(ZONE, &[upsert(text("a"))], None), Ok(true));
    let serial = zones.get(ZONE).expect("the zone").serial();
    assert_eq!(zones.change(ZONE, &[upsert(text("a"))], None), Ok(false));
    assert_eq!(
        zones.change(ZONE, &[delete(text("a")), create(text("a"))], None),
        Ok(false),
        "a mere comparison"
    );
    assert_eq!(zones.get(ZONE).expect("the zone").serial(), serial);
}

#[test]
fn a_list_has_a_name_and_what_is_below_it_and_never_parts_a_name() {
    let mut zones = zones();
    let leaf = |number: usize| address(&format!("{number}.tree.dynamodb.test"), "127.0.0.1");
    let middle = |number: usize| {
        let to = alias("tree.dynamodb.test", RecordType::A, &format!("{number}.tree.dynamodb.test"));
        create(weighted(to, &number.to_string(), 1))
    };
    let mut changes: Vec<Change> = (0..3).map(|number| create(leaf(number))).collect();
    changes.extend((0..3).map(middle));
    changes.extend(
        ["tree-2.dynamodb.test", "tree2.dynamodb.test"].map(|name| create(address(name, "127.0.0.1"))),
    );
    zones.change(ZONE, &changes, None).expect("records");
    let zone = zones.get(ZONE).expect("the zone");
    let request = |start: Option<String>| List {
        zone: ZONE.into(),
        name: "tree.dynamodb.test".into(),
        max_items: 2,
        start_name: start.unwrap_or_default(),
        ..List::default()
    };
    let (mut sizes, mut start, mut found) = (Vec::new(), None, Vec::new());
    loop {
        let page = zone.list(&request(start));
        sizes.push(page.records.len());
        found.extend(page.records.into_iter().map(|record| record.name));
        start = page.next_name;
        if start.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [3, 2, 1], "the weighted name whole, then two leaves, then one");
    assert!(found.iter().all(|name| is_within(name, "tree.dynamodb.test")), "{found:?}");
    let texts = List { r#type: RecordType::Txt as i32, ..List::default() };
    assert_eq!(zone.list(&texts), Page::default(), "there is no text");
}

/// A change in small numbers: which action, which of four names, which of two values.
type Small = (u8, u8, u8);

fn small(&(action, name, value): &Small) -> Change {
    let record = address(&format!("n{name}.dynamodb.test"), &format!("127.0.0.{value}"));
    match action {
        0 => create(record),
        1 => delete(record),
        _ => upsert(record),
    }
}

/// What a batch makes of a map from name to value; nothing if it is refused.
fn model(before: &BTreeMap<u8, u8>, batch: &[Small]) -> Option<BTreeMap<u8, u8>> {
    let mut after = before.clone();
    for (action, name, value) in batch {
        match (action, after.get(name)) {
            (0, Some(_)) | (1, None) => return None,
            (1, Some(present)) if present != value => return None,
            (1, _) => drop(after.remove(name)),
            _ => drop(after.insert(*name, *value)),
        }
    }
    Some(after)
}

proptest! {
    #[test]
    fn batches_do_what_a_map_does(batches in proptest::collection::vec(proptest::collection::vec((0u8..3, 0u8..4, 0u8..2), 1..6), 1..12)) {
        let (mut zones, mut map) = (zones(), BTreeMap::new());
        for batch in &batches {
            let changes: Vec<Change> = batch.iter().map(small).collect();
            let outcome = zones.change(ZONE, &changes, None);
            match model(&map, batch) {
                Some(after) => {
                    prop_assert_eq!(outcome, Ok(after != map), "changed or not");
                    map = after;
                }
                None => prop_assert!(outcome.is_err(), "the map refuses it"),
            }
            let records = zones.get(ZONE).expect("the zone").list(&List::default()).records;
            let found: Vec<_> = records.iter().map(|record| (record.name.clone(), record.values[0].clone())).collect();
            let expected: Vec<_> = map
                .iter()
                .map(|(name, value)| (format!("n{name}.dynamodb.test"), format!("127.0.0.{value}")))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}

#[test]
fn a_name_is_turned_round_by_its_labels() {
    for (name, expected) in
        [("a.bc.d", "d.bc.a"), ("a", "a"), ("", ""), ("a.", ".a"), (".a", "a."), ("a..b", "b..a")]
    {
        assert_eq!(reversed(name), expected, "{name:?}");
    }
}

#[test]
fn names_are_made_of_labels_of_1_to_63_letters() {
    let (longest, too_long) = ("a".repeat(63), "a".repeat(64));
    let whole = [longest.as_str(); 4].join(".");
    for name in ["a", "_automation.dynamodb.test", &longest, &whole[..253]] {
        assert!(check::name(name).is_ok(), "{name:?}");
    }
    for name in ["", ".", "a.", ".a", "a..b", "a b", "\u{e4}", &too_long, &whole] {
        assert!(check::name(name).is_err(), "{name:?}");
    }
}
