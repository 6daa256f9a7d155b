//! The listener that answers scrapes. It speaks plain HTTP on loopback and only ever reads: whoever can reach it can
//! see what the fleet's own user sees with `eastfall status`, and change nothing.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::FleetMetrics;
use super::book::Format;
use crate::failure::Failure;
use crate::live::supervisor::{detach_with_handle, wall_sleep};

/// The port on which OpenTelemetry's exporters for Prometheus listen by default.
const PORT: u16 = 9464;

/// A listener for scrapes; it closes when this is dropped.
pub(crate) struct MetricsServer {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Listens where it was asked to, or at the usual port; if another fleet has that, at one that is free.
///
/// # Errors
/// If the address that was asked for can't be had.
pub(crate) async fn listen(asked: Option<SocketAddr>) -> Result<TcpListener, Failure> {
    let bind = async |address: SocketAddr| {
        let error = |error| Failure(format!("metrics can't be served at {address}: {error}; see --metrics"));
        TcpListener::bind(address).await.map_err(error)
    };
    if let Some(address) = asked {
        return bind(address).await;
    }
    match bind(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))).await {
        Ok(listener) => Ok(listener),
        Err(_) => bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await,
    }
}

impl MetricsServer {
    /// Serves a fleet's metrics.
    ///
    /// # Errors
    /// If the listener does not say where it listens.
    pub(crate) fn open(listener: TcpListener, metrics: Arc<FleetMetrics>) -> Result<Self, Failure> {
        let address = listener.local_addr().map_err(|error| Failure(error.to_string()))?;
        let serving = detach_with_handle(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let metrics = Arc::clone(&metrics);
                        let answer = service_fn(move |request| {
                            std::future::ready(Ok::<_, Infallible>(answer(&metrics, address, &request)))
                        });
                        let connection = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), answer);
                        // A client that goes away in the middle is its own affair.
                        drop(detach_with_handle(async move { drop(connection.await) }));
                    }
                    Err(error) => {
                        // Out of file descriptors, say: trying again at once would be a tight loop.
                        tracing::warn!(%error, "a connection for metrics was not accepted");
                        wall_sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        });
        Ok(MetricsServer { address, serving })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn answer(metrics: &FleetMetrics, address: SocketAddr, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = Response::new(Full::from("only GET and HEAD are answered here\n"));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    // Targets are named as whoever asks reaches us: through a tunnel that is another address than ours.
    let host = header(HOST).map_or_else(|| address.to_string(), str::to_owned);
    let format = Format::accepted(header(ACCEPT).unwrap_or_default());
    let page = metrics.page(request.uri().path(), &host, format);
    let mut response = Response::new(Full::from(page.text));
    *response.status_mut() = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(page.content_type));
    response
}
