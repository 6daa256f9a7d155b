//! The front ends in virtual time: who fails with whose store.

use eastfall_proto::error::reason;
use eastfall_proto::redshift::execute_statement_request::Credentials;
use eastfall_proto::redshift::*;
use eastfall_topology::Span;
use tonic::Status;

use crate::iam::seed::user;
use crate::redshift::clusters::tests::{CLUSTERS, EC2};
use crate::testing::identity::Region;

impl Region {
    /// Front ends here and elsewhere.
    fn with_front_ends() -> Region {
        let lab = Region::start(&format!("{EC2}{CLUSTERS}"));
        lab.run_for(Span::from_mins(2));
        lab
    }

    fn execute(&self, at: &str, credentials: Credentials) -> Result<Vec<String>, Status> {
        let request = ExecuteStatementRequest { database: 7, credentials: Some(credentials) };
        self.query_people(at, &redshift_api::EXECUTE_STATEMENT, request).map(|answer| answer.groups)
    }

    fn as_iam_user(&self, at: &str) -> Result<Vec<String>, Status> {
        self.execute(at, Credentials::IamUser(user(2)))
    }

    fn as_database_user(&self, at: &str) -> Result<Vec<String>, Status> {
        self.execute(at, Credentials::DatabaseUser("a".to_owned()))
    }
}

#[test]
fn queries_run_and_an_iam_users_groups_are_resolved() {
    let lab = Region::with_front_ends();
    for at in ["redshift", "redshift-elsewhere"] {
        assert_eq!(lab.as_iam_user(at).expect("it runs"), ["analysts"], "{at}");
        assert_eq!(lab.as_database_user(at).expect("it runs"), [""; 0], "{at}");
        let status = lab.execute(at, Credentials::IamUser("nobody".to_owned())).expect_err("no such user");
        assert_eq!(reason(&status).as_deref(), Some("UnauthorizedOperation"), "{at}: {status}");
    }
    let request = DescribeClustersRequest { database: 7 };
    let found = lab.query_people("redshift", &redshift_api::DESCRIBE_CLUSTERS, request).expect("known");
    assert_eq!(found.cluster_status, "available");
    let request = ModifyClusterRequest { database: 7, maintenance_window: "never".to_owned() };
    lab.query_people("redshift", &redshift_api::MODIFY_CLUSTER, request).expect("it is available");
}

#[test]
fn without_the_name_iam_users_fail_in_every_region_and_database_users_in_this_one_only() {
    let lab = Region::with_front_ends();
    lab.empty_the_name();
    lab.run_for(Span::from_mins(1));
    for at in ["redshift", "redshift-elsewhere"] {
        let status = lab.as_iam_user(at).expect_err("IAM here can't say");
        assert_eq!(reason(&status).as_deref(), Some("DependentServiceUnavailable"), "{at}: {status}");
    }
    let status = lab.as_database_user("redshift").expect_err("no metadata");
    assert_eq!(reason(&status).as_deref(), Some("DependentServiceUnavailable"), "{status}");
    lab.as_database_user("redshift-elsewhere").expect("it asks nobody here");

    lab.set("service.redshift-elsewhere.resolve-groups-in", "\"own-region\"");
    assert_eq!(lab.as_iam_user("redshift-elsewhere").expect("the repair"), ["analysts"]);
    lab.set("service.redshift-elsewhere.resolve-groups-in", "\"us-east-1\"");
    lab.give_static_addresses();
    lab.run_for(Span::from_secs(20));
    assert_eq!(lab.as_iam_user("redshift-elsewhere").expect("IAM reaches its store"), ["analysts"]);
}
