//! A small run for tests: customers call a service that fails for two minutes, and its latencies are known.

use std::path::Path;

use eastfall_chaos::expect::{Evaluation, MilestoneResult};
use eastfall_fabric::clock::Clock;
use eastfall_fabric::record::{Ending, Layout, Origin, Recorder, Results, Role};
use eastfall_topology::time::{Moment, Span};

use super::{Description, File, Mode, RunWriter};
use crate::summary::{Facts, Summary};

/// Minutes the run lasts.
pub(crate) const MINUTES: u64 = 12;

/// The minutes in which every request fails.
const BAD: std::ops::Range<u64> = 4..6;

pub(crate) fn at(seconds: u64) -> Moment {
    Moment::START + Span::from_secs(seconds)
}

pub(crate) fn layout() -> Layout {
    let role = |system: &str, customers, calls: &[&str]| Role {
        system: system.into(),
        customers,
        calls: calls.iter().map(|&callee| callee.into()).collect(),
    };
    let services = [
        ("customers-web", role("customers-web", true, &["dynamodb"])),
        ("dynamodb", role("dynamodb", false, &[])),
    ];
    Layout {
        sample: Span::from_secs(10),
        histograms: Span::from_mins(1),
        window_share: 0.05,
        window_quiet: Span::from_mins(5),
        services: services.into_iter().map(|(name, role)| (name.into(), role)).collect(),
    }
}

pub(crate) fn description() -> Description {
    let file = |file: &str, text: &str| File { file: file.to_owned(), text: text.to_owned() };
    Description {
        version: "0.1.0".to_owned(),
        command: ["eastfall", "run", "--seed", "7"].map(str::to_owned).to_vec(),
        mode: Mode::Sim,
        speed: None,
        seed: u64::MAX,
        load: 1.0,
        settings: vec!["service.dwfm.calls.dynamodb.retry.attempts=1".to_owned()],
        without_operators: false,
        without: Vec::new(),
        shift: Vec::new(),
        until: None,
        starts: "2025-10-19T23:48:00-07:00".to_owned(),
        lead: Span::from_mins(3),
        systems: Description::systems_of(&layout()),
        scenario: file("scenarios/small.toml", "id = \"small\"\n"),
        expectations: None,
        reference: None,
        topology: file("topology.toml", "[region]\nname = '''us-east-1'''\n"),
    }
}

/// Lives through the run and writes it; with `until` as if it had been cut off after so many minutes.
pub(crate) fn write(path: &Path, until: Option<u64>) -> Results {
    let mut results = Results::new(layout());
    let mut writer = RunWriter::create(path, &description()).unwrap();
    let origin = Origin {
        system: "customers-web".into(),
        service: "customers-web".into(),
        instance: "customers-web".into(),
    };
    let recorder = Recorder::new(Clock::virtual_time(), origin, Span::from_mins(1));
    let edge = recorder.edge("customers-web", "dynamodb");
    for tick in 0..until.unwrap_or(MINUTES) * 6 {
        let bad = BAD.contains(&(tick / 6));
        for number in 0..20 {
            let intended = at(tick * 10);
            let started = intended + Span::from_micros(number * 37);
            let ended = started + Span::from_micros(900 + (tick * 20 + number) * (tick + number) % 50_000);
            let ending = if bad { Ending::TimedOut } else { Ending::Ok };
            edge.attempt(0, ending, started, ended);
            edge.request(ending, intended, started, ended);
        }
        if tick == 30 {
            recorder.event("retry.given-up", &[("reason", "a \"quoted\"\nreason".to_owned())]);
            recorder.gauge("hosts", 2.5);
        }
        let end = at(tick * 10 + 10);
        recorder.take(end).into_iter().for_each(|report| results.add(report));
        let tick = results.close(end);
        writer.tick(&results, tick).unwrap();
    }
    if until.is_none() {
        let tick = results.finish(at(MINUTES * 60));
        writer.tick(&results, tick).unwrap();
        let facts = Facts { scenario: "small".to_owned(), seed: 7, wall_s: 0.5, peak_rss_bytes: 1 << 20 };
        let timeline = description().timeline().unwrap();
        let milestone = MilestoneResult {
            id: "dynamodb.recovered".to_owned(),
            system: "dynamodb".to_owned(),
            at: Some(at(360)),
            published: None,
            error_min: None,
            skipped: false,
        };
        let evaluation = Evaluation { milestones: vec![milestone], ..Evaluation::default() };
        let summary = Summary::of(&results, &timeline, facts, &evaluation);
        writer.finish(&results, &summary).unwrap();
    }
    results
}
