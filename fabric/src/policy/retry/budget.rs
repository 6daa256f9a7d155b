//! What retries may cost in all.
//!
//! Attempts bound the retries of one request; in an outage every request is at that bound, and the callee gets the
//! load times the attempts just when it can bear least. A budget bounds the retries of all requests together. How much
//! that helps depends on whose budget it is: here one caller instance's on one edge. A fleet of small clients has as
//! many budgets, and those that come with a minimum (the ratio's retries a second) then bound next to nothing.
//!
//! Three kinds, after those that are in use:
//! - token bucket, the AWS SDKs': a retry takes tokens (more after a time-out), a success without a retry puts a little
//!   back, a success with one puts back what the last retry took;
//! - gRPC's (proposal A6): an error of `retry-on` takes a token, a success puts a fraction back, and while at or below
//!   half there are no retries;
//! - ratio, Finagle's: retries up to a share of the requests of the last while, and some more that are always there. A
//!   request counts when its first attempt has ended. (tower's `TpsBudget` is of this kind, but reads a clock of its
//!   own and rounds the share.)

use std::sync::Mutex;

use eastfall_topology as topology;
use eastfall_topology::time::Moment;

use crate::policy::observer::lock;
use crate::policy::window::Window;

/// The budget of one caller instance for retries on one edge.
#[derive(Debug)]
pub struct Budget {
    settings: topology::Budget,
    account: Mutex<Account>,
}

#[derive(Debug)]
enum Account {
    Tokens(f64),
    Counts(Window<2>),
}

const REQUESTS: usize = 0;
const RETRIES: usize = 1;

impl Budget {
    /// A full one.
    pub fn new(settings: &topology::Budget) -> Self {
        let account = match *settings {
            topology::Budget::TokenBucket { capacity, .. } => Account::Tokens(capacity),
            topology::Budget::Grpc { max_tokens, .. } => Account::Tokens(max_tokens),
            topology::Budget::Ratio { window, .. } => Account::Counts(Window::new(window)),
        };
        Budget { settings: *settings, account: Mutex::new(account) }
    }

    /// What it was made with.
    pub fn settings(&self) -> &topology::Budget {
        &self.settings
    }

    /// A request has succeeded, after so many retries, the last of which took `paid`.
    pub fn succeeded(&self, now: Moment, retries: u32, paid: f64) {
        match (&mut *lock(&self.account), self.settings) {
            (Account::Tokens(tokens), topology::Budget::TokenBucket { capacity, success_refund, .. }) => {
                let refund = if retries == 0 { success_refund } else { paid };
                *tokens = (*tokens + refund).min(capacity);
            }
            (Account::Tokens(tokens), topology::Budget::Grpc { max_tokens, success_refund, .. }) => {
                *tokens = (*tokens + success_refund).min(max_tokens);
            }
            (Account::Counts(window), _) if retries == 0 => window.add(now, REQUESTS),
            _ => {}
        }
    }

    /// An attempt after so many retries has failed in a way that may be tried again.
    pub fn failed(&self, now: Moment, retries: u32) {
        match (&mut *lock(&self.account), self.settings) {
            (Account::Tokens(tokens), topology::Budget::Grpc { failure_cost, .. }) => {
                *tokens = (*tokens - failure_cost).max(0.0);
            }
            (Account::Counts(window), _) if retries == 0 => window.add(now, REQUESTS),
            _ => {}
        }
    }

