//! Exports are read back and compared with the run.

use super::*;
use crate::run_folder::testing::write;
use eastfall_fabric::record::Measure;

fn exported(format: Format) -> (tempfile::TempDir, RunFolder, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    write(&path, None);
    let run = RunFolder::open(&path).unwrap();
    let files = export(&run, format, &folder.path().join("out")).unwrap();
    let names = files.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    (folder, run, names)
}

fn text(folder: &tempfile::TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join("out").join(name)).unwrap()
}

#[test]
fn logs_are_exported_as_they_are() {
    let (folder, run, names) = exported(Format::Hlog);
    assert_eq!(names, ["customers-web_dynamodb.hlog"]);
    let (_, log) = run.logs().unwrap().remove(0);
    assert_eq!(text(&folder, &names[0]), fs::read_to_string(log).unwrap());
}

#[test]
fn percentile_tables_ascend_to_the_whole() {
    let (folder, run, names) = exported(Format::Hgrm);
    assert_eq!(names.len(), 12, "six measures of an edge and of the system it counts for: {names:?}");
    let table = text(&folder, "system.dynamodb.intended-ok.hgrm");
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("       Value     Percentile TotalCount 1/(1-Percentile)"));
    assert_eq!(lines.next(), Some(""));
    let rows: Vec<Vec<f64>> = lines
        .take_while(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().map(|cell| cell.parse().unwrap()).collect())
        .collect();
    let ascends = |column: usize| rows.windows(2).all(|pair| pair[0][column] <= pair[1][column]);
    assert!((0..3).all(ascends), "{table}");
    let latencies = &run.systems().unwrap()["dynamodb"];
    let latencies = latencies.get(Measure::IntendedOk).unwrap();
    assert_eq!(rows.last().unwrap(), &[latencies.longest().as_millis_f64(), 1.0, latencies.count() as f64]);
    assert!(rows[..rows.len() - 1].iter().all(|row| row.len() == 4), "all others have 1/(1-Percentile)");
    for row in &rows {
        let micros = (row[0] * 1000.0).round() as u64;
        let up_to_here = latencies.histogram().count_between(0, micros);
        assert_eq!(row[2], up_to_here as f64, "TotalCount counts what is not longer: {row:?}");
        // Twelve digits of a share may point at this value or, by rounding, at the next.
        let [low, high] =
            [row[1] - 1e-9, row[1] + 1e-9].map(|share| latencies.quantile(share).as_millis_f64());
        assert!((low..=high).contains(&row[0]), "{row:?}: the histogram says {low} to {high}");
    }
}

#[test]
fn csv_and_json_say_the_same() {
    let (csv_folder, _, names) = exported(Format::Csv);
    assert_eq!(names, ["series.csv", "percentiles.csv"]);
    let (json_folder, run, names) = exported(Format::Json);
    assert_eq!(names, ["series.json", "percentiles.json", "summary.json"]);

    let percentiles: serde_json::Value =
        serde_json::from_str(&text(&json_folder, "percentiles.json")).unwrap();
    let row = &percentiles["systems"]["dynamodb"]["intended-ok"];
    let line = text(&csv_folder, "percentiles.csv");
    let line = line.lines().find(|line| line.starts_with("system,dynamodb,intended-ok,")).unwrap();
    assert_eq!(line.split(',').nth(3).unwrap(), row["count"].to_string());
    assert_eq!(line.split(',').nth(7).unwrap().parse().ok(), row["p99_ms"].as_f64());

    let series: serde_json::Value = serde_json::from_str(&text(&json_folder, "series.json")).unwrap();
    assert_eq!(series["run_s"][71], 720.0);
    assert_eq!(series["customers-web.hosts"][29], serde_json::Value::Null, "unknown until it was reported");
    assert_eq!(series["system.dynamodb.failed"][24], 20.0);
    assert_eq!(run.summary().unwrap().map(|summary| summary.rpcs), Some(1440));
}
