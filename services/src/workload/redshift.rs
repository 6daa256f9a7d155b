//! Requests to Redshift: through the front end as a database user or as a user of IAM, and to clusters directly.

use eastfall_proto::redshift::execute_statement_request::Credentials;
use eastfall_proto::redshift::{
    DescribeClustersRequest, ExecuteStatementRequest, ModifyClusterRequest, QueryRequest, redshift_api,
    redshift_clusters_api,
};

use super::{Draw, Operation, operation};
use crate::iam::seed::user;

const FRONT: &[&str] = &["redshift"];
const CLUSTERS: &[&str] = &["redshift-clusters"];
/// IAM users who make queries (assumption); IAM begins with more.
const USERS: u64 = 20;

/// The keys of a population are numbers of databases.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(FRONT, &redshift_api::EXECUTE_STATEMENT, |draw| {
            execute(draw, |_| Credentials::DatabaseUser("analyst".to_owned()))
        }),
        Operation {
            name: "ExecuteStatementAsIamUser",
            ..operation(FRONT, &redshift_api::EXECUTE_STATEMENT, |draw| {
                execute(draw, |database| Credentials::IamUser(user(1 + database % USERS)))
            })
        },
        operation(FRONT, &redshift_api::MODIFY_CLUSTER, |draw| ModifyClusterRequest {
            database: draw.key(),
            maintenance_window: "sun:03:00-sun:03:30".to_owned(),
        }),
        operation(FRONT, &redshift_api::DESCRIBE_CLUSTERS, |draw| DescribeClustersRequest {
            database: draw.key(),
        }),
        operation(CLUSTERS, &redshift_clusters_api::QUERY, |draw| QueryRequest { database: draw.key() }),
    ]
}

fn execute(draw: &mut Draw<'_>, credentials: fn(u64) -> Credentials) -> ExecuteStatementRequest {
    let database = draw.key();
    ExecuteStatementRequest { database, credentials: Some(credentials(database)) }
}