    /// Pays for a retry: what it took, or nothing if there is not enough.
    pub fn withdraw(&self, now: Moment, timed_out: bool) -> Option<f64> {
        match (&mut *lock(&self.account), self.settings) {
            (Account::Tokens(tokens), topology::Budget::TokenBucket { retry_cost, timeout_cost, .. }) => {
                let cost = if timed_out { timeout_cost } else { retry_cost };
                let left = *tokens - cost;
                (left >= 0.0).then(|| {
                    *tokens = left;
                    cost
                })
            }
            (Account::Tokens(tokens), topology::Budget::Grpc { max_tokens, .. }) => {
                (*tokens > max_tokens / 2.0).then_some(0.0)
            }
            (Account::Counts(counts), topology::Budget::Ratio { window, min_per_second, ratio }) => {
                let [requests, retries] = counts.totals(now);
                let allowed = min_per_second * window.as_secs_f64() + ratio * requests as f64;
                // A sum of shares may miss a whole number by its rounding.
                (retries as f64 + 1.0 <= allowed + 1e-6).then(|| {
                    counts.add(now, RETRIES);
                    0.0
                })
            }
            // An account is made for its settings, which never change.
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eastfall_topology::Span;
    use proptest::prelude::*;

    fn aws() -> Budget {
        Budget::new(&topology::Budget::TokenBucket {
            capacity: 500.0,
            retry_cost: 5.0,
            timeout_cost: 10.0,
            success_refund: 1.0,
        })
    }

    #[test]
    fn a_token_bucket_takes_more_for_a_timeout_and_gives_back_what_a_successful_retry_took() {
        let (budget, now) = (aws(), Moment::START);
        assert_eq!(budget.withdraw(now, true), Some(10.0), "a retry after a time-out");
        assert_eq!(budget.withdraw(now, false), Some(5.0), "a retry after another error");
        budget.succeeded(now, 1, 5.0);
        let left = (0..).take_while(|_| budget.withdraw(now, false).is_some()).count();
        assert_eq!(
            left, 98,
            "490 tokens are left: the second retry's five came back, the first's ten did not"
        );
    }

    #[test]
    fn five_successes_without_a_retry_pay_for_one_retry() {
        let (budget, now) = (aws(), Moment::START);
        while budget.withdraw(now, false).is_some() {}
        for _ in 0..4 {
            budget.succeeded(now, 0, 0.0);
        }
        assert_eq!(budget.withdraw(now, false), None, "four tokens");
        budget.succeeded(now, 0, 0.0);
        assert_eq!(budget.withdraw(now, false), Some(5.0), "five tokens");
    }

    #[test]
    fn grpc_stops_at_half_and_starts_again_above_it() {
        let settings = topology::Budget::Grpc { max_tokens: 10.0, failure_cost: 1.0, success_refund: 0.1 };
        let (budget, now) = (Budget::new(&settings), Moment::START);
        for _ in 0..4 {
            budget.failed(now, 0);
        }
        assert_eq!(budget.withdraw(now, false), Some(0.0), "six tokens");
        budget.failed(now, 0);
        assert_eq!(budget.withdraw(now, false), None, "five tokens are half");
        budget.succeeded(now, 0, 0.0);
        assert_eq!(budget.withdraw(now, false), Some(0.0), "a little above half");
    }

    proptest! {
        #[test]
        fn a_ratio_never_allows_more_than_its_minimum_and_its_share(
            min_per_second in 0.0f64..20.0, ratio in 0.0f64..2.0,
            steps in prop::collection::vec((0u64..3_000, any::<bool>()), 1..300),
        ) {
            let window = Span::from_secs(10);
            let budget = Budget::new(&topology::Budget::Ratio { window, min_per_second, ratio });
            let (mut now, mut requests, mut retries) = (Moment::START, Vec::new(), Vec::new());
            for (gap, is_request) in steps {
                now += Span::from_millis(gap);
                if is_request {
                    budget.failed(now, 0);
                    requests.push(now);
                } else if budget.withdraw(now, false).is_some() {
                    retries.push(now);
                }
                // Nine tenths are surely within the window, nothing older than all of it is.
                let since = |list: &[Moment], span: Span| list.iter().filter(|&&at| at + span > now).count() as f64;
                let allowed = min_per_second * 10.0 + ratio * since(&requests, window);
                let made = since(&retries, Span::from_secs(9));
                // Requests leave the window after the retries they paid for were made: that many may be over.
                let paid_earlier = ratio * since(&requests, window * 2);
                prop_assert!(made <= allowed + paid_earlier + 1e-6, "{made} retries, {allowed} allowed");
            }
        }

        #[test]
        fn tokens_stay_between_none_and_capacity(ops in prop::collection::vec(0u8..4, 0..500)) {
            let (budget, now) = (aws(), Moment::START);
            for op in ops {
                match op {
                    0 => budget.succeeded(now, 0, 0.0),
                    1 => budget.succeeded(now, 1, 5.0),
                    2 => { budget.withdraw(now, true); }
                    _ => { budget.withdraw(now, false); }
                }
                let Account::Tokens(tokens) = *lock(&budget.account) else { unreachable!() };
                prop_assert!((0.0..=500.0).contains(&tokens), "{tokens} tokens");
            }
        }
    }
}
