//! The same seed gives the same bytes: alone or beside others, as a process or within one, typed or through the codec.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{incident, run_into, scratch};

/// Long enough for the trigger, the race, and customers that fail.
const BRIEF: &str = "--until 23:55 --load 0.2";

/// A run's files. Of its summary, wall time and memory are the machine's and not the run's.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}", next.display())) {
            let path = entry.unwrap_or_else(|error| panic!("{}: {error}", next.display())).path();
            // The report repeats the others, wall time and memory included.
            if path.ends_with("report.html") {
                continue;
            }
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let mut bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            if path.ends_with("summary.json") {
                bytes = repeatable(&bytes).to_string().into_bytes();
            }
            files.insert(path.strip_prefix(folder).unwrap_or(&path).to_owned(), bytes);
        }
    }
    files
}

/// A summary without what the machine decides.
fn repeatable(summary: &[u8]) -> Value {
    let mut summary: Value = serde_json::from_slice(summary).unwrap_or_else(|error| panic!("{error}"));
    for key in ["wall_s", "peak_rss_bytes"] {
        let there = summary.as_object_mut().and_then(|summary| summary.remove(key));
        assert!(there.is_some(), "the summary has {key}");
    }
    summary
}

/// The names of files that differ or are on one side only.
fn different(one: &Files, other: &Files) -> Vec<PathBuf> {
    let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
    names.filter(|name| one.get(*name) != other.get(*name)).cloned().collect()
}

fn run_within(options: &str) -> Files {
    let folder = scratch();
    run_into(folder.path(), &incident(), options);
    files(folder.path())
}

#[test]
fn the_same_command_twice_prints_and_writes_the_same_bytes() {
    let once = || {
        // The command line is part of the folder, so that it must be the same too.
        let place = scratch();
        let output = Command::new(env!("CARGO_BIN_EXE_eastfall"))
            .arg("run")
            .arg(incident())
            .args(BRIEF.split(' '))
            .args(["--seed", "7", "--json", "--out", "here"])
            .current_dir(place.path())
            .output()
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        (repeatable(&output.stdout), files(&place.path().join("here")))
    };
    let ((printed, written), (printed_again, written_again)) = (once(), once());
    assert_eq!(printed, printed_again, "what is printed");
    assert_eq!(different(&written, &written_again), Vec::<PathBuf>::new(), "files that differ");
    for name in ["run.toml", "events.jsonl", "series.csv", "summary.json"] {
        assert!(written.get(Path::new(name)).is_some_and(|bytes| !bytes.is_empty()), "there is a {name}");
    }
    assert!(written.keys().any(|name| name.starts_with("histograms")), "and histograms");
    assert_eq!(written[Path::new("summary.json")], printed.to_string().into_bytes(), "printed as written");
}

#[test]
fn eight_runs_at_once_write_what_one_alone_writes() {
    let alone = run_within(BRIEF);
    let together: Vec<Files> = std::thread::scope(|scope| {
        // All begin before the first is waited for.
        let begun: Vec<_> = (0..8).map(|_| scope.spawn(|| run_within(BRIEF))).collect();
        begun.into_iter().map(|run| run.join().unwrap_or_else(|_| panic!("a run failed"))).collect()
    });
    for (number, run) in together.iter().enumerate() {
        assert_eq!(different(&alone, run), Vec::<PathBuf>::new(), "files of run {number} that differ");
    }
    assert_eq!(different(&alone, &run_within(BRIEF)), Vec::<PathBuf>::new(), "a second run of this thread");
}

#[test]
fn another_seed_gives_another_run() {
    let (one, two) = (run_within(&format!("{BRIEF} --seed 1")), run_within(&format!("{BRIEF} --seed 2")));
    let different = different(&one, &two);
    for name in ["events.jsonl", "series.csv", "summary.json"] {
        assert!(different.contains(&PathBuf::from(name)), "{name} is among {different:?}");
    }
}

/// Nothing may come near: every figure is the same. A call through the codec wakes its task as often as a typed one, so
/// even ties between tasks of one moment fall the same way. Should a change of the wire break those ties, milestones and
/// customers' figures are what has to stay.
#[test]
fn the_wire_format_in_the_path_changes_nothing() {
    let night = "--until 02:45 --load 0.05";
    let (typed, coded) = (run_within(night), run_within(&format!("{night} --codec")));
    assert_eq!(different(&typed, &coded), Vec::<PathBuf>::new(), "files that differ");
}
