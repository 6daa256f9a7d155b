//! STS in virtual time: whom it trusts, what its tokens are worth, and what it can do without its store.

use eastfall_proto::error::reason;
use eastfall_proto::sts::*;
use eastfall_topology::Span;
use tonic::Status;

use crate::testing::identity::Region;

impl Region {
    fn assume(&self, at: &str, principal: &str, role: &str, seconds: u32) -> Result<Credentials, Status> {
        let request = AssumeRoleRequest {
            principal: principal.to_owned(),
            role: role.to_owned(),
            role_session_name: "test".to_owned(),
            duration_seconds: seconds,
        };
        let answer = self.ask(at, &sts_api::ASSUME_ROLE, request)?;
        Ok(answer.credentials.expect("credentials"))
    }

    fn whose(&self, at: &str, token: &str) -> Result<String, Status> {
        let request = GetCallerIdentityRequest { session_token: token.to_owned(), principal: String::new() };
        self.ask(at, &sts_api::GET_CALLER_IDENTITY, request).map(|answer| answer.arn)
    }
}

fn name(outcome: Result<impl std::fmt::Debug, Status>) -> String {
    reason(&outcome.expect_err("it is refused")).expect("a name")
}

#[test]
fn a_role_is_for_whom_it_trusts() {
    let lab = Region::start("");
    for at in ["sts", "sts-elsewhere"] {
        lab.assume(at, "user/user-1", "role-1", 0).expect("roles trust users");
        lab.assume(at, "service/redshift", "redshift-node", 0).expect("and nodes their service");
        assert_eq!(name(lab.assume(at, "user/user-1", "redshift-node", 0)), "AccessDenied", "{at}");
        assert_eq!(name(lab.assume(at, "user/user-1", "no-role", 0)), "NoSuchEntity", "{at}");
        assert_eq!(name(lab.assume(at, "user/user-1", "role-1", 60)), "ValidationError", "{at}: too short");
    }
}

#[test]
fn a_token_is_good_at_every_instance_until_it_ends() {
    let lab = Region::start("");
    let made = lab.assume("sts", "user/user-1", "role-1", 900).expect("credentials");
    for _ in 0..8 {
        assert_eq!(lab.whose("sts", &made.session_token).expect("known"), "role/role-1/test");
    }
    let forged = made.session_token.replace("role-1", "role-2");
    assert_eq!(name(lab.whose("sts", &forged)), "InvalidClientTokenId");
    assert_eq!(name(lab.whose("sts-elsewhere", &made.session_token)), "InvalidClientTokenId", "another key");
    lab.run_for(Span::from_secs(900));
    assert_eq!(name(lab.whose("sts", &made.session_token)), "ExpiredToken");
}

#[test]
fn without_the_name_no_new_credentials_after_minutes_and_old_ones_go_on() {
    let lab = Region::start("");
    let made = lab.assume("sts", "user/user-1", "role-1", 43_200).expect("credentials");
    for _ in 0..8 {
        lab.assume("sts", "user/user-1", "role-1", 0).expect("both instances have a copy");
    }
    lab.empty_the_name();
    lab.run_for(Span::from_mins(2));
    lab.assume("sts", "user/user-1", "role-1", 0).expect("a copy decides");
    lab.run_for(Span::from_mins(2));
    assert_eq!(name(lab.assume("sts", "user/user-1", "role-1", 0)), "ServiceUnavailable");
    assert_eq!(lab.whose("sts", &made.session_token).expect("a seal needs nobody"), "role/role-1/test");
    lab.assume("sts-elsewhere", "user/user-1", "role-1", 0).expect("other regions don't notice");
    lab.give_static_addresses();
    lab.run_for(Span::from_secs(20));
    for _ in 0..8 {
        lab.assume("sts", "user/user-1", "role-1", 0).expect("reached by address");
    }
}

#[test]
fn an_instance_that_restarts_in_the_blackout_can_sign_nothing_until_it_is_over() {
    let lab = Region::start("");
    lab.empty_the_name();
    for instance in ["sts-az1", "sts-az2"] {
        lab.simulation.kill_instance(instance);
        lab.simulation.start_instance(instance);
    }
    lab.run_for(Span::from_mins(1));
    assert_eq!(name(lab.assume("sts", "user/user-1", "role-1", 0)), "ServiceUnavailable");
    lab.restore_the_name();
    lab.run_for(Span::from_mins(1));
    lab.assume("sts", "user/user-1", "role-1", 0).expect("it has its key again");
}
