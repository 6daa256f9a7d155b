//! Between the lab's types and DNS messages on the wire, both ways.
//!
//! TTLs on the wire are whole seconds of incident time, whatever speed the region runs at: `dig` shows what the zone
//! says, and the lab's resolvers read them back as incident spans.

use std::str::FromStr as _;

use eastfall_topology::time::Span;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode as WireCode};
use hickory_proto::rr::rdata::{CNAME, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record as WireRecord, RecordType as WireType};

use super::{Answer, DnsError, Question, Record, RecordData, RecordType, ResponseCode, Soa, canonical};

/// The largest datagram that we send or say we take: fits any network without fragments (DNS flag day 2020).
pub const MAX_DATAGRAM: u16 = 1232;

/// The zones' upkeep times in an SOA, in seconds: nobody transfers zones here. They are Route 53's.
const REFRESH_RETRY_EXPIRE: (i32, i32, i32) = (7200, 900, 1_209_600);

/// A string in a TXT record has at most so many bytes; longer texts are several strings.
const TXT_STRING: usize = 255;

/// The message that asks a question.
///
/// # Errors
/// If the name is not one of DNS.
pub fn query(id: u16, question: &Question) -> Result<Message, DnsError> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name(&question.name)?, WireType::from(question.record_type.number())));
    let mut edns = Edns::new();
    edns.set_max_payload(MAX_DATAGRAM);
    message.set_edns(edns);
    Ok(message)
}

/// The question of a query.
pub fn question(name: &Name, record_type: WireType) -> Question {
    Question { name: canonical(&name.to_ascii()), record_type: RecordType::of_number(u16::from(record_type)) }
}

/// The answer that a message carries.
///
/// # Errors
/// If it is not a response, or has a response code that the lab's servers don't use.
pub fn answer(message: &Message) -> Result<Answer, DnsError> {
    if message.metadata.message_type != MessageType::Response {
        return Err(DnsError::Malformed("a query came where a response was due".to_owned()));
    }
    let code = match message.metadata.response_code {
        WireCode::NoError => ResponseCode::NoError,
        WireCode::NXDomain => ResponseCode::NxDomain,
        WireCode::ServFail => ResponseCode::ServFail,
        WireCode::Refused => ResponseCode::Refused,
        WireCode::NotImp => ResponseCode::NotImplemented,
        other => return Err(DnsError::Malformed(format!("response code {other}"))),
    };
    let soa = message.authorities.iter().find_map(|record| match read(record)?.data {
        RecordData::Soa(soa) => Some(soa),
        _ => None,
    });
    Ok(Answer {
        code,
        records: message.answers.iter().filter_map(read).collect(),
        soa,
        authoritative: message.metadata.authoritative,
        truncated: message.metadata.truncation,
    })
}

/// The response code on the wire.
pub fn code(code: ResponseCode) -> WireCode {
    match code {
        ResponseCode::NoError => WireCode::NoError,
        ResponseCode::NxDomain => WireCode::NXDomain,
        ResponseCode::ServFail => WireCode::ServFail,
        ResponseCode::Refused => WireCode::Refused,
        ResponseCode::NotImplemented => WireCode::NotImp,
    }
}

/// The records of an answer on the wire: its answer section, and the SOA for its authority section.
///
/// # Errors
/// If a name is not one of DNS.
pub fn records(answer: &Answer) -> Result<(Vec<WireRecord>, Vec<WireRecord>), DnsError> {
    let answers = answer.records.iter().map(write).collect::<Result<_, _>>()?;
    let soa = answer.soa.iter().map(|soa| {
        write(&Record { name: soa.zone.clone(), ttl: soa.ttl, data: RecordData::Soa(soa.clone()) })
    });
    Ok((answers, soa.collect::<Result<_, _>>()?))
}

fn name(text: &str) -> Result<Name, DnsError> {
    let mut name =
        Name::from_str(text).map_err(|error| DnsError::Malformed(format!("name {text}: {error}")))?;
    name.set_fqdn(true);
    Ok(name)
}

fn seconds(span: Span) -> u32 {
    u32::try_from(span.as_micros() / 1_000_000).unwrap_or(u32::MAX)
}

fn write(record: &Record) -> Result<WireRecord, DnsError> {
    let data = match &record.data {
        RecordData::A(address) => RData::A((*address).into()),
        RecordData::Aaaa(address) => RData::AAAA((*address).into()),
        RecordData::Cname(target) => RData::CNAME(CNAME(name(target)?)),
        RecordData::Txt(text) => RData::TXT(TXT::from_bytes(strings(text))),
        RecordData::Soa(soa) => {
            let (refresh, retry, expire) = REFRESH_RETRY_EXPIRE;
            let (primary, contact, minimum) =
                (name(&soa.primary)?, name(&soa.contact)?, seconds(soa.minimum));
            RData::SOA(SOA::new(primary, contact, soa.serial, refresh, retry, expire, minimum))
        }
    };
    Ok(WireRecord::from_rdata(name(&record.name)?, seconds(record.ttl), data))
}

