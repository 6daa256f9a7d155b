//! Errors named as the real APIs name them.
//!
//! A stand-in answers `ConditionalCheckFailedException`, not just `FAILED_PRECONDITION`: the name is the `reason` of a
//! `google.rpc.ErrorInfo` among the status's details, where any gRPC client finds it, and begins the message.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// A status that carries the real API's name of an error.
///
/// `domain` is the API's domain, such as `dynamodb.amazonaws.com`.
pub fn api_error(code: Code, domain: &str, reason: &str, message: impl AsRef<str>) -> Status {
    let details = ErrorDetails::with_error_info(reason, domain, [] as [(String, String); 0]);
    Status::with_error_details(code, format!("{reason}: {}", message.as_ref()), details)
}

/// The real API's name of an error, if the status carries one.
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// A refusal for now, which says how long to wait before asking again (`google.rpc.RetryInfo`).
pub fn refused_for_now(code: Code, message: impl Into<String>, wait: Duration) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_retry_info(Some(wait)))
}

/// How long the status says to wait before asking again, if it says.
pub fn retry_delay(status: &Status) -> Option<Duration> {
    if status.details().is_empty() {
        return None;
    }
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}
