//! The lease law (PHYSICS): N leases to establish at once, mu establishments a second, attempts that last T.
//!
//! One host with one worker and exact service times of one second, so mu is 1 and R = N / T. T is half a second longer
//! than a whole number, so that no attempt ends at the moment its work does.

use super::*;

/// The attempt's time-out.
const T: f64 = 100.5;

/// A zone in which N droplets ask at one moment: their agents have just restarted. Leases last, and no check costs
/// anything.
fn all_ask(droplets: u32, settings: &[(&str, &str)]) -> Lab {
    let text = REGION
        .replace("count = 8", &format!("count = {droplets}"))
        .replace("timeout = \"30s\"", &format!("timeout = \"{T}s\""))
        .replace("lease = \"35s\"", "lease = \"30d\"")
        .replace("check-period = \"10s\"", "check-period = \"1d\"")
        .replace("ask-again = \"10s\"", "ask-again = \"1s\"");
    let lab = Lab::start(&text, 1);
    for (path, value) in settings {
        lab.set(path, value);
    }
    lab.simulation.kill_instance("droplets");
    lab.simulation.start_instance("droplets");
    lab
}

/// How long it took, in T, and what was counted meanwhile.
struct Healing {
    healed: Option<f64>,
    established: f64,
    void: f64,
}

impl Lab {
    /// Runs until all have a lease, but no longer than so many T.
    fn heal(&self, droplets: u32, at_most: f64) -> Healing {
        let mut healing = Healing { healed: None, established: 0.0, void: 0.0 };
        for second in 1..=(at_most * T) as u32 {
            self.forget();
            self.run_for(Span::from_secs(1));
            healing.established += self.counted("leases-established");
            healing.void += self.counted("leases-void");
            if self.gauge("leased") == f64::from(droplets) {
                healing.healed = Some(f64::from(second) / T);
                break;
            }
        }
        healing
    }
}

#[test]
fn below_one_all_are_done_after_the_time_their_work_takes() {
    let healed = all_ask(80, &[]).heal(80, 1.0).healed.expect("R = 0.8 heals");
    assert!((healed * T - 80.0).abs() <= 2.0, "80 leases took {:.0} s", healed * T);
}

#[test]
fn between_one_and_two_useful_work_doubles_each_window_and_it_heals() {
    // Exact service, T large against it: 2.00 T and 4.40 T.
    for (droplets, expected) in [(150, 2.00), (190, 4.40)] {
        let healed = all_ask(droplets, &[]).heal(droplets, 8.0).healed;
        let healed = healed.unwrap_or_else(|| panic!("{droplets} leases heal"));
        assert!((healed - expected).abs() < 0.1, "{droplets} leases: {healed:.2} T, not {expected} T");
    }
}

#[test]
fn above_two_exactly_one_window_of_leases_is_established_and_then_none_for_ever() {
    for droplets in [210, 300, 500] {
        let lab = all_ask(droplets, &[]);
        let first = lab.heal(droplets, 1.02);
        assert_eq!(first.established, 100.0, "{droplets}: mu T leases in the first window");
        let later = lab.heal(droplets, 15.0);
        assert_eq!((later.healed, later.established), (None, 0.0), "{droplets}: none after that");
        assert!(later.void > 1_400.0, "{droplets}: although the worker never rests: {}", later.void);
    }
}

/// Five times as many as a window can serve, collapsed for ten windows, then the host restarted.
fn restarted_after_collapse(settings: &[(&str, &str)]) -> Lab {
    let lab = all_ask(500, &[]);
    lab.run_for(Span::from_secs_f64(10.0 * T));
    for (path, value) in settings {
        lab.set(path, value);
    }
    lab.simulation.kill_instance("dwfm");
    lab.simulation.start_instance("dwfm");
    lab
}

#[test]
fn a_restart_wins_one_window_and_collapses_again() {
    let after = restarted_after_collapse(&[]).heal(500, 15.0);
    assert_eq!(after.healed, None);
    assert!((after.established - 100.0).abs() <= 1.0, "one window more: {}", after.established);
}

#[test]
fn a_restart_and_a_throttle_heal_at_the_rate_of_the_throttle() {
    // (N - done) / (a mu) = 400 / 0.95 = 4.19 T, to within one in a hundred of the 14.19 T in all.
    let after = restarted_after_collapse(&[("service.dwfm.admission", "0.95")]).heal(500, 6.0);
    let healed = after.healed.expect("restart and throttle heal");
    assert!((healed - 400.0 / 0.95 / T).abs() < 0.14, "{healed:.2} T");
}

#[test]
fn a_throttle_alone_must_first_drain_what_is_stale() {
    let lab = all_ask(500, &[]);
    lab.run_for(Span::from_secs_f64(10.0 * T));
    lab.set("service.dwfm.admission", "0.95");
    let after = lab.heal(500, 20.0);
    assert_eq!(
        (after.healed, after.established),
        (None, 0.0),
        "thousands of attempts drain at a twentieth of mu"
    );
}

#[test]
fn a_queue_that_is_served_within_an_attempt_heals_and_a_longer_one_does_not() {
    // The one in service counts too: 99 waiting are done after 100 s, 120 after 121.
    let healed = |limit| all_ask(500, &[("service.dwfm.queue.limit", limit)]).heal(500, 7.0);
    let short = healed("99").healed.expect("it heals");
    assert!((short - 500.0 / T).abs() < 0.1, "at N / mu, not {short:.2} T");
    let long = healed("120");
    assert_eq!((long.healed, long.established), (None, 100.0), "the first window, and no more");
}

#[test]
fn serving_the_newest_first_or_cancelling_what_was_abandoned_heals_whatever_r() {
    for setting in
        [("service.dwfm.queue.discipline", "\"lifo\""), ("service.dwfm.queue.cancel-abandoned", "true")]
    {
        let healed = all_ask(500, &[setting]).heal(500, 8.0).healed;
        let healed = healed.unwrap_or_else(|| panic!("{} heals", setting.0));
        assert!((healed - 500.0 / T).abs() < 0.5, "{}: at N / mu, not {healed:.2} T", setting.0);
    }
}

#[test]
fn dropping_expired_work_heals_if_the_deadline_is_told_and_does_nothing_if_not() {
    let drop_expired = ("service.dwfm.queue.discipline", "\"drop-expired\"");
    let told = ("service.droplets.calls.dwfm.propagate-deadline", "true");
    let healed = all_ask(500, &[drop_expired, told]).heal(500, 8.0).healed.expect("it heals");
    assert!((healed - 500.0 / T).abs() < 0.5, "at N / mu, not {healed:.2} T");
    for alone in [drop_expired, told] {
        let after = all_ask(500, &[alone]).heal(500, 8.0);
        assert_eq!((after.healed, after.established), (None, 100.0), "{} alone", alone.0);
    }
}
