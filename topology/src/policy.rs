//! What an edge (caller -> callee) does when the callee is slow, failing or gone.
//!
//! Each part is optional and off when absent, because most cascades are told by what was *not* there. All budgets,
//! breakers, limits and throttles are kept per caller instance and edge (not per connection, not per service): the
//! scope decides how much they bound, so it is said here once. Names of keys are the fields' names in kebab case.

use crate::Span;
use crate::words;

/// A way from one service to another (`[service.CALLER.calls.CALLEE]`).
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// The calling service.
    pub caller: String,
    /// The called service.
    pub callee: String,
    /// The DNS name to dial. Absent: the callee's instances directly, as a directory would give them.
    pub endpoint: Option<String>,
    /// Operators' override: skip DNS and take the callee's directory even though there is an endpoint; default false.
    pub static_addresses: bool,
    /// What happens to a call on this edge.
    pub policy: Policy,
}

/// The policy of one edge: `[defaults.calls]`, below the edge's preset, below the edge's own keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// The preset it was made from, if any.
    pub preset: Option<String>,
    /// For one attempt; at most the deadline.
    pub timeout: Option<Span>,
    /// For all attempts together.
    pub deadline: Option<Span>,
    /// The callee learns the deadline and may give up with it; default false.
    pub propagate_deadline: bool,
    /// Trying again.
    pub retry: Option<Retry>,
    /// What retries may cost in all; without a `retry` it has nothing to bound.
    pub budget: Option<Budget>,
    /// Not even trying for a while.
    pub breaker: Option<Breaker>,
    /// How many calls may be under way.
    pub concurrency: Option<Concurrency>,
    /// How many calls may start in a time.
    pub rate: Option<RateLimit>,
    /// Rejecting by the share that was accepted of late.
    pub throttle: Option<ClientThrottle>,
    /// A second call when the first is late.
    pub hedge: Option<Hedge>,
    /// The connections underneath.
    pub connections: Connections,
}

/// Trying again after a failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Attempts in all, the first included, 1..=100; default 3.
    pub attempts: u32,
    /// How the delay grows; default exponential.
    pub backoff: Backoff,
    /// How the delay is spread; default full.
    pub jitter: Jitter,
    /// The delay before the second attempt; default 100ms.
    pub base_delay: Span,
    /// No delay is longer, at least `base_delay`; default 20s.
    pub max_delay: Span,
    /// The delay grows by this factor, 1..=100; default 2.
    pub multiplier: f64,
    /// Takes the place of `base_delay` after a throttling error (`resource-exhausted`); default none.
    pub throttle_base_delay: Option<Span>,
    /// The errors that are tried again; default unavailable, deadline-exceeded and resource-exhausted.
    pub retry_on: Vec<RetryOn>,
}

words! {
    /// How the delay grows from attempt to attempt.
    pub enum Backoff {
        /// No delay: the quickest way to a retry storm.
        None = "none",
        /// Always the base delay.
        Fixed = "fixed",
        /// Base delay times the multiplier to the power of the retries so far, up to the longest.
        Exponential = "exponential",
    }
}

words! {
    /// How a delay is spread, so that clients which failed together don't come back together.
    pub enum Jitter {
        /// Not at all.
        None = "none",
        /// Uniform from zero to the delay.
        Full = "full",
        /// Half the delay, plus uniform from zero to the other half.
        Equal = "equal",
        /// Uniform from the base delay to three times the delay before, up to the longest.
        Decorrelated = "decorrelated",
    }
}

words! {
    /// The gRPC codes that may be tried again; the others say that the same call would fail again.
    pub enum RetryOn {
        /// The callee can't be reached or sheds load.
        Unavailable = "unavailable",
        /// The attempt timed out.
        DeadlineExceeded = "deadline-exceeded",
        /// The callee throttles.
        ResourceExhausted = "resource-exhausted",
        /// The callee lost a race and says: again.
        Aborted = "aborted",
        /// The callee broke.
        Internal = "internal",
        /// Nobody knows.
        Unknown = "unknown",
    }
}

/// What retries may cost in all, per caller instance and edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// The AWS SDKs' retry quota: a retry that can't pay is not made.
    TokenBucket {
        /// Tokens at the start and at most; default 500.
        capacity: f64,
        /// What a retry costs; default 5.
        retry_cost: f64,
        /// What a retry after a timeout costs; default 10.
        timeout_cost: f64,
        /// What a success without a retry gives back; default 1.
        success_refund: f64,
    },
    /// gRPC's retry throttling (A6): no retry while at or below half.
    Grpc {
        /// Tokens at the start and at most; default 10.
        max_tokens: f64,
        /// What a failure takes; default 1.
        failure_cost: f64,
        /// What a success gives back; default 0.1.
        success_refund: f64,
    },
    /// Finagle's and Linkerd's: a share of the requests, and a few more so that small clients can retry at all.
    Ratio {
        /// How far back requests count; default 10s.
        window: Span,
        /// Retries a second that are always there; default 10.
        min_per_second: f64,
        /// Retries for each request, 0..=1000; default 0.2.
        ratio: f64,
    },
}

