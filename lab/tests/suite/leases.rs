//! The night of the droplet leases: they expire, DWFM collapses, and what operators did at 04:14 mends it. A tenth or less
//! of the region stands for all of it: `--load` scales droplets and workers alike, so the lease law's R is the same.

use std::sync::LazyLock;

use eastfall_topology::time::{Moment, Span};

use crate::support::{Ran, run, run_file, shipped};

static NIGHT: LazyLock<Ran> = LazyLock::new(|| run("--load 0.1 --until 06:30 --seed 1"));

/// The run begins at 23:28.
fn clock(hour: u64, minute: u64) -> Moment {
    Moment::START + Span::from_mins((hour * 60 + minute + 32) % (24 * 60))
}

/// Minutes from the restart at 04:14 until all droplets had a lease again.
fn healing_minutes(ran: &Ran) -> f64 {
    let samples = ran.samples("droplets.leased").zip(ran.samples("droplets.count"));
    let healed = samples
        .filter(|((at, leased), (_, count))| *at > clock(4, 14) && leased >= count)
        .map(|((at, _), _)| at)
        .next();
    let healed = healed.unwrap_or_else(|| panic!("{}: it did not heal", ran.command()));
    healed.since(clock(4, 14)).as_secs_f64() / 60.0
}

#[test]
fn the_shipped_night_of_leases_shows_what_its_expectations_demand() {
    assert_eq!(NIGHT.failed_checks, Vec::<String>::new(), "{}", NIGHT.command());
    NIGHT.came_between("ec2.lease-checks-fail", "2025-10-19T23:47", "2025-10-19T23:55");
    NIGHT.came_between("ec2.congestive-collapse", "2025-10-20T02:25", "2025-10-20T02:40");
    NIGHT.came_between("ec2.leases-recovered", "2025-10-20T05:13", "2025-10-20T05:43");
}

#[test]
fn launches_fail_with_the_code_of_their_phase() {
    let launches = |what: &str, from, to| NIGHT.sum(&format!("ec2-api.launches-{what}"), from, to);
    let phases = [
        ("before", "ok", clock(23, 31), clock(23, 47)),
        ("without the store", "internal-error", clock(0, 0), clock(2, 25)),
        ("without leases", "insufficient-capacity", clock(2, 50), clock(4, 14)),
        ("under the throttle", "limit-exceeded", clock(4, 20), clock(6, 30)),
    ];
    for (phase, expected, from, to) in phases {
        let all: f64 = ["ok", "internal-error", "insufficient-capacity", "limit-exceeded"]
            .iter()
            .map(|what| launches(what, from, to))
            .sum();
        let share = launches(expected, from, to) / all;
        assert!(share > 0.75, "{phase}: {share:.2} of {all} launches ended as {expected}");
    }
    assert!(launches("ok", clock(5, 31), clock(6, 30)) > 0.0, "launches begin to succeed");
}

#[test]
fn a_lost_lease_touches_nothing_that_runs() {
    let running = |at| NIGHT.at("droplets.instances", at);
    assert!(running(clock(23, 58)) > 0.0, "instances were launched");
    assert_eq!(running(clock(2, 20)), running(clock(0, 10)), "none is lost with its droplet's lease");
}

#[test]
fn nothing_heals_without_the_restart_and_the_throttle() {
    for seed in 1..=3 {
        let ran = run(&format!("--load 0.02 --until 12:00 --seed {seed} --without ec2.throttle-and-restart"));
        assert_eq!(ran.milestone("ec2.leases-recovered"), None, "{}", ran.command());
        let held = ran.at("droplets.leased", clock(11, 59));
        assert!(held < 10.0, "{}: {held} of 200 droplets have a lease at noon", ran.command());
    }
}

#[test]
fn an_hour_earlier_heals_an_hour_earlier() {
    let ran = run("--load 0.05 --until 06:30 --seed 1 --shift ec2.throttle-and-restart=-1h");
    ran.came_between("ec2.leases-recovered", "2025-10-20T04:13", "2025-10-20T04:43");
}

#[test]
fn a_restart_without_the_throttle_collapses_again() {
    let ran = run("--load 0.05 --until 07:00 --seed 1 --without ec2.throttle-and-restart.throttle");
    assert_eq!(ran.milestone("ec2.leases-recovered"), None, "{}", ran.command());
    let won = ran.sum("dwfm.leases-established", clock(4, 14), clock(4, 30));
    assert!(won > 20.0, "the restart wins one window of leases: {won}");
    let later = ran.sum("dwfm.leases-established", clock(5, 0), clock(7, 0));
    assert!(later < 5.0, "and then no more: {later}");
}

#[test]
fn a_throttle_without_the_restart_has_not_healed_by_noon() {
    let ran = run("--load 0.02 --until 12:00 --seed 1 --without ec2.throttle-and-restart.restart \
                   --without ec2.throttles-relaxing");
    assert_eq!(ran.milestone("ec2.leases-recovered"), None, "{}", ran.command());
}

#[test]
fn twice_the_droplets_take_twice_as_long() {
    let twice = run("--load 0.05 --until 08:00 --seed 1 --set service.droplets.count=20000");
    let ratio = healing_minutes(&twice) / healing_minutes(&NIGHT);
    assert!((1.8..2.2).contains(&ratio), "{ratio:.2} times as long");
}

/// `scenarios/leases.toml`: a part of the region, for many runs.
#[test]
fn the_lease_path_alone_collapses_and_heals_as_it_does_in_the_region() {
    let alone = |options| run_file(&shipped("scenarios/leases.toml"), options);
    let healed = alone("--load 0.1 --until 06:00 --seed 1");
    assert_eq!(healed.failed_checks, Vec::<String>::new(), "{}", healed.command());
    for id in ["ec2.lease-checks-fail", "ec2.congestive-collapse", "ec2.leases-recovered"] {
        let (here, region) = (healed.milestone(id), NIGHT.milestone(id));
        let minute = |at: Option<&str>| {
            let at = at.unwrap_or_else(|| panic!("{id} did not come"));
            at[11..13].parse::<i64>().unwrap_or(0) * 60 + at[14..16].parse::<i64>().unwrap_or(0)
        };
        let apart = (minute(here) - minute(region)).abs();
        assert!(apart <= 5, "{id}: {here:?} alone, {region:?} in the region");
    }
    let left = alone("--load 0.1 --until 06:00 --seed 1 --without-operators");
    assert_eq!(left.milestone("ec2.leases-recovered"), None, "and not by itself");
    assert!(left.series.names().all(|name| !name.starts_with("nlb.")), "nothing else of the region runs");
}
