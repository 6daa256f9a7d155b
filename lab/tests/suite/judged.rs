//! `score`, `explain` and `sweep`: what is said of runs, held against the runs themselves.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use eastfall::explain::{Cause, Story};
use eastfall::run_folder::RunFolder;
use eastfall::score::{Matching, Score, fidelity_page, groups, swimlanes};
use serde_json::Value;
use tempfile::TempDir;

use crate::compare::{EXPECTATIONS, shop};
use crate::support::{incident, run_into, scratch};

/// The region from its start to the end of the blackout. In a small part of it Lambda has a worker or two, and functions
/// fail by chance.
static BLACKOUT: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = scratch();
    run_into(folder.path(), &incident(), "--until 03:00 --seed 1");
    folder
});

fn eastfall(place: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_eastfall")).args(arguments).current_dir(place).output();
    output.unwrap_or_else(|error| panic!("{error}"))
}

/// What a command prints, if its exit status is this.
fn printed(place: &Path, arguments: &[&str], status: i32) -> String {
    let output = eastfall(place, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn object(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn who_stops_reading_is_no_reason_to_fail() {
    let run = BLACKOUT.path().display().to_string();
    for arguments in [vec!["score", &run], vec!["explain", &run, "--json"], vec!["explain", &run]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_eastfall"))
            .args(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{error}"));
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("{error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    }
}

#[test]
fn the_shipped_blackout_is_scored_with_windows_and_what_lies_after_the_run_is_left_open() {
    let folders = [BLACKOUT.path().to_owned()];
    let groups = groups(&folders).unwrap_or_else(|failure| panic!("{failure}"));
    let score = Score::of(&groups[0], Matching::default()).unwrap_or_else(|failure| panic!("{failure}"));
    let error = |name: &str| {
        let (_, point) = score.outcomes().find(|(id, _)| id == name).unwrap_or_else(|| panic!("no {name}"));
        point.runs[0].error_min
    };
    for name in [
        "dns.endpoint-empty",
        "dynamodb.clients-recovered",
        "dynamodb opens",
        "dynamodb closes",
        "dynamodb-global-tables opens",
    ] {
        assert!(error(name).is_some_and(|error| error.abs() < 15.0), "{name}: {:?}", error(name));
    }
    assert_eq!(error("ec2-api closes"), None, "it was down when the run ended");
    assert!(
        !score.all.missing_ids.iter().any(|id| id.starts_with("ec2.leases")),
        "{:?}",
        score.all.missing_ids
    );
    let text = score.to_string();
    for system in ["mwaa", "outposts-lifecycle", "support-center"] {
        assert!(text.lines().any(|line| line.contains("without times") && line.contains(system)), "{text}");
    }
    let page = fidelity_page(&groups[0], &score).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(page.contains("step `dns.restored`") && page.contains("check `dns.sticks` passed"), "{page}");
    assert!(swimlanes(&score).ends_with("</svg>\n"), "a whole document");
}

#[test]
fn the_story_of_the_blackout_names_its_cause_its_cure_and_who_fell_with_it() {
    let run = RunFolder::open(BLACKOUT.path()).unwrap_or_else(|error| panic!("{error}"));
    let story = Story::of(&run).unwrap_or_else(|failure| panic!("{failure}"));
    let timing = story.timing.as_ref().unwrap_or_else(|| panic!("something fell: {story}"));
    assert_eq!(timing.cured_by.as_deref(), Some("dns.restored"), "{story}");
    assert!((140.0..175.0).contains(&timing.trigger_minutes), "{story}");
    let api = story.falls.iter().find(|fall| fall.system == "ec2-api");
    let api = api.unwrap_or_else(|| panic!("the EC2 API falls: {story}"));
    assert!(
        matches!(&api.cause, Cause::Dependency { system, .. } if system == "dynamodb" || system == "dwfm"),
        "{story}"
    );
    let store = story.falls.iter().find(|fall| fall.system == "dynamodb");
    let store = store.unwrap_or_else(|| panic!("DynamoDB falls: {story}"));
    assert!(matches!(store.cause, Cause::Unreachable { .. }), "healthy, and nobody finds it: {story}");
    assert!(story.first_signs.iter().any(|sign| sign.what == "dns.endpoint-empty"), "{story}");
}

/// The shop with a published time.
fn published_shop() -> TempDir {
    let place = shop();
    let published = EXPECTATIONS.to_owned()
        + "published = \"2025-10-20T00:04:00-07:00\"\n\n[[window]]\nsystem = \"shop\"\nfrom = \"2025-10-20T00:01:00-07:00\"\n";
    fs::write(place.path().join("slow-shop.expect.toml"), published)
        .unwrap_or_else(|error| panic!("{error}"));
    place
}

#[test]
fn a_comparison_is_scored_by_variant_over_its_seeds() {
    let place = published_shop();
    let compare = ["compare", "slow-shop.toml", "--seeds", "3", "--out", "out"];
    let variants =
        ["--variant", "as built:", "--variant", "no retries: service.people.calls.shop.retry=none"];
    printed(place.path(), &[&compare[..], &variants[..]].concat(), 0);
    let scores = object(&printed(place.path(), &["score", "out", "--json", "--out", "judged"], 0));
    let [built, without] = [0, 1].map(|number| &scores[number]);
    assert_eq!((&built["variant"], &without["variant"]), (&"as built".into(), &"no retries".into()));
    assert_eq!(
        built["all"]["missing_ids"],
        serde_json::json!(["shop.recovered (3 of 3 runs)"]),
        "retries keep it down"
    );
    assert_eq!(without["all"]["missing"], 0, "{without}");
    assert_eq!(without["milestones"][0]["time"]["runs"].as_array().map(Vec::len), Some(3), "{without}");
    for file in ["score.json", "score.svg", "fidelity.md"] {
        let path = place.path().join("judged/2-no-retries").join(file);
        assert!(path.exists(), "{}", path.display());
    }
    let out_of_bounds = eastfall(place.path(), &["score", "out", "--within", "1000,1000"]);
    let said = String::from_utf8_lossy(&out_of_bounds.stderr);
    assert_eq!(out_of_bounds.status.code(), Some(1), "{said}");
    assert!(said.contains("not shown: shop.recovered (3 of 3 runs)"), "{said}");
}

#[test]
fn a_sweep_shows_what_moves_with_a_parameter_and_what_does_not() {
    let place = shop();
    let arguments =
        ["sweep", "slow-shop.toml", "--seeds", "6", "--by", "20%", "--csv", "sweep.csv", "--json"];
    let without_retries = ["--set", "service.people.calls.shop.retry=none"];
    let paths = ["--path", "service.people.hosts=5", "--path", "service.shop.service-time.mean=50ms"];
    let sweep =
        object(&printed(place.path(), &[&arguments[..], &without_retries[..], &paths[..]].concat(), 0));
    assert_eq!(sweep["parameters"][1]["down"][0], "40ms", "{sweep}");
    let slope = |number: usize| {
        sweep["parameters"][number]["moves"]["shop.recovered"]["per_ten_percent_min"].as_f64()
    };
    assert!(slope(1).is_some_and(|slope| slope > 0.05), "slower service, later recovery: {sweep}");
    let verdict = &sweep["parameters"][1]["moves"]["shop.recovered"]["up_verdict"];
    assert_eq!(verdict, "more", "{sweep}");
    let csv = fs::read_to_string(place.path().join("sweep.csv")).unwrap_or_else(|error| panic!("{error}"));
    assert!(
        csv.lines().any(|line| line.starts_with("service.people.hosts,5,false,shop.recovered,")),
        "{csv}"
    );
}

#[test]
fn a_sweep_of_what_does_not_ship_or_has_no_size_is_refused() {
    let place = shop();
    let cases = [
        ("service.shop.workers=5", "5 is not what the topology has"),
        ("service.shop.workers", "is not among the listed parameters"),
        ("service.people.calls.shop.retry.backoff=none", "has no size"),
        ("service.shpo.workers=2", "did you mean `shop`"),
    ];
    for (path, expected) in cases {
        let output = eastfall(place.path(), &["sweep", "slow-shop.toml", "--path", path]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{path}: {said}");
    }
}

#[test]
fn every_listed_parameter_of_the_shipped_scenario_is_what_ships() {
    let scenario = incident().display().to_string();
    let root = incident().parent().and_then(Path::parent).unwrap_or(Path::new("/")).to_owned();
    let listed = printed(&root, &["sweep", &scenario, "--list"], 0);
    assert!(
        listed.contains("service.dwfm.service-time.median = 16.5s: tuned to ec2.leases-recovered"),
        "{listed}"
    );
}
