//! What the program's two listeners for HTTP have in common, the page and metrics: both are on loopback unless somebody
//! wants it otherwise, both have a port that people remember, and a second fleet on the same machine gets another.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::live::supervisor::detach_with_handle;

/// A site that is served; it closes when this is dropped.
pub(crate) struct WebServer {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Listens at the usual port; if somebody has that, at one that is free.
///
/// # Errors
/// If there is none.
pub(crate) async fn listen(host: IpAddr, usual: u16) -> Result<TcpListener, Failure> {
    match TcpListener::bind((host, usual)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((host, 0))
            .await
            .map_err(|error| Failure(format!("{host}: no port is free, nor is {usual}: {error}"))),
    }
}

impl WebServer {
    /// Serves on a listener what answers at its address.
    ///
    /// # Errors
    /// If the listener does not say where it listens.
    pub(crate) fn open(
        listener: TcpListener,
        what: &'static str,
        router: impl FnOnce(SocketAddr) -> Router,
    ) -> Result<WebServer, Failure> {
        let address = listener.local_addr().map_err(|error| Failure(error.to_string()))?;
        let router = router(address);
        let serving = detach_with_handle(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, what, "no longer served");
            }
        });
        Ok(WebServer { address, serving })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}
