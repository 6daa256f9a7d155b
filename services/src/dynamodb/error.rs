//! DynamoDB's errors, by their real names: clients, policies and the results tell them apart.

use eastfall_proto::error::api_error;
use tonic::{Code, Status};

const DOMAIN: &str = "dynamodb.amazonaws.com";

/// The request is malformed; trying again won't help.
pub fn validation(message: impl AsRef<str>) -> Status {
    api_error(Code::InvalidArgument, DOMAIN, "ValidationException", message)
}

/// There is no such table.
pub fn table_not_found(table: &str) -> Status {
    let message =
        format!("table `{table}` does not exist; create it, or name it in the storage nodes' `tables`");
    api_error(Code::NotFound, DOMAIN, "ResourceNotFoundException", message)
}

/// The table exists already.
pub fn table_in_use(table: &str) -> Status {
    api_error(
        Code::AlreadyExists,
        DOMAIN,
        "ResourceInUseException",
        format!("table `{table}` exists already"),
    )
}

/// The condition of a write did not hold.
pub fn condition_failed() -> Status {
    api_error(
        Code::FailedPrecondition,
        DOMAIN,
        "ConditionalCheckFailedException",
        "the conditional request failed",
    )
}

/// A transaction that has not finished holds the item.
pub fn conflict() -> Status {
    api_error(
        Code::Aborted,
        DOMAIN,
        "TransactionConflictException",
        "a transaction is under way for the item",
    )
}

/// A transaction wrote nothing. `reasons` has one entry for each of its items, empty where nothing was wrong.
pub fn cancelled(reasons: &[String]) -> Status {
    let names: Vec<&str> = reasons.iter().map(|name| if name.is_empty() { "None" } else { name }).collect();
    // Only what can pass by itself is worth another try.
    let passing = |name: &&str| matches!(*name, "None" | TRANSACTION_CONFLICT | THROTTLING);
    let code = if names.iter().all(passing) { Code::Aborted } else { Code::FailedPrecondition };
    let message = format!("the transaction was cancelled; reasons by item: [{}]", names.join(", "));
    api_error(code, DOMAIN, "TransactionCanceledException", message)
}

/// Cancellation reason: a condition did not hold.
pub const CONDITIONAL_CHECK_FAILED: &str = "ConditionalCheckFailed";
/// Cancellation reason: another transaction holds the item.
pub const TRANSACTION_CONFLICT: &str = "TransactionConflict";
/// Cancellation reason: the item's partition is throttled.
pub const THROTTLING: &str = "ThrottlingError";
/// Cancellation reason: the item can't be written so.
pub const VALIDATION: &str = "ValidationError";

/// The partition takes no more at the moment.
pub fn throttled() -> Status {
    let message = "the level of configured provisioned throughput for the partition was exceeded";
    api_error(Code::ResourceExhausted, DOMAIN, "ProvisionedThroughputExceededException", message)
}

/// The stream has forgotten what was asked for.
pub fn trimmed(oldest: u64) -> Status {
    let message = format!("the stream begins at sequence number {oldest}; start from 0 and accept the gap");
    api_error(Code::OutOfRange, DOMAIN, "TrimmedDataAccessException", message)
}

/// The store itself failed.
pub fn internal(cause: impl std::fmt::Display) -> Status {
    api_error(Code::Internal, DOMAIN, "InternalServerError", cause.to_string())
}
