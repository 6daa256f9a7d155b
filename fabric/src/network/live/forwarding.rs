//! Passing TCP connections on, byte by byte, without looking into them.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};

use crate::network::Forwarder;

/// Takes connections for as long as its process lives.
#[expect(clippy::disallowed_methods, reason = "a process is one instance: its tasks die with it")]
pub(super) async fn run(listener: TcpListener, forwarder: Arc<dyn Forwarder>, port: u16) {
    loop {
        match listener.accept().await {
            Ok((incoming, _)) => drop(tokio::spawn(pass_on(incoming, Arc::clone(&forwarder), port))),
            // The peer was gone before it was taken, or there are no descriptors left: the next may do better.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn pass_on(mut incoming: TcpStream, forwarder: Arc<dyn Forwarder>, port: u16) {
    let outcome: io::Result<()> = async {
        let hop = forwarder.choose().await.map_err(|why| io::Error::other(why.to_string()))?;
        let mut outgoing = connect(hop.to, port).await?;
        incoming.set_nodelay(true)?;
        outgoing.set_nodelay(true)?;
        tokio::io::copy_bidirectional(&mut incoming, &mut outgoing).await.map(drop)
    }
    .await;
    // The caller sees its connection closed, which is all that it can see.
    if let Err(error) = outcome {
        tracing::debug!(%error, "a forwarded connection ended");
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the live edge of the world's connections")]
async fn connect(to: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    TcpStream::connect((to, port)).await
}
