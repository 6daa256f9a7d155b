//! Redshift: queries, clusters, and the automation that replaces their nodes.
//!
//! **The failures it reproduces.** Queries and changes need metadata in DynamoDB. Nodes live on credentials that end; a node
//! whose credentials could not be renewed is replaced, and while EC2 launches nothing the cluster stays `modifying` for
//! hours after all else is well ([`clusters`]). And in *every* region a query with IAM credentials has its user's groups
//! resolved by IAM of one region, so it fails with that region, wherever it is made ([`front`]).
//!
//! | kind | file |
//! |---|---|
//! | `redshift`, the front end of a region | [`front`] |
//! | `redshift-clusters`, the clusters and their automation | [`clusters`] |

pub mod clusters;
pub mod front;

use eastfall_proto::error::api_error;
use tonic::{Code, Status};

/// The domain of Redshift's error names.
const DOMAIN: &str = "redshift.amazonaws.com";
/// Clusters and their states.
const CLUSTERS: &str = "redshift-clusters";
const CLUSTER_KEY: &str = "cluster";
const AVAILABLE: &str = "available";
const MODIFYING: &str = "modifying";
/// What a cluster that takes no queries says at its own endpoint.
const CLUSTER_UNAVAILABLE: &str = "ClusterUnavailable";

/// The number of the cluster that a database is on, from 0.
fn cluster_of(database: u64, clusters: u32) -> usize {
    (database % u64::from(clusters.max(1))) as usize
}

fn cluster_name(number: usize) -> String {
    format!("cluster-{}", number + 1)
}

/// Something that Redshift stands on fails.
fn dependency(what: &str, status: &Status) -> Status {
    let message = format!("{what}: {}", status.message());
    api_error(Code::Unavailable, DOMAIN, "DependentServiceUnavailable", message)
}
