//! What is wrong with a command is said once, on standard error, by file, line, key or flag; nothing is printed, nothing
//! is begun, and the exit status is 2.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::support::{incident, scratch, shipped};

/// Runs the program in an empty folder of its own and holds its answer against the rules above. Every one of `named` must
/// be in the one line that it says.
fn refused(place: &Path, arguments: &[&str], named: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_eastfall"))
        .args(arguments)
        .current_dir(place)
        // No fleet of this user's is to be seen.
        .env("XDG_RUNTIME_DIR", place)
        .output()
        .unwrap_or_else(|error| panic!("{error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    let what = format!("eastfall {}: {said}", arguments.join(" "));
    assert_eq!(output.status.code(), Some(2), "{what}");
    assert!(output.stdout.is_empty(), "nothing on standard output: {what}");
    assert_eq!(said.lines().count(), 1, "one message: {what}");
    assert!(!said.contains("panicked"), "{what}");
    for name in named {
        assert!(said.contains(name), "names {name}: {what}");
    }
    assert!(!place.join("runs").exists(), "no run was begun: {what}");
}

/// A `run` of the shipped scenario, refused for its other arguments.
fn run_refused(arguments: &[&str], named: &[&str]) {
    let scenario = incident().display().to_string();
    let all: Vec<&str> = ["run", &scenario].into_iter().chain(arguments.iter().copied()).collect();
    refused(scratch().path(), &all, named);
}

/// The shipped topology with one change, refused by `topology check` and by `run` alike.
fn topology_refused(from: &str, to: &str, named: &[&str]) {
    let place = scratch();
    let text = fs::read_to_string(shipped("topology.toml")).unwrap_or_else(|error| panic!("{error}"));
    assert!(text.contains(from), "the shipped topology has {from}");
    fs::write(place.path().join("mine.toml"), text.replacen(from, to, 1))
        .unwrap_or_else(|error| panic!("{error}"));
    refused(place.path(), &["topology", "check", "mine.toml"], named);
    let scenario = incident().display().to_string();
    refused(place.path(), &["run", &scenario, "--topology", "mine.toml"], named);
}

#[test]
fn a_scenario_that_is_not_there_is_named() {
    refused(scratch().path(), &["run", "nowhere.toml"], &["nowhere.toml", "No such file"]);
}

#[test]
fn an_unknown_key_is_named_by_line_with_the_nearest() {
    topology_refused(
        "dns-port = ",
        "dns-prot = ",
        &["mine.toml:10:1", "region.dns-prot", "did you mean `dns-port`"],
    );
}

#[test]
fn a_duration_that_is_none_is_named_by_line_and_key() {
    topology_refused(
        "timeout = \"10s\"",
        "timeout = \"5 parsecs\"",
        &["mine.toml:", "defaults.calls.timeout", "`5 parsecs` is not a length of time"],
    );
}

#[test]
fn generic_calls_that_go_round_in_a_circle_are_refused() {
    let circle = "\
        [service.shop]\nkind = \"service\"\ncalls.stock = {}\n\
        operations.buy = { calls = [{ service = \"stock\", operation = \"take\" }] }\n\
        [service.stock]\nkind = \"service\"\ncalls.shop = {}\n\
        operations.take = { calls = [{ service = \"shop\", operation = \"buy\" }] }\n\
        [service.route53]\n";
    topology_refused("[service.route53]\n", circle, &["mine.toml:", "shop.buy -> stock.take -> shop.buy"]);
}

#[test]
fn a_step_that_the_scenario_does_not_have_is_named_with_the_nearest() {
    run_refused(&["--without", "dns.restore"], &["--without dns.restore", "did you mean `dns.restored`"]);
    run_refused(&["--shift", "dns.restore=-1h"], &["--shift dns.restore=-1h", "did you mean `dns.restored`"]);
    run_refused(
        &["--shift", "dns.restored=soon"],
        &["--shift dns.restored=soon", "`soon` is no move in time"],
    );
}

#[test]
fn an_end_before_the_start_or_without_sense_is_refused() {
    let early = "2025-10-19T23:00";
    run_refused(&["--until", early], &["--until 2025-10-19T23:00", "before the run begins"]);
    run_refused(&["--until", "2025-10-22T00:00"], &["--until 2025-10-22T00:00", "after the scenario ends"]);
    run_refused(&["--until", "noon"], &["--until noon", "is no time"]);
}

#[test]
fn a_setting_of_an_unknown_path_or_without_value_is_refused() {
    run_refused(
        &["--set", "service.dynamodb.colour=red"],
        &["--set", "service.dynamodb.colour", "unknown key"],
    );
    run_refused(&["--set", "nonsense"], &["--set nonsense", "has no value"]);
}

#[test]
fn a_load_of_nothing_is_refused() {
    run_refused(&["--load", "0"], &["--load 0", "out of range"]);
}

#[test]
fn a_folder_that_can_not_be_written_is_named() {
    let place = scratch();
    let file = place.path().join("file");
    fs::write(&file, "in the way").unwrap_or_else(|error| panic!("{error}"));
    let out = file.join("run").display().to_string();
    run_refused(&["--until", "23:30", "--out", &out], &[&out]);
}

#[test]
fn a_folder_that_holds_a_run_is_left_alone() {
    let place = scratch();
    fs::write(place.path().join("run.toml"), "mine").unwrap_or_else(|error| panic!("{error}"));
    let out = place.path().display().to_string();
    run_refused(&["--until", "23:30", "--out", &out], &[&out, "holds a run already", "--out"]);
    let kept = fs::read_to_string(place.path().join("run.toml")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(kept, "mine", "what was there");
}

#[test]
fn a_folder_without_a_run_can_not_be_scored() {
    refused(scratch().path(), &["score", "."], &["no run folder", "run.toml"]);
}

#[test]
fn a_speed_of_zero_is_refused() {
    let scenario = incident().display().to_string();
    for speed in ["0", "NaN", "inf"] {
        refused(scratch().path(), &["up", &scenario, "--headless", "--speed", speed], &["--speed"]);
    }
}

#[test]
fn status_without_a_fleet_says_how_to_start_one() {
    refused(scratch().path(), &["status"], &["no fleet is running", "eastfall up"]);
}

#[test]
fn a_port_that_somebody_has_is_named_with_the_setting_that_changes_it() {
    // On every address, so that no loopback network is left.
    let taken = TcpListener::bind("0.0.0.0:0").unwrap_or_else(|error| panic!("{error}"));
    let port = taken.local_addr().unwrap_or_else(|error| panic!("{error}")).port();
    let (setting, scenario) = (format!("region.port={port}"), incident().display().to_string());
    let named = [format!("port {port}"), "--set region.port".to_owned()];
    // Should it start after all, it would soon end.
    let rest = ["--speed", "1000", "--load", "0.1", "--headless", "--until", "23:29", "--set", &setting];
    let all: Vec<&str> = ["up", &scenario].into_iter().chain(rest).collect();
    refused(scratch().path(), &all, &[&named[0], &named[1]]);
}

#[test]
fn watch_without_a_terminal_says_what_to_use() {
    refused(scratch().path(), &["watch"], &["terminal", "eastfall status --json"]);
}

#[test]
fn a_ratio_of_traces_above_all_of_them_is_named() {
    let scenario = incident().display().to_string();
    refused(scratch().path(), &["up", &scenario, "--trace-ratio", "2"], &["--trace-ratio 2", "0 to 1"]);
}
