//! A typed call: one RPC as a value that policies can hold, repeat, delay and refuse.
//!
//! Retry, hedging and the rest need to send the same request more than once. A message of prost is `Clone`, an HTTP
//! body is not, so the lab's policies work on typed calls and the codec lies beneath them. The build script writes
//! the bridges for every service: a call into an implementation of tonic's generated server trait (virtual time), a
//! call onto the generated client (live), and the generated server onto a call (the other end of the wire).

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use prost::Message;
use tonic::{Code, Request, Status};

use crate::trace::Trace;

/// A message of any type, shared: cloning it for a retry copies a pointer.
#[derive(Clone)]
pub struct Payload(Arc<dyn Any + Send + Sync>);

impl Payload {
    /// Wraps a message.
    pub fn new<T: Send + Sync + 'static>(message: T) -> Self {
        Payload(Arc::new(message))
    }

    /// The message, copied only if somebody else still holds it.
    ///
    /// # Errors
    /// `internal` if the payload is of another type, which is a fault of the caller's code.
    pub fn take<T: Clone + Send + Sync + 'static>(self) -> Result<T, Status> {
        let message = self.0.downcast::<T>().map_err(|_| {
            Status::internal(format!(
                "the payload is not a {}: method and message don't match",
                std::any::type_name::<T>()
            ))
        })?;
        Ok(Arc::try_unwrap(message).unwrap_or_else(|shared| T::clone(&shared)))
    }

    /// The message, if it is of this type.
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payload")
    }
}

/// One method of an API, as data.
#[derive(Debug)]
pub struct Method {
    /// Full name of the service, such as `eastfall.dynamodb.v1.DynamoDb`.
    pub service: &'static str,
    /// Name within the service, such as `GetItem`.
    pub name: &'static str,
    /// Path on the wire, such as `/eastfall.dynamodb.v1.DynamoDb/GetItem`.
    pub path: &'static str,
    /// Position within the service's methods.
    pub index: usize,
    /// How its messages go to bytes and back.
    pub codec: &'static Codec,
}

/// How a method's messages go to bytes and back, for callers that know a method by its name only.
#[derive(Debug)]
pub struct Codec {
    /// Reads a request.
    pub decode_request: fn(&[u8]) -> Result<Payload, Status>,
    /// Writes a response.
    pub encode_response: fn(&Payload) -> Result<Vec<u8>, Status>,
}

impl Codec {
    /// The codec of a method with these messages.
    pub const fn of<Req, Resp>() -> Codec
    where
        Req: Message + Default + Clone + 'static,
        Resp: Message + Default + Clone + 'static,
    {
        Codec { decode_request: decode::<Req>, encode_response: encode::<Resp> }
    }
}

fn decode<T: Message + Default + 'static>(bytes: &[u8]) -> Result<Payload, Status> {
    T::decode(bytes).map(Payload::new).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn encode<T: Message + 'static>(payload: &Payload) -> Result<Vec<u8>, Status> {
    payload
        .get::<T>()
        .map(Message::encode_to_vec)
        .ok_or_else(|| Status::internal("the payload is of another type"))
}

/// A method together with the types of its messages.
pub struct Rpc<Req, Resp> {
    method: &'static Method,
    messages: PhantomData<fn(Req) -> Resp>,
}

impl<Req, Resp> Rpc<Req, Resp> {
    /// Names a method; only generated code does.
    pub const fn new(method: &'static Method) -> Self {
        Rpc { method, messages: PhantomData }
    }
    /// The method without its types.
    pub const fn method(&self) -> &'static Method {
        self.method
    }
}

impl<Req: Send + Sync + 'static, Resp> Rpc<Req, Resp> {
    /// A call of this method, first attempt, without a deadline.
    pub fn call(&self, request: Req) -> Call {
        Call { method: self.method, body: Payload::new(request), context: Context::default() }
    }
}

/// What travels with a call beside its message. On the wire: metadata.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// When the caller gives up, in nanoseconds of incident time since the start of the run.
    pub deadline: Option<u64>,
    /// 0 for the first attempt, 1 for the first retry and so on; added up over layers that retry.
    pub attempt: u32,
    /// Name of the calling service.
    pub caller: Option<Arc<str>>,
    /// The span above, if anybody traces.
    pub trace: Option<Arc<Trace>>,
}

/// One RPC on its way.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is called.
    pub method: &'static Method,
    /// The request.
    pub body: Payload,
    /// Deadline, attempt, caller, trace.
    pub context: Context,
}

/// How a call ended: the response, or a gRPC status.
pub type Outcome = Result<Payload, Status>;

/// The future of an [`Outcome`].
pub type CallFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Whatever can answer a call: a service, a connection to one, or a layer around either.
pub trait Handler: Send + Sync + 'static {
    /// Answers one call. Dropping the future means that the caller no longer waits.
    fn handle(&self, call: Call) -> CallFuture;
}

