//! Live DNS: the authoritative server on UDP and TCP that `dig` can ask, and the sockets the lab's resolvers ask through.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hickory_proto::op::{
    Edns, Header, HeaderCounts, Message, MessageType, Metadata, OpCode, ResponseCode as WireCode,
};
use hickory_proto::rr::{DNSClass, Record as WireRecord};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::{Answer, Authority, DnsError, DnsTransport, Question, wire};

/// A TCP client that says nothing for so long (of the wall) is cut off.
const TCP_IDLE: Duration = Duration::from_secs(30);

/// Answers that may wait to be sent on one TCP connection.
const TCP_ANSWERS: usize = 32;

/// A running name server; it stops when this is dropped.
pub struct NameServer {
    address: SocketAddr,
    _server: hickory_server::Server<Front>,
}

impl NameServer {
    /// Answers on UDP and TCP at one address and port; port 0 takes one that is free.
    ///
    /// # Errors
    /// If the address can't be bound.
    pub async fn start(address: SocketAddr, authority: Arc<dyn Authority>) -> io::Result<Self> {
        let datagrams = UdpSocket::bind(address).await?;
        let address = datagrams.local_addr()?;
        let streams = TcpListener::bind(address).await?;
        let mut server = hickory_server::Server::new(Front(authority));
        server.register_socket(datagrams);
        server.register_listener(streams, TCP_IDLE, TCP_ANSWERS);
        Ok(NameServer { address, _server: server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl std::fmt::Debug for NameServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NameServer({})", self.address)
    }
}

/// The authority behind hickory's server loop.
struct Front(Arc<dyn Authority>);

#[async_trait::async_trait]
impl RequestHandler for Front {
    async fn handle_request<R: ResponseHandler, T: hickory_server::net::runtime::Time>(
        &self,
        request: &Request,
        mut responses: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        let (answers, authorities) = match self.respond(request, &mut metadata).await {
            Ok(sections) => sections,
            // Silence: nothing goes out.
            Err(DnsError::NoReply) => {
                return ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() });
            }
            Err(error) => {
                tracing::warn!(%error, "a name can't be answered");
                metadata.response_code = WireCode::ServFail;
                (Vec::new(), Vec::new())
            }
        };
        let mut edns = Edns::new();
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if request.edns.is_some() {
            // The server cuts a datagram at the size its own EDNS record names, so it names the smaller of the two.
            edns.set_max_payload(request.max_payload().min(wire::MAX_DATAGRAM));
            edns.set_rcode_high((u16::from(metadata.response_code) >> 4) as u8);
            builder.edns(&edns);
        }
        let none = || -> [&WireRecord; 0] { [] };
        let response = builder.build(metadata, &answers, none(), &authorities, none());
        responses.send_response(response).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "an answer can't be sent");
            ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
        })
    }
}

type Sections = (Vec<WireRecord>, Vec<WireRecord>);

impl Front {
    async fn respond(&self, request: &Request, metadata: &mut Metadata) -> Result<Sections, DnsError> {
        let mut refuse = |code| {
            metadata.response_code = code;
            Ok((Vec::new(), Vec::new()))
        };
        if request.metadata.message_type != MessageType::Query || request.metadata.op_code != OpCode::Query {
            return refuse(WireCode::NotImp);
        }
        if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return refuse(WireCode::BADVERS);
        }
        let [query] = request.queries.queries() else { return refuse(WireCode::FormErr) };
        if query.query_class() != DNSClass::IN {
            return refuse(WireCode::Refused);
        }
        let question = wire::question(query.name(), query.query_type());
        let answer = self.0.reply(&question).await?;
        metadata.response_code = wire::code(answer.code);
        metadata.authoritative = answer.authoritative;
        wire::records(&answer)
    }
}

/// Asks a name server over sockets.
#[derive(Debug)]
pub struct SocketTransport {
    server: SocketAddr,
    next_id: AtomicU16,
}

