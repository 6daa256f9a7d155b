//! What was written is read back, whole or cut off.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use eastfall_fabric::record::Measure;

use super::testing::{MINUTES, at, description, write};
use super::*;

/// Every file of a folder with its bytes.
fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in [path.to_owned(), path.join(HISTOGRAMS)] {
        for entry in fs::read_dir(&folder).unwrap() {
            let file = entry.unwrap().path();
            if file.is_file() {
                files
                    .insert(file.strip_prefix(path).unwrap().display().to_string(), fs::read(&file).unwrap());
            }
        }
    }
    files
}

#[test]
fn a_finished_run_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let results = write(&path, None);
    let names: Vec<String> = files(&path).into_keys().collect();
    assert_eq!(
        names,
        ["events.jsonl", "histograms/customers-web_dynamodb.hlog", "run.toml", "series.csv", "summary.json"]
    );

    let run = RunFolder::open(&path).unwrap();
    assert_eq!(run.description(), &description());
    assert_eq!(run.systems().unwrap().keys().collect::<Vec<_>>(), ["dynamodb"]);

    let series = run.series().unwrap();
    assert_eq!(series.times(), results.series().times());
    let shown = |series: &eastfall_fabric::record::Series| format!("{:?}", series.iter().collect::<Vec<_>>());
    assert_eq!(shown(&series), shown(results.series()), "also of a series that first came in the middle");

    let events = run.events().unwrap();
    let [event] = &events[..] else { panic!("one event, not {events:?}") };
    assert_eq!((event.kind.as_str(), event.at), ("retry.given-up", at(0)));
    assert_eq!(event.fields["reason"], "a \"quoted\"\nreason");

    let totals = results.edges().next().unwrap();
    let edges = run.edges().unwrap();
    for measure in Measure::ALL {
        let read = &edges["customers-web->dynamodb"];
        assert_eq!(read.count(measure), totals.histograms.count(measure), "{measure:?}");
        let p99 = |h: &eastfall_fabric::record::Histograms| {
            h.get(measure).map(|latencies| latencies.quantile(0.99))
        };
        assert_eq!(p99(read), p99(&totals.histograms), "{measure:?}");
    }
}

#[test]
fn the_summary_has_the_keys_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    write(&path, None);
    let run = RunFolder::open(&path).unwrap();
    let summary = serde_json::to_value(run.summary().unwrap()).unwrap();
    let keys =
        |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        keys(&summary),
        "checks edges milestones peak_rss_bytes rpcs scenario seed simulated_s systems wall_s windows"
    );
    let system = &summary["systems"]["dynamodb"];
    assert_eq!(
        keys(system),
        "amplification failed goodput_per_s impact_min p50_ms p999_ms p99_ms peak_amplification rejected requests retries \
         wasted wasted_s windows"
    );
    let edge = &summary["edges"]["customers-web->dynamodb"];
    assert_eq!(
        keys(edge),
        "amplification attempts failed goodput_per_s p50_ms p99_ms peak_amplification requests short_circuited wasted wasted_s"
    );

    let window =
        serde_json::json!([{"from": "2025-10-19T23:49:00-07:00", "to": "2025-10-19T23:51:00-07:00"}]);
    assert_eq!((&system["windows"], &system["impact_min"]), (&window, &serde_json::json!(2.0)));
    let milestone = serde_json::json!([
        {"id": "dynamodb.recovered", "at": "2025-10-19T23:51:00-07:00", "published": null, "error_min": null}
    ]);
    assert_eq!(summary["milestones"], milestone);
    assert_eq!((&summary["rpcs"], &edge["failed"]), (&serde_json::json!(1440), &serde_json::json!(240)));
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    write(&one, None);
    write(&two, None);
    assert_eq!(files(&one), files(&two));
}

#[test]
fn a_run_that_was_cut_off_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    write(&path, Some(9));
    for name in [EVENTS, SERIES, "histograms/customers-web_dynamodb.hlog"] {
        let file = path.join(name);
        let mut text = fs::read_to_string(&file).unwrap();
        text.push_str("{\"at\":\"2025,1.0,");
        fs::write(&file, text).unwrap();
    }
    let run = RunFolder::open(&path).unwrap();
    assert_eq!(run.summary().unwrap(), None, "it has not come to its end");
    assert_eq!(run.events().unwrap().len(), 1);
    assert_eq!(run.series().unwrap().times().len(), 54);
    let edges = run.edges().unwrap();
    assert_eq!(edges["customers-web->dynamodb"].count(Measure::ActualFailed), 240);
    assert_eq!(edges["customers-web->dynamodb"].count(Measure::ActualOk), (9 - 2) * 120);
}

#[test]
fn a_log_has_version_times_and_legend_and_an_interval_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    write(&path, None);
    let run = RunFolder::open(&path).unwrap();
    let (_, log) = run.logs().unwrap().remove(0);
    let text = fs::read_to_string(&log).unwrap();
    let heading: Vec<&str> = text.lines().take(5).collect();
    assert_eq!(
        heading,
        [
            "#[Histogram log format version 1.3]",
            "#[Edge: customers-web->dynamodb; values in microseconds]",
            "#[StartTime: 1760942700.000 (seconds since epoch)]",
            "#[BaseTime: 1760942700.000 (seconds since epoch)]",
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"",
        ]
    );
    let ok: Vec<u64> = run
        .intervals(&log)
        .unwrap()
        .iter()
        .filter(|interval| interval.measure == Measure::IntendedOk)
        .map(|interval| interval.from.as_nanos() / 60_000_000_000)
        .collect();
    let expected: Vec<u64> = (0..MINUTES).filter(|minute| !(4..6).contains(minute)).collect();
    assert_eq!(ok, expected, "minutes with answered requests");
}

#[test]
fn a_folder_with_a_run_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    write(&path, None);
    let before = files(&path);
    let refused = RunWriter::create(&path, &description()).map(|_| ());
    assert!(matches!(refused, Err(RunFolderError::Taken(_))), "{refused:?}");
    assert_eq!(files(&path), before);
}

#[test]
fn a_folder_without_a_run_is_refused_with_a_cure() {
    let folder = tempfile::tempdir().unwrap();
    let error = RunFolder::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("is no run folder") && error.contains("`eastfall run`"), "{error}");
}
