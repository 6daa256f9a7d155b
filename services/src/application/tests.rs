//! An application in virtual time: what machines, failover and cells are good for.

use eastfall_proto::service::{PerformRequest, service_api};
use eastfall_topology::{Setting, Span};
use proptest::prelude::*;
use tonic::Code;

use super::customers::pair;
use crate::testing::Lab;

/// Two places; the home region's store and machines are real, those of the other are elsewhere.
const REGION: &str = r#"
[region]
name = "test"
[service.db]
kind = "dynamodb"
calls.store = {}
[service.store]
kind = "dynamodb-storage"
tables = ["customer-data(id)"]
[service.replica]
kind = "dynamodb-replica"
instances = ["west"]
tables = ["customer-data(id)"]
[service.dwfm]
kind = "dwfm"
workers = 1
service-time = "100ms"
start-delay = "0s"
calls.db = { timeout = "5s" }
calls.droplets = { timeout = "5s" }
[service.droplets]
kind = "droplets"
count = 50
calls.dwfm = { timeout = "30s" }
[service.ec2]
kind = "ec2-api"
calls.db = { timeout = "5s" }
calls.dwfm = { timeout = "5s" }
[service.app]
kind = "application"
instances = ["east", "west"]
home = "east"
per-machine = 1.0
target = 0.5
every = "5s"
measured-over = "30s"
smaller-after = "1m"
boot-time = "5s"
calls.db = { timeout = "2s" }
calls.ec2 = { timeout = "10s" }
calls.replica = { timeout = "2s" }
[service.users]
kind = "application-customers"
rate = 4.0
users = 40
start-delay = "20s"
counted-after = "2m"
check-every = "5s"
time-to-live = "10s"
calls.app = { timeout = "5s" }
"#;

fn started(settings: &[(&str, &str)]) -> Lab {
    let mut text = REGION.to_owned();
    for (from, to) in settings {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let lab = Lab::start(&text, 1);
    lab.run_for(Span::from_mins(5));
    lab
}

impl Lab {
    fn lost_in(&self, span: Span) -> f64 {
        self.forget();
        self.run_for(span);
        self.last_and_sum("lost").map_or(0.0, |(_, sum)| sum)
            / self.last_and_sum("requests").expect("a series").1.max(1.0)
    }
}

#[test]
fn machines_follow_the_load_and_nothing_is_lost() {
    let lab = started(&[]);
    let needed = lab.last_and_sum("machines-needed").expect("a series");
    assert!(needed.0 > 0.0, "machines are asked for");
    assert!(lab.lost_in(Span::from_mins(2)) < 0.01, "the machines carry the load");
}

#[test]
fn one_place_is_lost_with_its_store_and_a_second_takes_over() {
    let lab = started(&[("rate = 4.0", "rate = 4.0\nsplit = \"first\"")]);
    lab.simulation.kill_instance("db");
    lab.run_for(Span::from_mins(2));
    assert!(lab.lost_in(Span::from_mins(2)) < 0.05, "the other place has them");
    let alone = started(&[(r#"instances = ["east", "west"]"#, r#"instances = ["east"]"#)]);
    alone.simulation.kill_instance("db");
    alone.run_for(Span::from_mins(1));
    assert!(alone.lost_in(Span::from_mins(1)) > 0.95, "there is no other");
}

#[test]
fn cells_confine_the_loss_to_their_own_users() {
    let lab = started(&[("rate = 4.0", "rate = 4.0\nsplit = \"cell\"")]);
    lab.simulation.kill_instance("db");
    let lost = lab.lost_in(Span::from_mins(5));
    assert!((0.35..0.65).contains(&lost), "half of the users have the place that fails: {lost}");
    let hit = lab.last_and_sum("users-hit").expect("a series").0;
    assert_eq!(hit, 20.0, "these and no others");
}

#[test]
fn a_user_with_two_cells_is_hit_only_if_both_fail() {
    let lab = started(&[("rate = 4.0", "rate = 4.0\nsplit = \"shuffled-cells\"")]);
    lab.simulation.kill_instance("db");
    lab.run_for(Span::from_mins(3));
    assert!(lab.lost_in(Span::from_mins(2)) < 0.05, "everybody has a sound one");
}

#[test]
fn without_launches_only_spare_machines_carry_a_growing_load() {
    let grown = |headroom: &str| {
        let lab = started(&[
            (r#"instances = ["east", "west"]"#, r#"instances = ["east"]"#),
            ("target = 0.5", &format!("target = 0.9\nheadroom = {headroom}")),
        ]);
        lab.simulation.kill_instance("ec2");
        let setting = Setting { path: "service.users.rate".to_owned(), value: "12.0".to_owned() };
        lab.simulation.region().set(&setting).unwrap_or_else(|problems| panic!("{problems}"));
        lab.run_for(Span::from_mins(1));
        lab.lost_in(Span::from_mins(4))
    };
    assert!(grown("1.0") > 0.4, "what is needed for a third carries a third");
    assert!(grown("4.0") < 0.02, "four times as much carries three times the load");
}

#[test]
fn a_place_without_machines_turns_everybody_away() {
    let lab = Lab::start(REGION, 1);
    let client = lab.client("users", "app");
    let request = PerformRequest { operation: "use".to_owned(), body: Vec::new() };
    let outcome = lab.run(async move { client.call(&service_api::PERFORM, request).await });
    assert_eq!(outcome.expect_err("nothing has booted yet").code(), Code::ResourceExhausted);
}

proptest! {
    #[test]
    fn a_user_has_two_different_cells(user in 0_usize..10_000, places in 2_usize..20) {
        let (first, second) = pair(user, places);
        prop_assert!(first != second && first < places && second < places);
    }
}
