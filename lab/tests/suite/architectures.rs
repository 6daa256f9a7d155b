//! The event as a customer's application meets it: the same incident, and a design that is spared.

use eastfall_topology::time::{Moment, Span};

use crate::support::{Ran, run_file, shipped};

/// The part of the users' requests that were lost from 00:30 to 02:00, when the store at home has no name.
fn lost_at_night(ran: &Ran) -> f64 {
    let (from, to) = (Moment::START + Span::from_mins(62), Moment::START + Span::from_mins(152));
    ran.sum("app-users.lost", from, to) / ran.sum("app-users.requests", from, to)
}

fn night(options: &str) -> Ran {
    run_file(&shipped("scenarios/architectures/2025-10-20.toml"), &format!("--until 02:05 {options}"))
}

#[test]
fn the_event_takes_an_application_in_one_region_and_spares_one_that_can_move() {
    let one = night("");
    assert!(lost_at_night(&one) > 0.95, "{}: lost {}", one.command(), lost_at_night(&one));
    let two = night("--set service.app.instances=[\"us-east-1\",\"us-west-2\"]");
    assert!(lost_at_night(&two) < 0.01, "{}: lost {}", two.command(), lost_at_night(&two));
}

/// What operators do, and when, is written twice: for the region and for a sixteenth of it.
#[test]
fn the_architectures_meet_the_steps_of_the_shipped_scenario() {
    let steps = |path: &str| {
        let text = std::fs::read_to_string(shipped(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let of_step =
            |line: &&str| ["id = ", "at = ", "fault = ", "until = "].iter().any(|key| line.starts_with(key));
        let (_, steps) = text.split_once("[[step]]").unwrap_or_else(|| panic!("{path} has no step"));
        steps.lines().filter(of_step).map(str::to_owned).collect::<Vec<String>>()
    };
    let shipped = steps("scenarios/2025-10-20.toml");
    let own = steps("scenarios/architectures/2025-10-20.toml");
    assert!(own.len() > 20, "there are steps: {}", own.len());
    for line in own {
        assert!(shipped.contains(&line), "the shipped scenario has no `{line}`");
    }
}
