//! Distributed traces of a live fleet: which call led to which, where its time went, and which fault it met.
//!
//! Metrics say that a retry storm goes on, a trace shows one: the request, its attempts side by side, what each of them
//! met at its server, and the calls that it made from there. The spans of a call are
//! - one for the **request**, all attempts together, where its caller asks for it (kind internal);
//! - one for each **attempt** that was sent, siblings beneath it (kind client), with the fault it met on its way;
//! - one at its **server**, beneath the attempt (kind server), whose calls are beneath that.
//!
//! The last is found by what a handler passes on ([`crate::network::client::Client::within`]) or, if it passes nothing
//! on, by the task it runs in; work that a handler leaves to another task begins traces of its own.
//!
//! A tracer exists only where one was asked for. In virtual time there is none, and what is left of all this is a branch
//! a call.

mod export;
mod otlp;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use eastfall_topology::time::Moment;
use rand::RngExt as _;
use tonic::Status;

pub use eastfall_proto::trace::Trace;
pub use export::{ExportError, Exporter, Settings};

use crate::call::{Call, Context, Outcome};
use crate::clock::Clock;
use crate::record::Ending;
use crate::rng::Rng;

tokio::task_local! {
    /// The span of the call that the task answers.
    static CURRENT: Arc<Trace>;
}

/// Runs a handler so that its calls are beneath a span.
pub(crate) fn beneath<F: Future>(trace: Arc<Trace>, handler: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(trace, handler)
}

/// What a span is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// A request, all attempts together.
    Request,
    /// One attempt, as its client sees it.
    Attempt,
    /// One attempt, as its server sees it.
    Server,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Seconds, say.
    Float(f64),
    /// Yes or no.
    Flag(bool),
}

/// A span that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanData {
    /// The trace.
    pub trace_id: u128,
    /// The span.
    pub span_id: u64,
    /// The span above; none for a trace's first.
    pub parent: Option<u64>,
    /// What it is of.
    pub kind: SpanKind,
    /// The method: `eastfall.dynamodb.v1.DynamoDb/GetItem`.
    pub name: &'static str,
    /// Its beginning.
    pub start: Moment,
    /// Its end.
    pub end: Moment,
    /// Attributes.
    pub attributes: Vec<(&'static str, Value)>,
    /// What went wrong.
    pub error: Option<String>,
}

/// Takes spans that have ended.
pub trait Sink: Send + Sync {
    /// Takes one; must not wait.
    fn take(&self, span: SpanData);
}

/// Makes the spans of one instance.
pub struct Tracer {
    clock: Clock,
    /// The share of traces that are kept, 0..=1.
    ratio: f64,
    rng: Mutex<Rng>,
    sink: Arc<dyn Sink>,
}

impl Tracer {
    /// A tracer that keeps a share of the traces that begin here (0..=1); of others, what their beginning said.
    ///
    /// `rng` must be another stream each time the instance starts: two spans of one number are one span.
    pub fn new(clock: Clock, ratio: f64, rng: Rng, sink: Arc<dyn Sink>) -> Arc<Tracer> {
        Arc::new(Tracer { clock, ratio, rng: Mutex::new(rng), sink })
    }

    /// The span of a request; from here on the call is beneath it.
    pub(crate) fn request(self: &Arc<Self>, call: &mut Call, callee: &str) -> OpenSpan {
        let above = call.context.trace.take().or_else(|| CURRENT.try_with(Arc::clone).ok());
        let mut span = self.begin(above.as_deref(), SpanKind::Request, call.method.path);
        span.set("server.address", || Value::Text(callee.to_owned()));
        call.context.trace = Some(Arc::clone(&span.trace));
        span
    }

    /// The span of an attempt, beneath its request's.
    pub(crate) fn attempt(self: &Arc<Self>, call: &mut Call, callee: &str, number: u32) -> OpenSpan {
        let mut span = self.begin(call.context.trace.as_deref(), SpanKind::Attempt, call.method.path);
        span.set("server.address", || Value::Text(callee.to_owned()));
        span.set("eastfall.attempt", || Value::Number(i64::from(number)));
        call.context.trace = Some(Arc::clone(&span.trace));
        span
    }

    /// The span of a call at its server. What goes on beneath is given this context.
    pub(crate) fn serve(self: &Arc<Self>, call: &Call) -> OpenSpan {
        let Context { trace, caller, attempt, .. } = &call.context;
        let mut span = self.begin(trace.as_deref(), SpanKind::Server, call.method.path);
        if let Some(caller) = caller {
            span.set("client.address", || Value::Text(caller.to_string()));
        }
        span.set("eastfall.attempt", || Value::Number(i64::from(*attempt)));
        span
    }