impl SocketTransport {
    /// A way to the server at this address.
    pub fn new(server: SocketAddr) -> Self {
        SocketTransport { server, next_id: AtomicU16::new(1) }
    }

    async fn over_udp(&self, query: &Message) -> Result<Message, DnsError> {
        // A socket per question: an answer that comes too late finds nobody.
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.map_err(silence)?;
        socket.connect(self.server).await.map_err(silence)?;
        socket.send(&bytes(query)?).await.map_err(silence)?;
        let mut buffer = vec![0; usize::from(wire::MAX_DATAGRAM)];
        loop {
            let length = socket.recv(&mut buffer).await.map_err(silence)?;
            // What is no answer to this question is passed over, as RFC 5452 asks for.
            if let Ok(message) = Message::from_vec(&buffer[..length])
                && answers(&message, query)
            {
                return Ok(message);
            }
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the live edge: DNS itself can't be dialled by name"
    )]
    async fn over_tcp(&self, query: &Message) -> Result<Message, DnsError> {
        let mut stream = TcpStream::connect(self.server).await.map_err(silence)?;
        let query_bytes = bytes(query)?;
        let length = u16::try_from(query_bytes.len()).map_err(|_| malformed("the query is too long"))?;
        stream.write_all(&[&length.to_be_bytes()[..], &query_bytes].concat()).await.map_err(silence)?;
        let length = stream.read_u16().await.map_err(silence)?;
        let mut buffer = vec![0; usize::from(length)];
        stream.read_exact(&mut buffer).await.map_err(silence)?;
        let message = Message::from_vec(&buffer).map_err(malformed)?;
        if answers(&message, query) {
            Ok(message)
        } else {
            Err(malformed("the answer is to another question"))
        }
    }
}

impl DnsTransport for SocketTransport {
    fn ask<'a>(&'a self, question: &'a Question, over_tcp: bool) -> BoxFuture<'a, Result<Answer, DnsError>> {
        Box::pin(async move {
            let query = wire::query(self.next_id.fetch_add(1, Ordering::Relaxed), question)?;
            let message = if over_tcp { self.over_tcp(&query).await? } else { self.over_udp(&query).await? };
            wire::answer(&message)
        })
    }
}

/// A dead server's host says on loopback that nobody listens there; a machine that is gone says nothing. The lab's
/// servers are machines of their own, so both are silence, and virtual time does the same.
fn silence(error: io::Error) -> DnsError {
    tracing::debug!(%error, "the name server can't be reached");
    DnsError::NoReply
}

fn malformed(error: impl std::fmt::Display) -> DnsError {
    DnsError::Malformed(error.to_string())
}

fn bytes(message: &Message) -> Result<Vec<u8>, DnsError> {
    message.to_vec().map_err(malformed)
}

fn answers(message: &Message, query: &Message) -> bool {
    message.metadata.id == query.metadata.id && message.queries == query.queries
}

#[cfg(test)]
mod tests {
    use super::super::{Record, RecordData, RecordType, ResponseCode, Soa};
    use super::*;
    use eastfall_topology::time::Span;

    /// `many` has so many addresses that they fit no datagram; `silent` never answers; the rest does not exist.
    struct Zone;
    impl Authority for Zone {
        fn answer(&self, question: &Question) -> Answer {
            let record = |number: u16| Record {
                name: question.name.clone(),
                ttl: Span::from_secs(5),
                data: RecordData::A(Ipv4Addr::from(0x7f29_0000 + u32::from(number))),
            };
            match question.name.as_str() {
                "many.test" => Answer::of((0..500).map(record).collect()),
                "one.test" => Answer::of(vec![record(1)]),
                _ => {
                    let (ttl, minimum) = (Span::from_mins(15), Span::from_mins(15));
                    let (primary, contact) = ("ns.test".into(), "hostmaster.test".into());
                    let soa = Soa { zone: "test".into(), primary, contact, serial: 3, ttl, minimum };
                    Answer::nothing(ResponseCode::NxDomain, Some(soa))
                }
            }
        }

