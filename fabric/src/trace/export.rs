//! Sends spans to a collector, by OTLP over gRPC.
//!
//! Whatever the collector does must not touch the fleet: spans wait in a queue of bounded length, what does not fit is
//! counted and dropped, and a collector that is away costs a line in the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::otlp::{self, EXPORT, ExportRequest, ExportResponse, Resource, ResourceSpans, Scope, ScopeSpans};
use super::{Sink, SpanData, Value};
use crate::engine::live::LiveClock;
use crate::world::Instance;

/// Spans that may wait. At a kilobyte each this is 8 MB an instance.
const QUEUE: usize = 8_192;

/// How often spans are sent, on the wall.
const EVERY: Duration = Duration::from_secs(1);

/// How long a collector may take, on the wall.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where spans are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The collector, such as `http://127.0.0.1:4317`.
    pub endpoint: String,
    /// What is sent along, `name=value` with commas between: a key, say.
    pub headers: String,
}

/// Why spans can't be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The endpoint is no address, or one that would need encryption.
    #[error("traces can't be sent to {endpoint}: {reason}; write an address such as http://127.0.0.1:4317")]
    Endpoint {
        /// As it was given.
        endpoint: String,
        /// What is wrong.
        reason: String,
    },
    /// A header is not `name=value`. Its text is not repeated here: it may be a key.
    #[error("header {0} for traces is not NAME=VALUE in ASCII")]
    Header(usize),
}

type Headers = Vec<(MetadataKey<Ascii>, MetadataValue<Ascii>)>;

impl Settings {
    /// Whether spans can be sent like this, as far as can be said without trying.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ExportError> {
        self.endpoint()?;
        self.headers()?;
        Ok(())
    }

    fn endpoint(&self) -> Result<Endpoint, ExportError> {
        let error = |reason: String| ExportError::Endpoint { endpoint: self.endpoint.clone(), reason };
        let endpoint = Endpoint::try_from(self.endpoint.clone()).map_err(|cause| error(cause.to_string()))?;
        match endpoint.uri().scheme_str() {
            Some("http") => Ok(endpoint.timeout(PATIENCE).connect_timeout(PATIENCE)),
            Some(other) => Err(error(format!("{other} is not spoken, only http"))),
            None => Err(error("it has no scheme".to_owned())),
        }
    }

    fn headers(&self) -> Result<Headers, ExportError> {
        let pairs = self.headers.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        let read = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            let name = MetadataKey::from_bytes(name.trim().to_ascii_lowercase().as_bytes()).ok()?;
            Some((name, percent_decoded(value.trim())?.parse().ok()?))
        };
        pairs.zip(1..).map(|(pair, number)| read(pair).ok_or(ExportError::Header(number))).collect()
    }
}

