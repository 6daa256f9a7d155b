//! EC2: instances on droplets, and the leases without which nothing changes on a droplet.
//!
//! A droplet is a physical server. DWFM (the Droplet Workflow Manager) holds a lease on every one, which it renews with
//! a state check every few minutes; both are written to DynamoDB. Without a lease a droplet goes on running what it runs,
//! but takes no launch and no termination. When all leases are lost at once, establishing them anew takes longer than
//! an attempt may last, and the work that is finished is void: congestive collapse ([`dwfm`]).
//!
//! | kind | file |
//! |---|---|
//! | `ec2-api`, the public API | [`api`] |
//! | `dwfm`, a host of it in a zone | [`dwfm`] |
//! | `droplets`, the agents on the droplets of a zone | [`droplets`] |
//! | `ec2-customers`, who launches and terminates | [`customers`] |

pub mod api;
pub mod client;
pub mod customers;
pub mod droplets;
pub mod dwfm;
mod layout;
pub(crate) mod store;
#[cfg(test)]
mod tests;

use eastfall_proto::error::api_error;
use tonic::{Code, Status};

/// The domain of EC2's error names.
const DOMAIN: &str = "ec2.amazonaws.com";

/// No droplet with a lease has room.
fn insufficient_capacity(place: &str) -> Status {
    let message = format!("there is no capacity in {place} for the instances you asked for");
    api_error(Code::Unavailable, DOMAIN, INSUFFICIENT_CAPACITY, message)
}

/// The name of that error.
const INSUFFICIENT_CAPACITY: &str = "InsufficientInstanceCapacity";
