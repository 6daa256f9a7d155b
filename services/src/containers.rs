//! ECS, EKS and Fargate: containers on instances of EC2, with books in DynamoDB.
//!
//! Two ways to fail, one after the other. While DynamoDB has no name, no task can be written down, so none starts. When
//! it is back there are launches to wait for: a task on Fargate takes an instance from a warm pool, the pool is refilled
//! by launches of EC2, and once it is empty a start fails however well everything else is ([`fargate`]). What runs goes
//! on running throughout.
//!
//! | kind | file |
//! |---|---|
//! | `ecs`, tasks and services | [`ecs`] |
//! | `eks`, node groups | [`eks`] |
//! | `fargate`, the pool of instances for tasks | [`fargate`] |

pub(crate) mod client;
pub mod ecs;
pub mod eks;
pub mod fargate;
#[cfg(test)]
mod tests;

use eastfall_proto::error::api_error;
use tonic::{Code, Status};

/// The domain of ECS's error names; Fargate has none of its own.
const DOMAIN: &str = "ecs.amazonaws.com";

/// What a start without a free instance is answered (published, in these words).
const NO_CAPACITY: &str = "Capacity is unavailable at this time";

fn no_capacity() -> Status {
    let message = "please try again later or in a different availability zone";
    api_error(Code::Unavailable, DOMAIN, NO_CAPACITY, message)
}

fn server_error(domain: &str, status: &Status) -> Status {
    api_error(Code::Internal, domain, "ServerException", status.message())
}

fn invalid(domain: &str, message: &str) -> Status {
    api_error(Code::InvalidArgument, domain, "InvalidParameterException", message)
}
