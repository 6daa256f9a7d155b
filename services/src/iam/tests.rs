//! IAM in virtual time: what is written where, and who can still decide without the store.

use eastfall_proto::error::reason;
use eastfall_proto::iam::*;
use eastfall_topology::Span;
use tonic::{Code, Status};

use super::policy::{allow, deny, trust};
use super::seed::first_password;
use crate::testing::identity::Region;

impl Region {
    fn create_user(&self, at: &str, user: &str) -> Result<(), Status> {
        let request = CreateUserRequest { user_name: user.to_owned(), password: first_password(user) };
        self.ask(at, &iam_api::CREATE_USER, request).map(drop)
    }

    fn may(&self, at: &str, user: &str, action: &str) -> Result<bool, Status> {
        let (action, resource) = (action.to_owned(), "cluster/1".to_owned());
        let request = AuthorizeRequest { principal: format!("user/{user}"), action, resource };
        self.ask(at, &iam_api::AUTHORIZE, request).map(|answer| answer.allowed)
    }

    fn groups(&self, at: &str, user: &str) -> Result<Vec<String>, Status> {
        let request = ListGroupsForUserRequest { user_name: user.to_owned() };
        self.ask(at, &iam_api::LIST_GROUPS_FOR_USER, request).map(|answer| answer.group_names)
    }

    fn put_policy(&self, user: &str, name: &str, document: PolicyDocument) {
        let (user_name, policy_name) = (user.to_owned(), name.to_owned());
        let request = PutUserPolicyRequest { user_name, policy_name, policy_document: Some(document) };
        self.ask("iam", &iam_api::PUT_USER_POLICY, request).expect("written");
    }
}

fn minutes(count: u64) -> Span {
    Span::from_mins(count)
}

#[test]
fn decisions_are_by_a_users_own_policies_and_its_groups() {
    let lab = Region::start("");
    lab.create_user("iam", "new").expect("a new user");
    let twice = lab.create_user("iam", "new").expect_err("the name is taken");
    assert_eq!(reason(&twice).as_deref(), Some("EntityAlreadyExists"), "{twice}");
    assert!(!lab.may("iam", "new", "redshift:Query").expect("a decision"), "nothing allows it");
    let request = AddUserToGroupRequest { user_name: "new".to_owned(), group_name: "analysts".to_owned() };
    lab.ask("iam", &iam_api::ADD_USER_TO_GROUP, request).expect("a member");
    assert_eq!(lab.groups("iam", "new").expect("a list"), ["analysts"]);
    assert!(lab.may("iam", "new", "redshift:Query").expect("a decision"), "analysts may");
    lab.put_policy("new", "never", deny(&["redshift:*"], &["cluster/?"]));
    assert!(!lab.may("iam", "new", "redshift:Query").expect("a decision"), "a deny wins");
    lab.put_policy("new", "more", allow(&["*"], &["*"]));
    assert!(!lab.may("iam", "new", "redshift:Query").expect("a decision"), "whatever else allows it");
    let nobody = lab.may("iam", "nobody", "redshift:Query").expect_err("no such user");
    assert_eq!(reason(&nobody).as_deref(), Some("NoSuchEntity"), "{nobody}");
}

#[test]
fn a_change_arrives_in_the_other_regions_and_can_be_asked_for_there() {
    let lab = Region::start("");
    lab.create_user("iam-elsewhere", "abroad").expect("passed on");
    assert_eq!(lab.groups("iam", "abroad").expect("written here"), [""; 0]);
    lab.run_for(Span::from_secs(15));
    assert_eq!(lab.groups("iam-elsewhere", "abroad").expect("copied"), [""; 0]);
    assert!(lab.gauge("lag-seconds") <= 10.0, "a poll behind at most");
    assert_eq!(lab.groups("iam-elsewhere", "user-10").expect("a list"), ["analysts", "interns"]);
}

#[test]
fn without_the_name_copies_decide_for_a_while_and_other_regions_for_ever() {
    let lab = Region::start("");
    assert!(lab.may("iam", "user-2", "redshift:Query").expect("a decision"));
    lab.empty_the_name();
    lab.run_for(minutes(1));
    assert!(lab.may("iam", "user-2", "redshift:Query").expect("a copy decides"));
    let managing = lab.groups("iam", "user-2").expect_err("who manages needs the store");
    assert_eq!(reason(&managing).as_deref(), Some("ServiceFailure"), "{managing}");
    lab.run_for(minutes(3));
    let status = lab.may("iam", "user-2", "redshift:Query").expect_err("the copy is too old");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    lab.run_for(minutes(30));
    assert!(lab.may("iam-elsewhere", "user-2", "redshift:Query").expect("a decision"), "from its own copy");
    assert_eq!(lab.groups("iam-elsewhere", "user-2").expect("a list"), ["analysts"]);
    let write = lab.create_user("iam-elsewhere", "late").expect_err("nobody can write anywhere");
    assert_eq!(write.code(), Code::Unavailable, "{write}");
    assert!(lab.gauge("lag-seconds") > 1_500.0, "the copies are old: {}", lab.gauge("lag-seconds"));
}

#[test]
fn static_addresses_bring_it_back_within_its_longest_pause_while_the_name_is_empty() {
    let lab = Region::start("");
    lab.empty_the_name();
    lab.run_for(minutes(10));
    lab.groups("iam", "user-2").expect_err("out of reach");
    lab.give_static_addresses();
    lab.groups("iam", "user-2").expect_err("it is not asked again at once");
    lab.run_for(Span::from_secs(20));
    lab.groups("iam", "user-2").expect("reached by address");
    lab.create_user("iam-elsewhere", "late").expect("and written to");
}

#[test]
fn a_restarted_replica_answers_from_its_disk() {
    let lab = Region::start("");
    lab.empty_the_name();
    lab.simulation.kill_instance("iam-elsewhere-west");
    lab.simulation.kill_instance("iam-elsewhere-east");
    lab.simulation.start_instance("iam-elsewhere-west");
    lab.run_for(Span::from_secs(1));
    let client = lab.simulation.world("people").expect("it runs").dial_instance("iam-elsewhere", 0);
    let client = client.expect("an edge");
    let request = GetRoleRequest { role_name: "role-1".to_owned() };
    let role = lab.run(async move { client.call(&iam_api::GET_ROLE, request).await }).expect("on its disk");
    assert!(role.assume_role_policy_document.is_some(), "whole");
}

#[test]
fn names_and_policies_that_make_no_sense_are_refused() {
    let lab = Region::start("");
    for name in ["", "a/b", "a b"] {
        let status = lab.create_user("iam", name).expect_err("no name");
        assert_eq!(reason(&status).as_deref(), Some("ValidationError"), "{name:?}: {status}");
    }
    let role_name = "r".to_owned();
    let request = CreateRoleRequest { role_name: role_name.clone(), assume_role_policy_document: None };
    lab.ask("iam", &iam_api::CREATE_ROLE, request).expect_err("a role that trusts nobody");
    let assume_role_policy_document = Some(trust(&["sts:AssumeRole"], &["user/a"]));
    let request = CreateRoleRequest { role_name, assume_role_policy_document };
    lab.ask("iam", &iam_api::CREATE_ROLE, request).expect("a role");
}