/// A text as the strings of a TXT record; an empty text is one empty string.
fn strings(text: &str) -> Vec<&[u8]> {
    if text.is_empty() { vec![b"".as_slice()] } else { text.as_bytes().chunks(TXT_STRING).collect() }
}

/// A record of a type that the lab knows.
fn read(record: &WireRecord) -> Option<Record> {
    let ttl = Span::from_secs(u64::from(record.ttl));
    let name = canonical(&record.name.to_ascii());
    let data = match &record.data {
        RData::A(address) => RecordData::A(address.0),
        RData::AAAA(address) => RecordData::Aaaa(address.0),
        RData::CNAME(target) => RecordData::Cname(canonical(&target.0.to_ascii())),
        RData::TXT(text) => RecordData::Txt(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
        RData::SOA(soa) => RecordData::Soa(Soa {
            zone: name.clone(),
            primary: canonical(&soa.mname.to_ascii()),
            contact: canonical(&soa.rname.to_ascii()),
            serial: soa.serial,
            ttl,
            minimum: Span::from_secs(u64::from(soa.minimum)),
        }),
        _ => return None,
    };
    Some(Record { name, ttl, data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn over_the_wire(answer: &Answer) -> Result<Answer, DnsError> {
        let mut message = Message::response(7, OpCode::Query);
        message.metadata.response_code = code(answer.code);
        message.metadata.authoritative = answer.authoritative;
        message.metadata.truncation = answer.truncated;
        let (answers, authorities) = records(answer)?;
        message.add_answers(answers).add_authorities(authorities);
        let bytes = message.to_vec().map_err(|error| DnsError::Malformed(error.to_string()))?;
        super::answer(&Message::from_vec(&bytes).map_err(|error| DnsError::Malformed(error.to_string()))?)
    }

    fn names() -> impl Strategy<Value = String> {
        proptest::collection::vec("[a-z0-9_]([a-z0-9-]{0,10}[a-z0-9])?", 1..6)
            .prop_map(|labels| labels.join("."))
    }

    fn soas() -> impl Strategy<Value = Soa> {
        let seconds = || (0u64..1 << 31).prop_map(Span::from_secs);
        (names(), names(), names(), any::<u32>(), seconds(), seconds()).prop_map(
            |(zone, primary, contact, serial, ttl, minimum)| Soa {
                zone,
                primary,
                contact,
                serial,
                ttl,
                minimum,
            },
        )
    }

    fn data() -> impl Strategy<Value = RecordData> {
        prop_oneof![
            any::<[u8; 4]>().prop_map(|bytes| RecordData::A(bytes.into())),
            any::<[u8; 16]>().prop_map(|bytes| RecordData::Aaaa(bytes.into())),
            names().prop_map(RecordData::Cname),
            "\\PC{0,300}".prop_map(RecordData::Txt),
        ]
    }

    fn answers() -> impl Strategy<Value = Answer> {
        let code = prop_oneof![
            Just(ResponseCode::NoError),
            Just(ResponseCode::NxDomain),
            Just(ResponseCode::ServFail),
            Just(ResponseCode::Refused),
            Just(ResponseCode::NotImplemented)
        ];
        let record = (names(), 0u64..1 << 31, data()).prop_map(|(name, ttl, data)| Record {
            name,
            ttl: Span::from_secs(ttl),
            data,
        });
        let records = proptest::collection::vec(record, 0..8);
        (code, records, proptest::option::of(soas()), any::<bool>(), any::<bool>()).prop_map(
            |(code, records, soa, authoritative, truncated)| Answer {
                code,
                records,
                soa,
                authoritative,
                truncated,
            },
        )
    }

    proptest! {
        #[test]
        fn an_answer_comes_out_of_the_wire_as_it_went_in(answer in answers()) {
            prop_assert_eq!(over_the_wire(&answer), Ok(answer));
        }

        #[test]
        fn a_question_comes_out_of_the_wire_as_it_went_in(name in names(), number in any::<u16>()) {
            let asked = Question { name, record_type: RecordType::of_number(number) };
            let bytes = query(9, &asked).expect("a query").to_vec().expect("bytes");
            let read = Message::from_vec(&bytes).expect("a message");
            prop_assert_eq!(question(read.queries[0].name(), read.queries[0].query_type()), asked);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(message) = Message::from_vec(&bytes) {
                let _ = answer(&message);
            }
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        let too_long = "x".repeat(64);
        assert!(matches!(query(1, &Question::new(&too_long, RecordType::A)), Err(DnsError::Malformed(_))));
    }
}
