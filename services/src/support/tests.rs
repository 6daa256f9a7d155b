//! Support Center in virtual time: a failover that works, and a check that gets in its way.

use eastfall_proto::error::reason;
use eastfall_proto::support::*;
use eastfall_topology::{Setting, Span};
use tonic::Status;

use crate::testing::Lab;

const REGION: &str = r#"
[region]
name = "test"
[service.db]
kind = "dynamodb"
calls.store = {}
[service.store]
kind = "dynamodb-storage"
[service.replica]
kind = "dynamodb-replica"
instances = ["elsewhere"]
[service.accounts]
kind = "account-metadata"
fresh-for = "10s"
calls.db = { timeout = "1s" }
[service.support]
kind = "support"
failover-for = "20s"
calls.db = { timeout = "1s" }
calls.replica = { timeout = "1s" }
calls.accounts = { timeout = "3s" }
[service.people]
kind = "customers"
rate = 0.0
mix = { "support.CreateCase" = 1.0 }
calls.support = { timeout = "10s" }
"#;

impl Lab {
    fn case(&self, account: &str) -> Result<String, Status> {
        let client = self.client("people", "support");
        let request = CreateCaseRequest {
            account: account.to_owned(),
            subject: "help".to_owned(),
            client_token: account.to_owned(),
        };
        let answer = self.run(async move { client.call(&support_api::CREATE_CASE, request).await });
        answer.map(|answer| answer.case_id)
    }

    fn cases(&self, account: &str) -> Vec<String> {
        let client = self.client("people", "support");
        let request = DescribeCasesRequest { account: account.to_owned() };
        let answer = self.run(async move { client.call(&support_api::DESCRIBE_CASES, request).await });
        answer.expect("an answer").case_ids
    }

    fn set_word(&self, path: &str, value: &str) {
        let setting = Setting { path: path.to_owned(), value: value.to_owned() };
        self.simulation.region().set(&setting).unwrap_or_else(|problems| panic!("{problems}"));
    }
}

#[test]
fn a_case_is_found_by_its_account() {
    let lab = Lab::start(REGION, 1);
    let case = lab.case("me").expect("a case");
    assert_eq!(lab.cases("me"), [case]);
    assert_eq!(lab.cases("you"), Vec::<String>::new(), "and by no other");
}

#[test]
fn invalid_answers_about_accounts_keep_legitimate_users_out() {
    let lab = Lab::start(REGION, 1);
    lab.case("me").expect("all is well");
    lab.simulation.kill_instance("db");
    lab.case("me").expect("the account is known for a while, and the case goes to the other region");
    lab.run_for(Span::from_secs(15));
    let status = lab.case("me").expect_err("nobody is let in");
    assert_eq!(reason(&status).as_deref(), Some("AccessDeniedException"), "{status}");
    lab.simulation.start_instance("db");
    lab.run_for(Span::from_secs(30));
    lab.case("me").expect("it is over with the store's outage");
}

#[test]
fn an_error_about_accounts_is_bypassed_and_the_failover_serves() {
    let lab = Lab::start(REGION, 1);
    lab.set_word("service.accounts.on-failure", "error");
    lab.simulation.kill_instance("db");
    lab.run_for(Span::from_secs(15));
    let case = lab.case("me").expect("the check is bypassed, the case is in the other region");
    assert_eq!(lab.cases("me"), [case]);
}

#[test]
fn a_check_that_knows_a_bad_answer_from_a_bad_account_lets_people_in() {
    let lab = Lab::start(REGION, 1);
    lab.set_word("service.support.bypass-invalid", "true");
    lab.simulation.kill_instance("db");
    lab.run_for(Span::from_secs(15));
    lab.case("me").expect("an answer about nobody is no answer");
}