/// The text behind `Basic%20abc`: values are written as in W3C's baggage. None if a `%` is followed by no number.
fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (number, rest) = (part.get(..2)?, part.get(2..)?);
        bytes.push(u8::from_str_radix(number, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// Sends an instance's spans. Clones send the same ones.
#[derive(Clone)]
pub struct Exporter(Arc<Inner>);

struct Inner {
    channel: Channel,
    headers: Headers,
    resource: Resource,
    clock: LiveClock,
    origin: u64,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    spans: Vec<SpanData>,
    dropped: u64,
}

impl Exporter {
    /// An exporter for an instance. The incident began at `origin`, in nanoseconds of the Unix epoch: spans have the
    /// wall's time, where every other tool looks for them.
    ///
    /// # Errors
    /// If the settings are not sound.
    pub fn new(
        settings: &Settings,
        instance: &Instance,
        clock: LiveClock,
        origin: u64,
    ) -> Result<Exporter, ExportError> {
        let text = |key, value: &str| otlp::key_value(key, Value::Text(value.to_owned()));
        let resource = Resource {
            attributes: vec![
                text("service.name", &instance.service),
                text("service.namespace", &instance.system),
                text("service.instance.id", &instance.name),
                text("service.version", env!("CARGO_PKG_VERSION")),
                otlp::key_value("eastfall.speed", Value::Float(clock.speed())),
            ],
        };
        Ok(Exporter(Arc::new(Inner {
            channel: settings.endpoint()?.connect_lazy(),
            headers: settings.headers()?,
            resource,
            clock,
            origin,
            queue: Mutex::default(),
        })))
    }

    /// Sends what comes, for as long as it is polled.
    #[expect(clippy::disallowed_methods, reason = "a collector lives on the wall's time")]
    pub async fn run(self) {
        let mut well = true;
        loop {
            tokio::time::sleep(EVERY).await;
            match self.flush().await {
                Ok(()) => well = true,
                // Once, not every second.
                Err(status) if well => {
                    well = false;
                    tracing::warn!(code = ?status.code(), reason = status.message(), "traces were not taken");
                }
                Err(_) => {}
            }
        }
    }

    /// Sends what there is.
    ///
    /// # Errors
    /// What the collector said; the spans are lost.
    pub async fn flush(&self) -> Result<(), Status> {
        let Queue { spans, dropped } = std::mem::take(&mut *self.queue());
        if dropped > 0 {
            tracing::warn!(dropped, "more spans than can be sent; lower --trace-ratio");
        }
        if spans.is_empty() {
            return Ok(());
        }
        let mut request = Request::new(self.request(spans));
        for (name, value) in &self.0.headers {
            request.metadata_mut().insert(name.clone(), value.clone());
        }
        let mut client = tonic::client::Grpc::new(self.0.channel.clone());
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = tonic_prost::ProstCodec::<ExportRequest, ExportResponse>::default();
        let answer = client.unary(request, PathAndQuery::from_static(EXPORT), codec).await?;
        match answer.into_inner().partial_success {
            Some(partial) if partial.rejected_spans > 0 => {
                let (rejected, reason) = (partial.rejected_spans, partial.error_message);
                Err(Status::invalid_argument(format!("{rejected} spans were rejected: {reason}")))
            }
            _ => Ok(()),
        }
    }

    fn request(&self, spans: Vec<SpanData>) -> ExportRequest {
        let unix = |moment: eastfall_topology::time::Moment| {
            self.0.origin + (moment.as_nanos() as f64 / self.0.clock.speed()) as u64
        };
        let spans = spans.into_iter().map(|span| {
            let (start, end) = (unix(span.start), unix(span.end));
            otlp::span(span, start, end)
        });
        let scope = Scope { name: "eastfall".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans: spans.collect() }];
        let resource = Some(self.0.resource.clone());
        ExportRequest { resource_spans: vec![ResourceSpans { resource, scope_spans }] }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Exporter {
    fn take(&self, span: SpanData) {
        let mut queue = self.queue();
        if queue.spans.len() < QUEUE {
            queue.spans.push(span);
        } else {
            queue.dropped += 1;
        }
    }
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exporter")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &str) -> Result<Vec<(String, String)>, ExportError> {
        let settings = Settings { endpoint: "http://127.0.0.1:4317".to_owned(), headers: text.to_owned() };
        let pair = |(name, value): &(MetadataKey<Ascii>, MetadataValue<Ascii>)| {
            (name.to_string(), value.to_str().unwrap_or_default().to_owned())
        };
        Ok(settings.headers()?.iter().map(pair).collect())
    }

    #[test]
    fn headers_are_read_as_opentelemetry_writes_them() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(headers(""), Ok(vec![]));
        assert_eq!(
            headers("Authorization=Basic%20YTpi, x-team=lab=1"),
            Ok(vec![pair("authorization", "Basic YTpi"), pair("x-team", "lab=1")])
        );
    }

    #[test]
    fn a_header_that_can_not_be_sent_is_named_by_its_number() {
        for text in ["a=1,b", "a=1,b c=2", "a=1,b=%2", "a=1,b=%zz", "a=1,b=%0a"] {
            let refused = headers(text).unwrap_err();
            assert_eq!(refused, ExportError::Header(2), "{text}");
            assert!(!refused.to_string().contains("a=1"), "{refused}");
        }
    }
}
