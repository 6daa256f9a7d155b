//! What policies cost a call that goes well, over a callee that answers at once, or after it was waited for.
//!
//! Calls come one after the other. Ours run on either clock; tower-resilience reads the standard library's, so that it
//! has the wall's alone. Layers have the same parameters and the same order. Two things are not alike, and the rows without
//! layers show what they cost: our call goes through a typed handler behind a pointer, as in the lab, and our stack records
//! each request and attempt in histograms, which the lab is for and tower-resilience's layers don't do.

mod ours;
mod theirs;

use std::future::poll_fn;
use std::hint::black_box;
use std::task::Poll;

use cpu_time::ProcessTime;

const CALLS: u32 = 500_000;
const WARM_UP: u32 = 30_000;

/// The layers that both have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// The callee alone, called directly.
    Callee,
    /// Our stack with no policy in it; of theirs there is nothing.
    Nothing,
    /// A second for each attempt.
    Timeout,
    /// Up to three attempts, with exponential pauses from 50 ms on.
    Retry,
    /// Opens for 30 s when half of the last 100 calls failed.
    Breaker,
    /// 1024 calls under way, the next is refused.
    Limit,
    /// A token bucket of a billion a second, never empty here.
    Rate,
    /// All five: retry, breaker, limit, rate, time-out, from the outside in.
    All,
}

impl Layers {
    const ROWS: [Layers; 8] = [
        Layers::Callee,
        Layers::Nothing,
        Layers::Timeout,
        Layers::Retry,
        Layers::Breaker,
        Layers::Limit,
        Layers::Rate,
        Layers::All,
    ];

    fn name(self) -> &'static str {
        match self {
            Layers::Callee => "callee alone",
            Layers::Nothing => "no policy",
            Layers::Timeout => "time-out",
            Layers::Retry => "retry",
            Layers::Breaker => "circuit breaker",
            Layers::Limit => "concurrency limit",
            Layers::Rate => "rate limit",
            Layers::All => "all five",
        }
    }

    /// Whether this layer is there, alone or among all.
    fn has(self, layer: Layers) -> bool {
        self == layer || self == Layers::All
    }
}

/// When the callee answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// As soon as it is asked: nobody ever waits, so no timer is set.
    AtOnce,
    /// When it is asked again (in virtual time: after a millisecond of it). The caller has waited, and whoever has a
    /// time-out has set its timer.
    Later,
}

impl Answers {
    fn name(self) -> &'static str {
        match self {
            Answers::AtOnce => "at once",
            Answers::Later => "later",
        }
    }

    /// Until it answers, on the wall's clock.
    async fn wait(self) {
        let mut asked = self == Answers::AtOnce;
        poll_fn(|context| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// Measures all of it once.
pub fn measure() {
    for answers in [Answers::AtOnce, Answers::Later] {
        for layers in Layers::ROWS {
            // What waiting costs is seen where there is a timer, and where there is nothing.
            if answers == Answers::Later && !matches!(layers, Layers::Callee | Layers::Nothing | Layers::All)
            {
                continue;
            }
            let say = |who: &str, nanos: f64| {
                println!("call\t{}\t{}\t{who}\t{nanos:.2}", layers.name(), answers.name());
            };
            say("eastfall, virtual time", ours::virtually(layers, answers));
            say("eastfall, wall clock", ours::live(layers, answers));
            if layers != Layers::Nothing {
                say("tower-resilience", theirs::live(layers, answers));
            }
        }
    }
}

/// The nanoseconds a call takes. Calls must go well: what is refused is cheap.
async fn time_a_call<T, E, F: Future<Output = Result<T, E>>>(mut call: impl FnMut() -> F) -> f64 {
    for _ in 0..WARM_UP {
        assert!(call().await.is_ok(), "a call failed");
    }
    let began = ProcessTime::now();
    for _ in 0..CALLS {
        assert!(black_box(call().await).is_ok(), "a call failed");
    }
    began.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

/// A runtime for the wall's time.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}
