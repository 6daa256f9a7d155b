//! Sign-in in virtual time: which door is open to whom, with and without the region's DynamoDB.

use eastfall_proto::error::reason;
use eastfall_proto::sign_in::*;
use eastfall_topology::Span;
use tonic::{Code, Status};

use super::account;
use crate::iam::seed::{SAML_PROVIDER, first_password};
use crate::testing::identity::Region;

impl Region {
    fn console(&self, at: &str, user: &str) -> Result<(), Status> {
        let request = ConsoleSignInRequest { user_name: user.to_owned(), password: first_password(user) };
        self.ask(at, &sign_in_api::CONSOLE_SIGN_IN, request).map(drop)
    }

    fn root(&self, at: &str, account: &str) -> Result<(), Status> {
        let request = RootSignInRequest { account: account.to_owned(), password: first_password(account) };
        self.ask(at, &sign_in_api::ROOT_SIGN_IN, request).map(drop)
    }

    fn federated(&self, at: &str, role: &str) -> Result<(), Status> {
        let (issuer, subject) = (SAML_PROVIDER.to_owned(), "somebody".to_owned());
        let request = FederatedSignInRequest { issuer, subject, role: role.to_owned() };
        self.ask(at, &sign_in_api::FEDERATED_SIGN_IN, request).map(drop)
    }

    fn session(&self, at: &str, user: &str) -> Result<String, Status> {
        let request = CreateSessionRequest { user: user.to_owned(), password: first_password(user) };
        self.ask(at, &identity_center_api::CREATE_SESSION, request).map(|answer| answer.session)
    }

    fn accounts(&self, at: &str, session: &str) -> Result<Vec<String>, Status> {
        let request = ListAccountsRequest { session: session.to_owned() };
        self.ask(at, &identity_center_api::LIST_ACCOUNTS, request).map(|answer| answer.accounts)
    }

    /// Everything that a door is for.
    fn doors(&self, at: &str) -> [Result<(), Status>; 3] {
        [self.console(at, "user-1"), self.root(at, &account(1)), self.federated(at, "role-1")]
    }
}

#[test]
fn who_knows_the_password_or_is_vouched_for_comes_in() {
    let lab = Region::start("");
    for at in ["sign-in", "sign-in-elsewhere"] {
        for outcome in lab.doors(at) {
            outcome.unwrap_or_else(|status| panic!("{at}: {status}"));
        }
        let (user_name, password) = ("user-1".to_owned(), "guessed".to_owned());
        let request = ConsoleSignInRequest { user_name, password };
        let status = lab.ask(at, &sign_in_api::CONSOLE_SIGN_IN, request).expect_err("wrong");
        assert_eq!(reason(&status).as_deref(), Some("AuthenticationFailed"), "{at}: {status}");
        let status = lab.console(at, "nobody").expect_err("there is no such user");
        assert_eq!(status.code(), Code::Unauthenticated, "{at}: {status}");
        let status = lab.federated(at, "redshift-node").expect_err("that role trusts no provider");
        assert_eq!(reason(&status).as_deref(), Some("AccessDenied"), "{at}: {status}");
    }
}

#[test]
fn without_the_name_the_global_door_is_shut_and_the_regional_ones_are_not() {
    let lab = Region::start("");
    // Often enough that both instances of STS have copies.
    for _ in 0..8 {
        lab.doors("sign-in").into_iter().for_each(|outcome| outcome.expect("open"));
    }
    lab.empty_the_name();
    lab.run_for(Span::from_mins(1));
    lab.doors("sign-in").into_iter().for_each(|outcome| outcome.expect("copies keep it open for a while"));
    lab.run_for(Span::from_mins(4));
    for outcome in lab.doors("sign-in") {
        let status = outcome.expect_err("shut");
        assert_eq!(reason(&status).as_deref(), Some("ServiceUnavailable"), "{status}");
    }
    lab.doors("sign-in-elsewhere").into_iter().for_each(|outcome| outcome.expect("open"));
    lab.give_static_addresses();
    lab.run_for(Span::from_secs(40));
    lab.doors("sign-in").into_iter().for_each(|outcome| outcome.expect("open again"));
}

#[test]
fn identity_center_fails_where_it_is_at_home_only() {
    let lab = Region::start("");
    let session = lab.session("centre", "user-1").expect("a session");
    assert_eq!(lab.accounts("centre", &session).expect("a list").len(), 3);
    let abroad = lab.session("centre-elsewhere", "user-1").expect("a session");
    let status = lab.accounts("centre-elsewhere", &session).expect_err("another centre's session");
    assert_eq!(reason(&status).as_deref(), Some("UnauthorizedException"), "{status}");
    lab.empty_the_name();
    lab.run_for(Span::from_mins(5));
    let status = lab.session("centre", "user-1").expect_err("its directory is out of reach");
    assert_eq!(reason(&status).as_deref(), Some("ServiceUnavailable"), "{status}");
    assert_eq!(lab.accounts("centre-elsewhere", &abroad).expect("a list").len(), 3);
    lab.session("centre-elsewhere", "user-2").expect("sound");
    lab.restore_the_name();
    lab.run_for(Span::from_secs(40));
    lab.session("centre", "user-1").expect("a session again");
    let session = GetRoleCredentialsRequest { session, role: "role-1".to_owned() };
    lab.ask("centre", &identity_center_api::GET_ROLE_CREDENTIALS, session).expect("credentials");
}