/// A handler that many hold.
pub type SharedHandler = Arc<dyn Handler>;

/// An API: its name, its methods, and its two ends of a wire.
pub struct Api {
    /// Full name, such as `eastfall.dynamodb.v1.DynamoDb`.
    pub name: &'static str,
    /// All methods, in the order of the `.proto` file.
    pub methods: fn() -> Vec<&'static Method>,
    /// The generated server over a handler, as an HTTP service in this process.
    pub serve: fn(SharedHandler) -> Wire,
    /// The same, added to the routes of a real server.
    pub add: fn(&mut tonic::service::RoutesBuilder, SharedHandler),
    /// The generated client over a wire, as a handler.
    pub connect: fn(Wire) -> SharedHandler,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Api({})", self.name)
    }
}

/// An HTTP service that speaks gRPC: a channel to another process, or a generated server in this one.
pub type Wire = tower::util::BoxCloneSyncService<
    http::Request<tonic::body::Body>,
    http::Response<tonic::body::Body>,
    WireError,
>;

/// Why a wire broke. A named type, since a boxed one trips over the compiler's `From is not general enough`.
#[derive(Debug)]
pub struct WireError(pub tower::BoxError);

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for WireError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.0.as_ref())
    }
}

const DEADLINE: &str = "eastfall-deadline";
const ATTEMPT: &str = "eastfall-attempt";
const CALLER: &str = "eastfall-caller";
/// W3C's name, so that other people's clients and servers take part.
const TRACE: &str = "traceparent";

impl Context {
    fn from_metadata(metadata: &tonic::metadata::MetadataMap) -> Self {
        let text = |key| metadata.get(key).and_then(|value| value.to_str().ok());
        Context {
            deadline: text(DEADLINE).and_then(|text| text.parse().ok()),
            attempt: text(ATTEMPT).and_then(|text| text.parse().ok()).unwrap_or(0),
            caller: text(CALLER).map(Arc::from),
            trace: text(TRACE).and_then(|text| text.parse().ok()).map(Arc::new),
        }
    }

    fn write_to(&self, metadata: &mut tonic::metadata::MetadataMap) {
        let mut put = |key: &'static str, text: &str| {
            if let Ok(value) = text.parse() {
                metadata.insert(key, value);
            }
        };
        if let Some(deadline) = self.deadline {
            put(DEADLINE, &deadline.to_string());
        }
        if self.attempt > 0 {
            put(ATTEMPT, &self.attempt.to_string());
        }
        if let Some(caller) = &self.caller {
            put(CALLER, caller);
        }
        if let Some(trace) = &self.trace {
            put(TRACE, &trace.to_string());
        }
    }
}

impl Call {
    /// The request as a server trait takes it; the [`Context`] is among its extensions.
    ///
    /// # Errors
    /// `internal` if the payload is of another type.
    pub fn into_request<T: Clone + Send + Sync + 'static>(self) -> Result<Request<T>, Status> {
        let mut request = Request::new(self.body.take()?);
        request.extensions_mut().insert(self.context);
        Ok(request)
    }

    /// The request as the generated client sends it; the [`Context`] is in its metadata.
    ///
    /// # Errors
    /// `internal` if the payload is of another type.
    pub fn into_wire_request<T: Clone + Send + Sync + 'static>(self) -> Result<Request<T>, Status> {
        let mut request = Request::new(self.body.take()?);
        self.context.write_to(request.metadata_mut());
        Ok(request)
    }
}

/// What the generated bridges stand on.
pub mod generated {
    use super::*;

    pub use std::sync::Arc;

    /// Erases a generated server's type.
    pub(crate) fn wire<S>(server: S) -> Wire
    where
        S: tower::Service<
                http::Request<tonic::body::Body>,
                Response = http::Response<tonic::body::Body>,
                Error = std::convert::Infallible,
            > + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        use tower::ServiceExt as _;
        tower::util::BoxCloneSyncService::new(server.map_err(|never| match never {}))
    }

    /// A typed response as an outcome.
    pub(crate) fn answer<T: Send + Sync + 'static>(response: Result<tonic::Response<T>, Status>) -> Outcome {
        response.map(|response| Payload::new(response.into_inner()))
    }

    /// The status for a call that came to the wrong server.
    pub(crate) fn unimplemented(call: &Call) -> Status {
        Status::new(Code::Unimplemented, format!("{} is not served here", call.method.path))
    }

    /// A request off the wire, handed on as a typed call.
    pub(crate) async fn from_wire<Req, Resp>(
        handler: &SharedHandler,
        method: &'static Method,
        request: Request<Req>,
    ) -> Result<tonic::Response<Resp>, Status>
    where
        Req: Send + Sync + 'static,
        Resp: Clone + Send + Sync + 'static,
    {
        let context = Context::from_metadata(request.metadata());
        let call = Call { method, body: Payload::new(request.into_inner()), context };
        Ok(tonic::Response::new(handler.handle(call).await?.take()?))
    }
}
