//! Parameters of a kind: from the declaration to the struct, and what a file may not write.

use super::{CrowdParams, KINDS, Mood, SAMPLE, breaks, sample};
use crate::{Distribution, KindSchema, ParamSchema, ParamType, Source, Span, Topology};

#[test]
fn parameters_arrive_typed_with_their_defaults() {
    let topology = sample(&["service.users.mood=angry", "service.users.patience=30s"]);
    let crowd = CrowdParams::from(&topology.services["users"].params);
    assert_eq!(crowd.arrivals, 50.0);
    assert_eq!(crowd.population, 3);
    assert_eq!(crowd.think_time, Span::from_secs(2));
    assert_eq!(crowd.patience, Some(Span::from_secs(30)));
    assert_eq!(crowd.mood, Mood::Angry);
    assert_eq!(crowd.mix.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["read", "write"]);
    assert_eq!(crowd.day.at(Span::from_mins(6 * 60)), 1.0);
    assert_eq!(crowd.places, ["here", "there"]);
    assert!(crowd.loyal);
    assert_eq!(crowd.typing, Distribution::Uniform { low: Span::from_secs(1), high: Span::from_secs(3) });
    assert_eq!(CrowdParams::from(&sample(&[]).services["users"].params).patience, None);
}

#[test]
fn a_schema_tells_what_its_declaration_says() {
    let schema = CrowdParams::SCHEMA;
    assert_eq!((schema.name, schema.doc), ("crowd", "Customers. Many of them."));
    let think_time = schema.param("think-time").expect("declared");
    assert_eq!(think_time.doc, "How long they think.");
    assert_eq!(think_time.default, Some("\"2s\""));
    assert_eq!(think_time.range, Some(("\"10ms\"", "\"1h\"")));
    assert!(!think_time.scaled && schema.param("arrivals").is_some_and(|param| param.scaled));
    assert_eq!(schema.param("mix").map(|param| param.default), Some(None), "required");
    assert!(KINDS[0].has_operations && !schema.has_operations);
    assert_eq!(KINDS[1].offers, ["resolve"]);
}

#[test]
fn a_parameter_is_held_against_type_range_and_presence() {
    let key = "service.users";
    breaks(
        "arrivals = 50",
        "arrivals = 5000",
        &format!("{key}.arrivals: 5000 is out of range; write a value from 0 to 1000"),
    );
    breaks(
        "arrivals = 50",
        "arrival = 50",
        &format!("{key}.arrival: unknown key `arrival`; did you mean `arrivals`?"),
    );
    breaks(
        "arrivals = 50",
        "mood = \"angyr\"",
        &format!("{key}.mood: unknown word `angyr`; did you mean `angry`?"),
    );
    breaks("arrivals = 50", "places = \"here\"", &format!("{key}.places: `here` is not a list"));
    breaks("arrivals = 50", "population = 1.5", &format!("{key}.population: `1.5` is not a whole number"));
    breaks(
        "arrivals = 50",
        "typing = { distribution = \"uniform\", high = \"1s\" }",
        &format!("{key}.typing.low: `low` is missing"),
    )
}

#[test]
fn a_required_parameter_must_be_there() {
    breaks("mix = { read = 0.7, write = 0.3 }", "", "service.users.mix: `mix` is missing");
}

#[test]
fn weights_are_not_negative_and_not_all_zero() {
    let mix = "mix = { read = 0.7, write = 0.3 }";
    breaks(mix, "mix = { read = -1, write = 2 }", "service.users.mix: weight -1 of `read` is below 0");
    breaks(mix, "mix = { read = 0 }", "service.users.mix: the weights sum to 0");
    breaks(mix, "mix = 5", "service.users.mix: `5` is not a table of weights");
}

#[test]
fn a_rate_over_the_day_goes_forward_in_time() {
    for (bad, expected) in [
        ("[]", "a curve needs at least one point"),
        ("[[\"25:00\", 1]]", "`25:00` is not a time of day"),
        ("[[\"02:00\", 1], [\"01:00\", 1]]", "01:00 does not come after 02:00"),
        ("[[\"02:00\", -1]]", "factor -1 is not a number from 0"),
        ("5", "`5` is not a rate over the day"),
    ] {
        breaks("arrivals = 50", &format!("day = {bad}"), &format!("service.users.day: {expected}"));
    }
}

#[test]
fn a_schema_that_contradicts_itself_is_reported() {
    const WRONG: &[ParamSchema] = &[
        ParamSchema {
            key: "pace",
            doc: "out of its own range",
            kind: ParamType::Integer(10),
            default: Some("5"),
            range: Some(("6", "7")),
            scaled: false,
        },
        ParamSchema {
            key: "workers",
            doc: "every service has it",
            kind: ParamType::Integer(10),
            default: Some("5"),
            range: None,
            scaled: false,
        },
    ];
    let kinds = [
        KINDS[0],
        KINDS[2],
        KindSchema { name: "zone", doc: "", params: WRONG, has_operations: false, offers: &[] },
    ];
    let loaded = Topology::load(Source { file: "topology.toml", text: SAMPLE }, &[], &kinds, 1.0);
    let problems = loaded.expect_err("a contradiction").to_string();
    assert!(problems.contains("kind `zone`: service.dns.pace: 5 is out of range"), "{problems}");
    assert!(problems.contains("kind `zone`: service.dns.workers: every service has this key"), "{problems}");
}
