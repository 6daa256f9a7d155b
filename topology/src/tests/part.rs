//! `only`: which services it leaves, and what it does not let pass unsaid.

use super::{changed, sample, setting_breaks, try_load};
use crate::Setting;

fn services(settings: &[&str]) -> Vec<String> {
    sample(settings).services.keys().cloned().collect()
}

#[test]
fn only_leaves_the_named_whom_they_call_and_the_name_servers() {
    assert_eq!(services(&["only=[\"store\"]"]), ["dns", "store"]);
    assert_eq!(services(&["only=[\"web\"]"]), ["dns", "web", "store"], "callees too, in the file's order");
    assert_eq!(services(&["only=[\"users\"]"]), services(&[]), "and the callees of callees");
}

#[test]
fn a_file_can_say_it_itself() {
    let text = changed("[region]", "only = [\"store\"]\n[region]");
    let topology = try_load(&text, &[]).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(topology.services.len(), 2);
}

#[test]
fn what_stays_is_as_in_the_whole() {
    let (part, whole) = (sample(&["only=[\"web\"]"]), sample(&[]));
    assert!(part.services.iter().all(|(name, service)| *service == whole.services[name]));
}

#[test]
fn a_name_that_no_service_has_is_an_error() {
    setting_breaks("only=[\"stroe\"]", "only: unknown service `stroe`; did you mean `store`?");
    setting_breaks("only=store", "only: `store` is not a list");
    setting_breaks("only=[]", "only: it names no service");
    setting_breaks("only=[5]", "only: `5` is no name");
}

#[test]
fn a_setting_of_what_is_left_out_is_an_error() {
    let problems = try_load(super::SAMPLE, &["only=[\"store\"]", "service.web.workers=4"]).expect_err("lost");
    assert_eq!(problems.len(), 1, "{problems:#?}");
    let told = problems[0].to_string();
    assert!(
        told.starts_with("--set service.web.workers=4: service.web.workers: `only` leaves web out"),
        "{told}"
    );
}

#[test]
fn it_is_settled_when_a_run_begins() {
    for text in ["only=[\"store\"]", "only.0=store"] {
        let setting: Setting = text.parse().expect("a setting");
        let part = sample(&["only=[\"web\"]"]);
        let problems = part.with(&setting).expect_err("a running region keeps its services");
        assert!(problems.to_string().contains("settled when a run begins"), "{text}: {problems}");
    }
}
