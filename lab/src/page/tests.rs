//! A short run from its session to its report.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::Value;

use super::model::Model;
use super::report;
use crate::cli;
use crate::run_folder::{Mode, RunFolder, RunWriter};
use crate::session::Session;
use crate::simulate::{Options, simulate};

fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

/// One queue for twenty seconds, with a setting: nothing breaks in it.
fn run(folder: &Path) {
    run_of(shipped("scenarios/mm1.toml"), folder);
}

fn run_of(scenario: PathBuf, folder: &Path) {
    let scenario = cli::Scenario {
        scenario,
        topology: Some(shipped("topologies/mm1.toml")),
        seed: 7,
        settings: vec!["service.station.queue.limit=50".to_owned()],
        load: None,
        without_operators: false,
        without: Vec::new(),
        shift: Vec::new(),
        until: Some("+20s".to_owned()),
        out: None,
    };
    let session = Session::load(&scenario, Mode::Sim, None).unwrap();
    let writer = RunWriter::create(folder, &session.description).unwrap();
    simulate(&session, Options { writer: Some(writer), ..Options::default() }).unwrap();
}

/// What a report carries.
fn document(report: &str) -> Value {
    let begin = "id=\"document\">";
    let data = &report[report.find(begin).unwrap() + begin.len()..];
    let data = data[..data.find('<').unwrap()].trim();
    let packed = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_report_holds_the_run_that_its_folder_holds() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("mm1");
    run(&folder);
    let file = report::write(&folder).unwrap();
    let report = std::fs::read_to_string(file).unwrap();
    let whole = document(&report);
    let model = &whole["runs"][0];
    let opened = RunFolder::open(&folder).unwrap();
    let expected: Value = serde_json::to_value(Model::of_run(&opened).unwrap()).unwrap();
    assert_eq!(*model, expected, "a short run is not thinned");

    assert_eq!(model["about"]["name"], "mm1");
    assert_eq!(model["about"]["seed"], "7");
    assert_eq!(model["about"]["settings"][0], "service.station.queue.limit=50");
    let summary = opened.summary().unwrap().unwrap();
    let (name, edge) = summary.edges.first().unwrap();
    let rows = model["series"]["columns"][format!("{name}.requests")].as_array().unwrap();
    let requests: f64 = rows.iter().filter_map(Value::as_f64).sum();
    assert_eq!(requests, edge.requests as f64, "the page's counts are the summary's");
    let latencies = model["latency"].as_array().unwrap();
    let answered: u64 = latencies
        .iter()
        .filter(|row| row[0] == **name)
        .flat_map(|row| row[1]["ok"].as_array().unwrap())
        .filter_map(|bin| bin[1].as_u64())
        .sum();
    assert_eq!(answered, edge.requests - edge.failed, "every answered request is in a bin of the heat map");
    let policies = model["policies"].as_array().unwrap();
    assert_eq!(policies.len(), 1, "nothing was changed on the way");
    assert_eq!(
        policies[0]["services"]["station"]["queue.limit"], "50",
        "settings are in force from the start"
    );
}

#[test]
fn a_run_that_was_cut_off_is_shown_as_far_as_it_came() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("mm1");
    run(&folder);
    std::fs::remove_file(folder.join("summary.json")).unwrap();
    let model = serde_json::to_value(Model::of_run(&RunFolder::open(&folder).unwrap()).unwrap()).unwrap();
    assert!(
        model["summary"].is_null() && !model["series"]["times"].as_array().unwrap().is_empty(),
        "{model}"
    );
}

#[test]
fn impact_is_shown_where_the_expectations_recognise_it_with_customers_or_without() {
    let place = tempfile::tempdir().unwrap();
    let scenario = place.path().join("own.toml");
    let text = std::fs::read_to_string(shipped("scenarios/mm1.toml")).unwrap();
    std::fs::write(&scenario, text.replace("mm1.expect.toml", "own.expect.toml")).unwrap();
    // The station's customers are served all along, and nobody calls the other one from outside.
    let window =
        |system: &str| format!("[[window]]\nsystem = \"{system}\"\nwhen = \"customers->station.ok > 0\"\n");
    let rules = window("station") + &window("nobody-asks");
    std::fs::write(place.path().join("own.expect.toml"), rules).unwrap();
    let folder = place.path().join("run");
    run_of(scenario, &folder);
    let model = serde_json::to_value(Model::of_run(&RunFolder::open(&folder).unwrap()).unwrap()).unwrap();
    let expected = serde_json::json!([[0.0, 20.0]]);
    assert_eq!(model["windows"]["nobody-asks"], expected, "one without customers");
    assert_eq!(model["windows"]["station"], expected, "one with customers");
    let systems = model["systems"].as_array().unwrap();
    let station = systems.iter().find(|system| system["name"] == "station").unwrap();
    assert_eq!(station["windows"], expected, "whose own condition goes before its customers' errors");
    assert_eq!(systems.len(), 1, "the other has no customers to ask: {systems:?}");
}
