//! The listener that answers scrapes. It speaks plain HTTP on loopback and only ever reads: whoever can reach it can
//! see what the fleet's own user sees with `eastfall status`, and change nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, StatusCode};
use tokio::net::TcpListener;

use super::FleetMetrics;
use super::book::Format;
use crate::failure::Failure;
use crate::web::{self, WebServer};

/// The port on which OpenTelemetry's exporters for Prometheus listen by default.
const PORT: u16 = 9464;

/// Listens where it was asked to, or at the usual port; if another fleet has that, at one that is free.
///
/// # Errors
/// If the address that was asked for can't be had.
pub(crate) async fn listen(asked: Option<SocketAddr>) -> Result<TcpListener, Failure> {
    let Some(address) = asked else { return web::listen(Ipv4Addr::LOCALHOST.into(), PORT).await };
    let error = |error| Failure(format!("metrics can't be served at {address}: {error}; see --metrics"));
    TcpListener::bind(address).await.map_err(error)
}

/// Serves a fleet's metrics.
///
/// # Errors
/// If the listener does not say where it listens.
pub(crate) fn open(listener: TcpListener, metrics: Arc<FleetMetrics>) -> Result<WebServer, Failure> {
    WebServer::open(listener, "metrics", |address| {
        Router::new().fallback(answer).with_state(Arc::new(Site { address, metrics }))
    })
}

struct Site {
    address: SocketAddr,
    metrics: Arc<FleetMetrics>,
}

async fn answer(State(site): State<Arc<Site>>, request: Request) -> Response {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = Response::new(Body::from("only GET and HEAD are answered here\n"));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    // Targets are named as whoever asks reaches us: through a tunnel that is another address than ours.
    let host = header(HOST).map_or_else(|| site.address.to_string(), str::to_owned);
    let format = Format::accepted(header(ACCEPT).unwrap_or_default());
    let page = site.metrics.page(request.uri().path(), &host, format);
    let mut response = Response::new(Body::from(page.text));
    *response.status_mut() = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    response
}
