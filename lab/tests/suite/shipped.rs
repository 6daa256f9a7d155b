//! The files that come with the lab, and every example of the documentation, are read as a user's would be.

use eastfall::session::load_topology;
use eastfall_chaos::calibration::Calibration;
use eastfall_chaos::expect::{Condition, Expectations, When};
use eastfall_chaos::reference::{FactKind, Reference};
use eastfall_chaos::scenario::{Edits, Scenario, ShiftOf, StepKind};
use eastfall_fabric::fault::Injection;
use eastfall_topology::{Source, Topology};

use crate::support::shipped;

const CALIBRATION: Source<'_> = Source {
    file: "2025-10-20.calibration.toml",
    text: include_str!("../../../scenarios/2025-10-20.calibration.toml"),
};
const SCENARIO: Source<'_> =
    Source { file: "2025-10-20.toml", text: include_str!("../../../scenarios/2025-10-20.toml") };
const EXPECTATIONS: Source<'_> = Source {
    file: "2025-10-20.expect.toml",
    text: include_str!("../../../scenarios/2025-10-20.expect.toml"),
};
const REFERENCE: Source<'_> = Source {
    file: "reference/2025-10-20.toml",
    text: include_str!("../../../scenarios/reference/2025-10-20.toml"),
};
const GUIDE: &str = include_str!("../../../docs/scenarios.md");

fn region() -> Topology {
    load_topology(&shipped("topology.toml"), &[], 1.0).unwrap_or_else(|error| panic!("{error}"))
}

/// A scenario of these steps.
fn scenario_text(steps: &str) -> String {
    format!(
        "id = \"test\"\ntitle = \"A test\"\ntopology = \"topology.toml\"\nstarts = \"2025-01-02T00:00:00+00:00\"\n\
         lead = \"10m\"\nends = \"+2h\"\n{steps}"
    )
}

fn scenario() -> Scenario {
    Scenario::load(SCENARIO, &region()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn reference() -> Reference {
    Reference::read(REFERENCE).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_shipped_scenario_holds_inputs_of_the_record_at_their_times_and_no_outcome() {
    let (scenario, reference) = (scenario(), reference());
    assert_eq!(scenario.timeline.starts(), reference.starts, "the incident's start");
    for step in &scenario.steps {
        // Several steps may do what the record has as one action: `ec2.throttle-and-restart.throttle`.
        let fact = reference.facts.iter().find(|fact| step.is(&fact.id));
        let fact = fact.unwrap_or_else(|| panic!("the record has no `{}`", step.id));
        let kind = match step.kind {
            StepKind::Trigger => FactKind::Trigger,
            StepKind::Action => FactKind::Action,
        };
        assert_eq!(fact.kind, kind, "{}", step.id);
        // What took hours has its beginning on record: the first of several steps.
        let first = scenario.steps.iter().filter(|other| other.is(&fact.id)).map(|other| other.at).min();
        let first = first.expect("the step itself");
        assert_eq!(scenario.timeline.date(first), fact.at, "{}", fact.id);
    }
}

#[test]
fn the_shipped_expectations_take_every_published_time_from_the_record() {
    let (scenario, reference) = (scenario(), reference());
    let expectations = Expectations::read(EXPECTATIONS, &scenario, Some(&reference));
    let expectations = expectations.unwrap_or_else(|problems| panic!("{problems}"));
    for milestone in &expectations.milestones {
        let fact =
            reference.fact(&milestone.id).unwrap_or_else(|| panic!("the record has no `{}`", milestone.id));
        assert_eq!(fact.kind, FactKind::Outcome, "{}", milestone.id);
        assert_eq!(milestone.published, Some(fact.at), "{}", milestone.id);
    }
    assert_eq!(expectations.windows, reference.windows, "the published windows");
    assert_eq!(scenario.expectations.as_deref(), Some(EXPECTATIONS.file), "the scenario names the file");
    assert_eq!(
        Expectations::reference(EXPECTATIONS).as_deref(),
        Some(REFERENCE.file),
        "and that one the record"
    );
}

#[test]
fn fewer_parameters_are_tuned_than_outcomes_are_published() {
    let reference = reference();
    let calibration = Calibration::read(CALIBRATION, Some(&reference));
    let calibration = calibration.unwrap_or_else(|problems| panic!("{problems}"));
    let (tuned, outcomes) = (calibration.tuned(), reference.outcomes());
    assert!(0 < tuned && tuned < outcomes, "{tuned} tuned parameters, {outcomes} published outcomes");
    let tuned = calibration.parameters.iter().filter(|parameter| parameter.is_tuned());
    for parameter in tuned {
        assert!(parameter.why.is_some(), "{} is tuned, and nobody says how", parameter.path);
    }
}

#[test]
fn without_its_operators_the_shipped_scenario_keeps_its_trigger_only() {
    let edits = Edits { without_operators: true, ..Edits::default() };
    let scenario = scenario().edit(&edits).expect("it needs no ids");
    assert!(!scenario.steps.is_empty(), "the trigger");
    assert!(scenario.steps.iter().all(|step| step.kind == StepKind::Trigger), "nothing else");
}

/// The guide's code blocks in this language, which is the first word after the three backquotes.
fn examples(language: &str) -> Vec<&'static str> {
    let blocks: Vec<&str> = GUIDE.split("\n```").skip(1).step_by(2).collect();
    let examples: Vec<&str> = blocks
        .into_iter()
        .filter_map(|block| block.split_once('\n').filter(|(l, _)| *l == language))
        .map(|(_, text)| text)
        .collect();
    assert!(!examples.is_empty(), "the guide has no example in `{language}`");
    examples
}

fn lines(language: &str) -> impl Iterator<Item = &'static str> {
    examples(language).into_iter().flat_map(str::lines).filter(|line| !line.trim().is_empty())
}

#[test]
fn every_scenario_and_step_of_the_guide_is_read() {
    for text in examples("toml scenario") {
        let source = Source { file: "docs/scenarios.md", text };
        Scenario::load(source, &region()).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    }
    for text in examples("toml settings") {
        let text = scenario_text(text);
        let draft = Scenario::draft(Source { file: "docs/scenarios.md", text: &text });
        assert_eq!(draft.settings().count(), 2, "{text}");
        draft.unchecked().unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    }
    for text in examples("toml steps") {
        let text = scenario_text(text);
        let source = Source { file: "docs/scenarios.md", text: &text };
        Scenario::load(source, &region()).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    }
}

#[test]
fn every_fault_of_the_guide_is_read_and_its_names_exist() {
    for line in lines("fault") {
        let injection: Injection = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        injection.fault.check(&region()).unwrap_or_else(|errors| panic!("{line}: {errors:?}"));
        assert_eq!(injection.to_string(), line, "the guide writes it as the lab does");
    }
}

#[test]
fn every_predicate_shift_and_expectation_of_the_guide_is_read() {
    for line in lines("when") {
        line.parse::<When>().unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    for line in lines("condition") {
        line.parse::<Condition>().unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    for line in lines("shift") {
        line.parse::<ShiftOf>().unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    let scenario = scenario();
    for text in examples("toml expectations") {
        let source = Source { file: "docs/scenarios.md", text };
        Expectations::read(source, &scenario, None).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    }
}
