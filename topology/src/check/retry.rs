//! `retry` and `budget` of an edge: the parts that make a cascade or keep one small.

use super::{ANY_SPAN, POSITIVE, SHARE, SOME_SPAN};
use crate::read::Fields;
use crate::read::value::{Fault, Readable};
use crate::tree::Value;
use crate::words;
use crate::{Backoff, Budget, Jitter, Retry, RetryOn, Span};

words! {
    enum BudgetKind {
        TokenBucket = "token-bucket",
        Grpc = "grpc",
        Ratio = "ratio",
    }
}

pub(super) fn retry(mut fields: Fields<'_, '_>) -> Retry {
    let retry = Retry {
        attempts: fields.within("attempts", 3, 1..=100),
        backoff: fields.value("backoff", Backoff::Exponential),
        jitter: fields.value("jitter", Jitter::Full),
        base_delay: fields.within("base-delay", Span::from_millis(100), ANY_SPAN),
        max_delay: fields.within("max-delay", Span::from_secs(20), ANY_SPAN),
        multiplier: fields.within("multiplier", 2.0, 1.0..=100.0),
        throttle_base_delay: fields.optional("throttle-base-delay", ANY_SPAN),
        retry_on: retry_on(&mut fields),
    };
    for (key, base) in
        [("base-delay", Some(retry.base_delay)), ("throttle-base-delay", retry.throttle_base_delay)]
    {
        let base = base.unwrap_or_default();
        fields.require(
            retry.max_delay >= base,
            "max-delay",
            format!("{} is below {key} {base}", retry.max_delay),
            &format!("raise max-delay or lower {key}"),
        );
    }
    fields.finish();
    retry
}

fn retry_on(fields: &mut Fields<'_, '_>) -> Vec<RetryOn> {
    let codes = fields.read("retry-on", |node| match &node.value {
        Value::List(list) => list.iter().map(RetryOn::read).collect::<Result<Vec<_>, _>>(),
        _ => Err(Fault::new(
            format!("{node} is not a list"),
            "write a list of codes, such as [\"unavailable\"]",
        )),
    });
    let codes = codes
        .unwrap_or_else(|| vec![RetryOn::Unavailable, RetryOn::DeadlineExceeded, RetryOn::ResourceExhausted]);
    let written: Vec<String> = codes.iter().map(|code| format!("\"{code}\"")).collect();
    fields.reading().note(fields.path_of("retry-on"), &format!("[{}]", written.join(", ")));
    codes
}

pub(super) fn budget(mut fields: Fields<'_, '_>) -> Option<Budget> {
    // What comes back may be nothing; what is spent may be nothing too, and then the budget bounds nothing.
    let amount = 0.0..=*POSITIVE.end();
    let budget = match fields.tag("kind", None)? {
        BudgetKind::TokenBucket => Budget::TokenBucket {
            capacity: fields.within("capacity", 500.0, POSITIVE),
            retry_cost: fields.within("retry-cost", 5.0, POSITIVE),
            timeout_cost: fields.within("timeout-cost", 10.0, POSITIVE),
            success_refund: fields.within("success-refund", 1.0, amount),
        },
        BudgetKind::Grpc => Budget::Grpc {
            max_tokens: fields.within("max-tokens", 10.0, POSITIVE),
            failure_cost: fields.within("failure-cost", 1.0, POSITIVE),
            success_refund: fields.within("success-refund", 0.1, amount),
        },
        BudgetKind::Ratio => Budget::Ratio {
            window: fields.within("window", Span::from_secs(10), SOME_SPAN),
            min_per_second: fields.within("min-per-second", 10.0, amount),
            ratio: fields.within("ratio", 0.2, *SHARE.start()..=1000.0),
        },
    };
    fields.finish();
    Some(budget)
}