    fn begin(self: &Arc<Self>, above: Option<&Trace>, kind: SpanKind, path: &'static str) -> OpenSpan {
        let (drawn, span_id): (u128, u64) = {
            let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
            // Zero is no number of a span or a trace.
            (rng.random::<u128>().max(1), rng.random::<u64>().max(1))
        };
        let (trace_id, sampled) = match above {
            Some(above) => (above.trace_id, above.sampled),
            // By the last 56 bits, as OpenTelemetry's other samplers do: so they agree.
            None => (drawn, ((drawn & ((1 << 56) - 1)) as f64) < self.ratio * (1_u64 << 56) as f64),
        };
        OpenSpan {
            tracer: Arc::clone(self),
            trace: Arc::new(Trace::new(trace_id, span_id, sampled)),
            parent: above.map(|above| above.span_id),
            kind,
            name: path.trim_start_matches('/'),
            start: self.clock.now(),
            attributes: Vec::new(),
            ending: None,
        }
    }
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tracer({})", self.ratio)
    }
}

/// A span under way. It ends when it is dropped: a caller that goes away ends it too.
#[derive(Debug)]
pub(crate) struct OpenSpan {
    tracer: Arc<Tracer>,
    trace: Arc<Trace>,
    parent: Option<u64>,
    kind: SpanKind,
    name: &'static str,
    start: Moment,
    attributes: Vec<(&'static str, Value)>,
    /// How it ended, by its status: none as long as nobody said so.
    ending: Option<(Ending, Option<Status>)>,
}

impl OpenSpan {
    /// What is beneath it is given this.
    pub(crate) fn context(&self) -> &Arc<Trace> {
        &self.trace
    }

    /// Says more, if the span is kept.
    pub(crate) fn set(&mut self, key: &'static str, value: impl FnOnce() -> Value) {
        if self.trace.sampled {
            self.attributes.push((key, value()));
        }
    }

    /// How the call ended.
    pub(crate) fn ended(&mut self, outcome: &Outcome) {
        self.ended_with(Ending::of(outcome), outcome.as_ref().err());
    }

    /// The same, where the ending is known.
    pub(crate) fn ended_with(&mut self, ending: Ending, status: Option<&Status>) {
        if self.trace.sampled {
            self.ending = Some((ending, status.cloned()));
        }
    }

    fn data(&mut self) -> SpanData {
        let end = self.tracer.clock.now();
        let mut attributes = std::mem::take(&mut self.attributes);
        let mut set = |key, text: String| attributes.push((key, Value::Text(text)));
        set("rpc.system.name", "grpc".to_owned());
        set("rpc.method", self.name.to_owned());
        for (key, note) in self.trace.take_notes() {
            set(key, note);
        }
        let error = match self.ending.take() {
            Some((ending, status)) => {
                let code = status.as_ref().map_or("OK", |status| code_name(status.code()));
                set("rpc.response.status_code", code.to_owned());
                if ending != Ending::Ok {
                    set("error.type", code.to_owned());
                }
                let message = status.map(|status| status.message().to_owned()).unwrap_or_default();
                (ending != Ending::Ok).then_some(message)
            }
            None => {
                set("error.type", "CANCELLED".to_owned());
                Some("nobody waits for it any longer".to_owned())
            }
        };
        attributes.push(("eastfall.run_s", Value::Float(self.start.since_start().as_secs_f64())));
        attributes.push(("eastfall.duration_s", Value::Float(end.since(self.start).as_secs_f64())));
        SpanData {
            trace_id: self.trace.trace_id,
            span_id: self.trace.span_id,
            parent: self.parent,
            kind: self.kind,
            name: self.name,
            start: self.start,
            end,
            attributes,
            error,
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if self.trace.sampled {
            let data = self.data();
            self.tracer.sink.take(data);
        }
    }
}

/// A code as gRPC's documents write it.
fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code::*;
    match code {
        Ok => "OK",
        Cancelled => "CANCELLED",
        Unknown => "UNKNOWN",
        InvalidArgument => "INVALID_ARGUMENT",
        DeadlineExceeded => "DEADLINE_EXCEEDED",
        NotFound => "NOT_FOUND",
        AlreadyExists => "ALREADY_EXISTS",
        PermissionDenied => "PERMISSION_DENIED",
        ResourceExhausted => "RESOURCE_EXHAUSTED",
        FailedPrecondition => "FAILED_PRECONDITION",
        Aborted => "ABORTED",
        OutOfRange => "OUT_OF_RANGE",
        Unimplemented => "UNIMPLEMENTED",
        Internal => "INTERNAL",
        Unavailable => "UNAVAILABLE",
        DataLoss => "DATA_LOSS",
        Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests;