/// Not even trying for a while. *Closed* means that calls flow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breaker {
    /// When it opens.
    pub trip: Trip,
    /// Counts slow calls as well; default none.
    pub slow_call: Option<SlowCall>,
    /// How long it stays open; default 30s.
    pub open_for: Span,
    /// How many probes must succeed to close it again, at least 1; default 1.
    pub half_open_calls: u32,
}

/// When a breaker opens. Written `trip = "consecutive-failures", failures = 5`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trip {
    /// So many failures in a row.
    ConsecutiveFailures {
        /// At least 1; default 5.
        failures: u32,
    },
    /// A share of the last calls failed.
    FailureRateCount {
        /// How many calls back; default 100.
        calls: u32,
        /// At least so many must have been made, at most `calls`; default 100.
        minimum: u32,
        /// The share, above 0 and at most 1; default 0.5.
        rate: f64,
    },
    /// A share of the calls of the last while failed.
    FailureRateTime {
        /// How far back; default 10s.
        window: Span,
        /// At least so many must have been made; default 20.
        minimum: u32,
        /// The share, above 0 and at most 1; default 0.5.
        rate: f64,
    },
}

/// Slow calls open a breaker too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowCall {
    /// A call that takes longer is slow; required.
    pub duration: Span,
    /// The share of slow calls that opens, above 0 and at most 1; default 1.
    pub rate: f64,
}

/// How many calls may be under way, per caller instance and edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Concurrency {
    /// A bulkhead.
    Fixed {
        /// At least 1; required.
        limit: u32,
        /// A call above the limit waits (true) or fails at once (false, the default).
        queue: bool,
    },
    /// A limit that follows the latency (Envoy's gradient): limit x (minimum latency + buffer) / latency, plus the
    /// limit's square root as headroom. Defaults are Envoy's.
    Adaptive {
        /// The limit is never lower, at least 1; default 3.
        min: u32,
        /// The limit is never higher, at least `min`; default 1000.
        max: u32,
        /// How often the limit is computed anew; default 100ms.
        update_interval: Span,
        /// How often the minimum latency is measured anew, at the lowest limit; default 1m.
        minimum_interval: Span,
        /// Calls in one measurement of the minimum; default 50.
        minimum_samples: u32,
        /// Latency above the minimum that is fine, as a share of it, 0..=10; default 0.25.
        buffer: f64,
        /// The percentile of the latencies that is compared, 0..=1; default 0.5.
        percentile: f64,
    },
}

/// How many calls may start in a time, per caller instance and edge: a token bucket. The others fail at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Calls a second, above 0; required.
    pub per_second: f64,
    /// Calls that may start together after a pause, at least 1; default 1.
    pub burst: u32,
}

/// The client throttle of the SRE book: rejects with p = max(0, (requests - k accepts) / (requests + 1)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClientThrottle {
    /// How many requests are let through for each accepted one, 1..=1000; default 2.
    pub k: f64,
    /// How far back both count; default 2m.
    pub window: Span,
}

/// A second call when the first is late; the first answer counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hedge {
    /// How late; required.
    pub after: Span,
    /// How many calls more at most, 1..=10; default 1.
    pub at_most: u32,
}

/// The connections under an edge. An open connection outlives the DNS record it came from; a new one needs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Connections {
    /// Connections to each address, 1..=10000; default 1, since HTTP/2 multiplexes.
    pub per_peer: u32,
    /// How long connecting may take; default 1s.
    pub connect_timeout: Span,
    /// Unused for so long, a connection is closed; default none.
    pub idle_timeout: Option<Span>,
    /// After so long, a connection is closed and made anew; default none.
    pub max_age: Option<Span>,
    /// The share of `max_age` by which ages are spread, 0..=1, so that connections don't all die at once; default 0.1.
    pub max_age_jitter: f64,
    /// False: a new connection (and a new look-up) for every call; default true.
    pub reuse: bool,
}

impl Default for Connections {
    fn default() -> Self {
        Connections {
            per_peer: 1,
            connect_timeout: Span::from_secs(1),
            idle_timeout: None,
            max_age: None,
            max_age_jitter: 0.1,
            reuse: true,
        }
    }
}
