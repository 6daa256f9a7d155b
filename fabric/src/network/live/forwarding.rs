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

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::future::{BoxFuture, Either, join, ready, select};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::network::{ConnectError, Hop};

    /// Passes everything on to one address, or refuses it.
    struct To(Option<Ipv4Addr>);

    impl Forwarder for To {
        fn choose(&self) -> BoxFuture<'_, Result<Hop, ConnectError>> {
            let hop = self.0.map(|to| Hop { to, held: None });
            Box::pin(ready(hop.ok_or_else(|| ConnectError("nobody serves".to_owned()))))
        }
    }

    /// What a client hears that says hello through a forwarder to a server that answers in capitals.
    async fn heard(front: Ipv4Addr, back: Ipv4Addr, forwarder: To) -> String {
        let server = TcpListener::bind((back, 0)).await.expect("a free port");
        let port = server.local_addr().expect("bound").port();
        let listener = TcpListener::bind((front, port)).await.expect("the same port elsewhere");
        let serve = async {
            let (mut stream, _) = server.accept().await.expect("a connection");
            let mut said = [0; 5];
            stream.read_exact(&mut said).await.expect("five bytes");
            stream.write_all(&said.to_ascii_uppercase()).await.expect("an answer");
        };
        let ask = async {
            let mut stream = connect(front, port).await.expect("the forwarder listens");
            let mut answer = String::new();
            // A connection that was refused may be gone before anything was said.
            let _ = stream.write_all(b"hello").await;
            let _ = stream.read_to_string(&mut answer).await;
            answer
        };
        let refuses = forwarder.0.is_none();
        let dialogue = async { if refuses { ask.await } else { join(ask, serve).await.0 } };
        match select(pin!(dialogue), pin!(run(listener, Arc::new(forwarder), port))).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => panic!("a forwarder never ends"),
        }
    }

    #[tokio::test]
    async fn bytes_go_both_ways() {
        let (front, back) = (Ipv4Addr::new(127, 0, 40, 1), Ipv4Addr::new(127, 0, 40, 2));
        assert_eq!(heard(front, back, To(Some(back))).await, "HELLO");
    }

    #[tokio::test]
    async fn a_refused_connection_is_closed() {
        let (front, back) = (Ipv4Addr::new(127, 0, 40, 3), Ipv4Addr::new(127, 0, 40, 4));
        assert_eq!(heard(front, back, To(None)).await, "", "nothing but the end");
    }
}
