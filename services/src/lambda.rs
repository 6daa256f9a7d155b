//! Lambda: functions, the workers they run on, and what is invoked without anybody waiting.
//!
//! The parts fail apart, and that is what they are kept apart for. The **control plane** writes to DynamoDB and fails
//! with it. An **invocation** needs a copy of the function's metadata and an environment on a worker: warm ones go on
//! without DynamoDB, cold ones don't. **Workers** are EC2 instances: those that run outlive an outage of EC2, and one that
//! is lost in it can't be replaced. **Pollers** of event sources hold their places by leases in DynamoDB.
//!
//! | kind | file |
//! |---|---|
//! | `lambda`, the public API and the queue of asynchronous invocations | [`api`] |
//! | `lambda-fleet`, the workers | [`fleet`] |
//! | `lambda-pollers`, SQS and Kinesis event sources | [`pollers`] |

pub mod api;
pub mod fleet;
pub mod pollers;
#[cfg(test)]
mod tests;

use eastfall_proto::error::{api_error, reason};
use tonic::{Code, Status};

/// The domain of Lambda's error names.
const DOMAIN: &str = "lambda.amazonaws.com";
/// Functions by name.
const FUNCTIONS: &str = "lambda-functions";

const TOO_MANY_REQUESTS: &str = "TooManyRequestsException";
const SERVICE: &str = "ServiceException";
const NOT_FOUND: &str = "ResourceNotFoundException";

fn throttled(message: impl AsRef<str>) -> Status {
    api_error(Code::ResourceExhausted, DOMAIN, TOO_MANY_REQUESTS, message)
}

fn service_error(message: impl AsRef<str>) -> Status {
    api_error(Code::Internal, DOMAIN, SERVICE, message)
}

fn no_function(name: &str) -> Status {
    api_error(Code::NotFound, DOMAIN, NOT_FOUND, format!("there is no function '{name}'"))
}

/// Whether a status is the throttling of work of its class.
fn is_throttle(status: &Status) -> bool {
    status.code() == Code::ResourceExhausted
}

/// An error of a part of Lambda as Lambda's callers see it.
fn outward(status: Status) -> Status {
    match reason(&status) {
        Some(_) => status,
        None if is_throttle(&status) => throttled(status.message()),
        None => service_error(status.message()),
    }
}
