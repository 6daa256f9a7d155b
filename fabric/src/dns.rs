//! DNS: the questions, the answers, and who asks whom.
//!
//! What the lab must get right here is what a client sees when a name's records are gone: an answer without records,
//! kept by its resolver for as long as the zone's SOA says ([`cache`]). The types are those of the wire without its
//! bytes: in virtual time a question goes straight to an [`Authority`]; live it goes over UDP and TCP ([`live`],
//! [`wire`]) to a server around the same authority, and `dig` is answered too.
//!
//! Names are in lower case and have no final dot.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use eastfall_topology::time::Span;
use futures_util::future::BoxFuture;

pub mod cache;
pub mod fault;
pub mod live;
pub mod resolver;
pub mod wire;

/// What kind of record is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordType {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// A text.
    Txt,
    /// Another name for the name.
    Cname,
    /// The start of a zone of authority.
    Soa,
    /// A type of which no zone here has a record, by its number: it is answered with zero records.
    Other(u16),
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// The name, in lower case and without a final dot.
    pub name: String,
    /// What is asked about it.
    pub record_type: RecordType,
}

/// How an answer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResponseCode {
    /// The name exists; that does not mean that it has a record of the type.
    NoError,
    /// The name does not exist.
    NxDomain,
    /// The server failed.
    ServFail,
    /// The server has nothing to say about the name.
    Refused,
    /// The server does not do what was asked.
    NotImplemented,
}

/// A record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub name: String,
    /// How long it may be kept.
    pub ttl: Span,
    /// What it says.
    pub data: RecordData,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordData {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A text.
    Txt(String),
    /// The name that stands for this one.
    Cname(String),
    /// The start of a zone of authority.
    Soa(Soa),
}

/// The start of a zone of authority: sent along where there is nothing to answer, so that resolvers know how long they
/// may believe that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soa {
    /// The zone's name.
    pub zone: String,
    /// The zone's first name server.
    pub primary: String,
    /// Whom to write to, as a name.
    pub contact: String,
    /// Grows with each change of the zone.
    pub serial: u32,
    /// How long the SOA itself may be kept.
    pub ttl: Span,
    /// The field `minimum`: how long the absence of a record may be kept (RFC 2308, section 4).
    pub minimum: Span,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it begins.
    pub code: ResponseCode,
    /// The records: those of the name asked for, and the aliases (CNAME) on the way.
    pub records: Vec<Record>,
    /// The zone's SOA, where there is nothing to answer.
    pub soa: Option<Soa>,
    /// From the zone's own server.
    pub authoritative: bool,
    /// There is more than fits into a datagram: ask again over TCP.
    pub truncated: bool,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// Silence. A transport or an authority may say so at once; a resolver waits until its time is up all the same.
    #[error("no name server answered in time")]
    NoReply,
    /// The server answered, but not the question.
    #[error("the name server answered {0}")]
    Answered(ResponseCode),
    /// The question can't be asked, or the answer can't be read.
    #[error("malformed DNS message: {0}")]
    Malformed(String),
}

/// Knows the answers for some zones.
pub trait Authority: Send + Sync {
    /// The answer, at once.
    fn answer(&self, question: &Question) -> Answer;

    /// The SOA of the zone that a name belongs to.
    fn soa(&self, name: &str) -> Option<Soa> {
        let _ = name;
        None
    }

    /// The answer as it comes over the network: perhaps late, perhaps never.
    fn reply<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, DnsError>> {
        Box::pin(std::future::ready(Ok(self.answer(question))))
    }
}

/// The way to a name server.
pub trait DnsTransport: Send + Sync {
    /// Asks once and waits; there is no time limit here.
    fn ask<'a>(&'a self, question: &'a Question, over_tcp: bool) -> BoxFuture<'a, Result<Answer, DnsError>>;
}

// === impl RecordType ===

impl RecordType {
    /// The number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            RecordType::A => 1,
            RecordType::Cname => 5,
            RecordType::Soa => 6,
            RecordType::Txt => 16,
            RecordType::Aaaa => 28,
            RecordType::Other(number) => number,
        }
    }

    /// The type with this number.
    pub const fn of_number(number: u16) -> Self {
        match number {
            1 => RecordType::A,
            5 => RecordType::Cname,
            6 => RecordType::Soa,
            16 => RecordType::Txt,
            28 => RecordType::Aaaa,
            other => RecordType::Other(other),
        }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordType::A => f.write_str("A"),
            RecordType::Aaaa => f.write_str("AAAA"),
            RecordType::Txt => f.write_str("TXT"),
            RecordType::Cname => f.write_str("CNAME"),
            RecordType::Soa => f.write_str("SOA"),
            RecordType::Other(number) => write!(f, "TYPE{number}"),
        }
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResponseCode::NoError => "NOERROR",
            ResponseCode::NxDomain => "NXDOMAIN",
            ResponseCode::ServFail => "SERVFAIL",
            ResponseCode::Refused => "REFUSED",
            ResponseCode::NotImplemented => "NOTIMP",
        })
    }
}

// === impl Question ===

impl Question {
    /// A question about a name, however that is written.
    pub fn new(name: &str, record_type: RecordType) -> Self {
        Question { name: canonical(name), record_type }
    }
}

/// A name in lower case and without its final dot.
pub fn canonical(name: &str) -> String {
    let mut name = name.to_owned();
    make_canonical(&mut name);
    name
}

/// Puts a name in lower case and takes its final dot away.
pub fn make_canonical(name: &mut String) {
    if name.ends_with('.') {
        name.pop();
    }
    name.make_ascii_lowercase();
}

// === impl RecordData ===

impl RecordData {
    /// The type of the record.
    pub const fn record_type(&self) -> RecordType {
        match self {
            RecordData::A(_) => RecordType::A,
            RecordData::Aaaa(_) => RecordType::Aaaa,
            RecordData::Txt(_) => RecordType::Txt,
            RecordData::Cname(_) => RecordType::Cname,
            RecordData::Soa(_) => RecordType::Soa,
        }
    }
}

// === impl Answer ===

impl Answer {
    /// An answer of the zone's own server with records.
    pub fn of(records: Vec<Record>) -> Self {
        Answer { code: ResponseCode::NoError, records, soa: None, authoritative: true, truncated: false }
    }

    /// The answer that there is nothing: with [`ResponseCode::NoError`] the name exists but has no such record.
    pub fn nothing(code: ResponseCode, soa: Option<Soa>) -> Self {
        Answer { code, records: Vec::new(), authoritative: soa.is_some(), soa, truncated: false }
    }

    /// True if it has a record of the type asked for.
    pub fn has(&self, record_type: RecordType) -> bool {
        self.records.iter().any(|record| record.data.record_type() == record_type)
    }

    /// How long the absence of records may be believed: the smaller of the SOA's own TTL and its minimum (RFC 2308,
    /// section 5). Nothing without an SOA: such an answer is not to be kept.
    pub fn negative_ttl(&self) -> Option<Span> {
        self.soa.as_ref().map(|soa| soa.ttl.min(soa.minimum))
    }
}