        fn reply<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, DnsError>> {
            let silent = question.name == "silent.test";
            Box::pin(async move { if silent { Err(DnsError::NoReply) } else { Ok(self.answer(question)) } })
        }
    }

    fn with_server<T>(body: impl AsyncFnOnce(SocketAddr) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let server =
                NameServer::start((Ipv4Addr::LOCALHOST, 0).into(), Arc::new(Zone)).await.expect("it starts");
            body(server.address()).await
        })
    }

    #[test]
    fn an_address_comes_over_udp_and_over_tcp() {
        with_server(async |address| {
            let transport = SocketTransport::new(address);
            let question = Question::new("one.test", RecordType::A);
            for over_tcp in [false, true] {
                let answer = transport.ask(&question, over_tcp).await.expect("an answer");
                assert_eq!(answer, Zone.answer(&question), "over TCP: {over_tcp}");
            }
        });
    }

    #[test]
    fn what_does_not_fit_a_datagram_is_truncated_and_whole_over_tcp() {
        with_server(async |address| {
            let transport = SocketTransport::new(address);
            let question = Question::new("many.test", RecordType::A);
            let cut = transport.ask(&question, false).await.expect("an answer");
            assert!(cut.truncated && cut.records.len() < 500, "{} records over UDP", cut.records.len());
            let whole = transport.ask(&question, true).await.expect("an answer");
            assert_eq!((whole.truncated, whole.records.len()), (false, 500));
        });
    }

    #[test]
    fn an_absence_carries_the_soa() {
        with_server(async |address| {
            let question = Question::new("none.test", RecordType::A);
            let answer = SocketTransport::new(address).ask(&question, false).await.expect("an answer");
            assert_eq!(answer, Zone.answer(&question));
        });
    }

    /// What the server says to a hand-made message.
    async fn exchange(address: SocketAddr, message: &Message) -> Message {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        socket.send_to(&message.to_vec().expect("bytes"), address).await.expect("sent");
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).await.expect("received");
        Message::from_vec(&buffer[..length]).expect("a message")
    }

    #[test]
    fn a_client_without_edns_gets_no_more_than_512_bytes() {
        with_server(async |address| {
            let mut query = wire::query(5, &Question::new("many.test", RecordType::A)).expect("a query");
            query.edns = None;
            let response = exchange(address, &query).await;
            assert!(response.edns.is_none() && response.metadata.truncation);
            assert!(response.to_vec().expect("bytes").len() <= 512);
        });
    }

    #[test]
    fn another_edns_version_and_another_operation_are_refused_by_name() {
        with_server(async |address| {
            let mut query = wire::query(5, &Question::new("one.test", RecordType::A)).expect("a query");
            query.edns.as_mut().expect("edns").set_version(1);
            let refused = exchange(address, &query).await.metadata.response_code;
            assert_eq!(u16::from(refused), u16::from(WireCode::BADVERS), "the same number as BADSIG");
            let mut notify = wire::query(6, &Question::new("one.test", RecordType::A)).expect("a query");
            notify.metadata.op_code = OpCode::Notify;
            assert_eq!(exchange(address, &notify).await.metadata.response_code, WireCode::NotImp);
        });
    }

    #[test]
    fn silence_is_silence_and_leaves_the_server_at_work() {
        with_server(async |address| {
            let transport = SocketTransport::new(address);
            let (silent, one) =
                (Question::new("silent.test", RecordType::A), Question::new("one.test", RecordType::A));
            let mut waiting = transport.ask(&silent, false);
            let answered = transport.ask(&one, false);
            let first = futures_util::future::select(&mut waiting, answered).await;
            assert!(
                matches!(first, futures_util::future::Either::Right((Ok(_), _))),
                "only the other one is answered"
            );
        });
    }
}
