//! What a resolver is told, pure: the zones, a question, and luck for weighted records.
//!
//! An alias is followed here and not by the resolver, which sees one name with an address. That has a consequence that
//! matters more than any other in this lab: a root alias **whose tree is gone** is a name that exists and has no
//! address. It is answered NOERROR with zero answers and the zone's SOA, which is no error to anybody, and which
//! resolvers keep for as long as the SOA says.
//!
//! A zone that was made and not filled yet is **not** answered for: REFUSED, as before it was made, which nobody keeps.
//! Between a zone's making and its first addresses lie a few calls. Live, at 60 times the wall, that is seconds of the
//! incident, in which half of the region would be told that there is nothing and believe it for a quarter of an hour.

use std::collections::BTreeSet;

use eastfall_fabric::Span;
use eastfall_fabric::dns::{self, Answer, Question, Record, RecordData, ResponseCode, Soa, canonical};
use eastfall_proto::route53::{RecordSet, RecordType};

use super::zone::{Zone, Zones};

/// Aliases and CNAMEs followed for one question; a chain that is longer goes round.
const MAX_CHAIN: usize = 16;

/// How long a zone's SOA may be kept, in seconds: Route 53's default.
const SOA_TTL: u64 = 900;

/// Answers a question. `draw` picks a number below the sum of weights, for each weighted name on the way.
pub fn answer(zones: &Zones, question: &Question, draw: &mut dyn FnMut(u64) -> u64) -> Answer {
    let mut chain = Vec::new();
    let mut name = question.name.clone();
    loop {
        let Some(zone) = zones.of(&name).filter(|zone| zone.is_filled()) else {
            // What a CNAME says about other people's zones is theirs to answer.
            return if chain.is_empty() {
                Answer::nothing(ResponseCode::Refused, None)
            } else {
                Answer::of(chain)
            };
        };
        if question.record_type == dns::RecordType::Soa && name == zone.name() {
            let soa = soa(zone);
            chain.push(Record { name, ttl: soa.ttl, data: RecordData::Soa(soa) });
            return Answer::of(chain);
        }
        let record_type = stored_type(question.record_type);
        let found = record_type.and_then(|record_type| follow(zone, &name, record_type, draw));
        if let Some(found) = found {
            chain.extend(data(found).map(|(ttl, data)| Record { name: name.clone(), ttl, data }));
            return Answer::of(chain);
        }
        let Some((ttl, RecordData::Cname(target))) =
            zone.records(&name, RecordType::Cname).next().and_then(|cname| data(cname).next())
        else {
            break;
        };
        if chain.len() == MAX_CHAIN {
            return Answer::nothing(ResponseCode::ServFail, None);
        }
        let data = RecordData::Cname(target.clone());
        chain.push(Record { name: std::mem::replace(&mut name, target), ttl, data });
    }
    let zone = zones.of(&name);
    let code = if zone.is_some_and(|zone| zone.has_name(&name)) {
        ResponseCode::NoError
    } else {
        ResponseCode::NxDomain
    };
    Answer { records: chain, ..Answer::nothing(code, zone.map(soa)) }
}

/// The SOA of a zone.
pub fn soa(zone: &Zone) -> Soa {
    Soa {
        zone: zone.name().to_owned(),
        primary: format!("ns-1.{}", zone.name()),
        contact: "awsdns-hostmaster.amazon.com".to_owned(),
        serial: zone.serial(),
        ttl: Span::from_secs(SOA_TTL.min(u64::from(zone.negative_ttl()))),
        minimum: Span::from_secs(u64::from(zone.negative_ttl())),
    }
}

/// How many different addresses resolvers can be given for a name: what is left of an endpoint.
pub fn addresses(zones: &Zones, name: &str) -> usize {
    let name = canonical(name);
    let mut found = BTreeSet::new();
    if let Some(zone) = zones.of(&name) {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![name.as_str()]);
        while let Some(name) = waiting.pop() {
            if !seen.insert(name) {
                continue;
            }
            for record in zone.records(name, RecordType::A) {
                found.extend(&record.values);
                waiting.extend(record.alias.as_ref().map(|alias| alias.name.as_str()));
            }
        }
    }
    found.len()
}

/// The record with values that stands at the end of the aliases from a name.
fn follow<'a>(
    zone: &'a Zone,
    name: &str,
    record_type: RecordType,
    draw: &mut dyn FnMut(u64) -> u64,
) -> Option<&'a RecordSet> {
    let mut record = choose(zone, name, record_type, draw)?;
    for _ in 0..MAX_CHAIN {
        match &record.alias {
            None => return Some(record),
            Some(alias) => record = choose(zone, &alias.name, record_type, draw)?,
        }
    }
    None
}

/// One of a name's records, with probability weight / sum of weights; all alike if every weight is zero.
fn choose<'a>(
    zone: &'a Zone,
    name: &str,
    record_type: RecordType,
    draw: &mut dyn FnMut(u64) -> u64,
) -> Option<&'a RecordSet> {
    let records: Vec<&RecordSet> = zone.records(name, record_type).collect();
    let weight = |record: &RecordSet| u64::from(record.weight.unwrap_or(1));
    if let [] | [_] = records[..] {
        return records.first().copied();
    }
    match records.iter().map(|record| weight(record)).sum() {
        0 => records.get(draw(records.len() as u64) as usize).copied(),
        total => {
            let mut left = draw(total);
            records.into_iter().find(|record| {
                let hit = left < weight(record);
                left = left.saturating_sub(weight(record));
                hit
            })
        }
    }
}

fn stored_type(record_type: dns::RecordType) -> Option<RecordType> {
    match record_type {
        dns::RecordType::A => Some(RecordType::A),
        dns::RecordType::Aaaa => Some(RecordType::Aaaa),
        dns::RecordType::Txt => Some(RecordType::Txt),
        dns::RecordType::Cname => Some(RecordType::Cname),
        dns::RecordType::Soa | dns::RecordType::Other(_) => None,
    }
}

/// A record's values as DNS data with their TTL. The store has checked that they can be read.
fn data(record: &RecordSet) -> impl Iterator<Item = (Span, RecordData)> {
    let ttl = Span::from_secs(u64::from(record.ttl));
    record.values.iter().filter_map(move |value| {
        let data = match record.r#type() {
            RecordType::A => RecordData::A(value.parse().ok()?),
            RecordType::Aaaa => RecordData::Aaaa(value.parse().ok()?),
            RecordType::Txt => RecordData::Txt(value.clone()),
            RecordType::Cname => RecordData::Cname(canonical(value)),
            RecordType::Unspecified => return None,
        };
        Some((ttl, data))
    })
}

#[cfg(test)]
#[path = "answer/tests.rs"]
mod tests;
