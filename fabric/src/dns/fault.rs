//! What faults make of DNS, put between the authority and whoever asks, so that `dig` sees it too.
//!
//! Which faults are in force for a name is asked anew for every question, so they come and go while the region runs.
//! The same faults can be in one host's resolver instead: then only that host is told wrong things.

use std::net::Ipv4Addr;
use std::sync::Arc;

use eastfall_topology::time::Span;
use futures_util::future::BoxFuture;

use super::{Answer, Authority, DnsError, Question, Record, RecordData, RecordType, ResponseCode, Soa};
use crate::clock::Clock;
use crate::fault::{DnsFault, FaultTable};

/// How long a wrong address may be kept: as long as an address of the lab's own zones (assumption).
const WRONG_ADDRESS_TTL: Span = Span::from_secs(5);

/// What the faults in force make of one question.
pub(super) struct Effect {
    /// How much later the answer comes; several faults add up.
    pub(super) late: Span,
    /// Old answers are still believed.
    pub(super) stale: bool,
    /// What is answered instead, if anything: the first fault that says so decides.
    pub(super) instead: Option<Result<Answer, DnsError>>,
}

impl Effect {
    /// The effect of faults on a question; `soa` is that of its zone, where it is known.
    pub(super) fn of(faults: &[DnsFault], question: &Question, soa: impl Fn() -> Option<Soa>) -> Self {
        let late =
            faults.iter().map(|fault| if let DnsFault::Slow(span) = fault { *span } else { Span::ZERO });
        Effect {
            late: late.fold(Span::ZERO, |sum, span| sum + span),
            stale: faults.contains(&DnsFault::Stale),
            instead: faults.iter().find_map(|fault| instead(*fault, question, &soa)),
        }
    }
}

fn instead(
    fault: DnsFault,
    question: &Question,
    soa: impl Fn() -> Option<Soa>,
) -> Option<Result<Answer, DnsError>> {
    match fault {
        DnsFault::Slow(_) | DnsFault::Stale => None,
        DnsFault::TimeOut => Some(Err(DnsError::NoReply)),
        DnsFault::Empty => Some(Ok(Answer::nothing(ResponseCode::NoError, soa()))),
        DnsFault::NxDomain => Some(Ok(Answer::nothing(ResponseCode::NxDomain, soa()))),
        DnsFault::ServFail => Some(Ok(Answer::nothing(ResponseCode::ServFail, None))),
        DnsFault::WrongAddress(address) => {
            let data = wrong_address(question.record_type, address)?;
            let record = Record { name: question.name.clone(), ttl: WRONG_ADDRESS_TTL, data };
            Some(Ok(Answer::of(vec![record])))
        }
    }
}

/// An address as a record of the type asked for: AAAA has its IPv4-mapped form.
fn wrong_address(record_type: RecordType, address: Ipv4Addr) -> Option<RecordData> {
    match record_type {
        RecordType::A => Some(RecordData::A(address)),
        RecordType::Aaaa => Some(RecordData::Aaaa(address.to_ipv6_mapped())),
        _ => None,
    }
}

/// An authority under the faults in force.
pub struct Faulty {
    authority: Arc<dyn Authority>,
    faults: FaultTable,
    clock: Clock,
}

impl Faulty {
    /// Puts the faults before the authority.
    pub fn new(authority: Arc<dyn Authority>, faults: FaultTable, clock: Clock) -> Self {
        Faulty { authority, faults, clock }
    }
}

impl Authority for Faulty {
    /// The sound answer: faults are on the way to it, in [`Authority::reply`].
    fn answer(&self, question: &Question) -> Answer {
        self.authority.answer(question)
    }

    fn soa(&self, name: &str) -> Option<Soa> {
        self.authority.soa(name)
    }

    fn reply<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, DnsError>> {
        Box::pin(async move {
            let faults = self.faults.authority_faults(&question.name);
            let effect = Effect::of(&faults, question, || self.authority.soa(&question.name));
            if !effect.late.is_zero() {
                self.clock.sleep(effect.late).await;
            }
            effect.instead.unwrap_or_else(|| Ok(self.authority.answer(question)))
        })
    }
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faulty")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sim;
    use crate::rng::stream;

    struct One;
    impl Authority for One {
        fn answer(&self, question: &Question) -> Answer {
            let data = RecordData::A(Ipv4Addr::LOCALHOST);
            Answer::of(vec![Record { name: question.name.clone(), ttl: Span::from_secs(5), data }])
        }
        fn soa(&self, name: &str) -> Option<Soa> {
            let (ttl, minimum) = (Span::from_mins(15), Span::from_mins(15));
            Some(Soa {
                zone: name.into(),
                primary: "ns".into(),
                contact: "x".into(),
                serial: 1,
                ttl,
                minimum,
            })
        }
    }

    fn reply(name: &'static str, faults: &[&str]) -> (Result<Answer, DnsError>, Span) {
        let (clock, table) = (Clock::virtual_time(), FaultTable::new(stream(1, "faults")));
        for fault in faults {
            table.add(fault, fault.parse().expect("a fault"));
        }
        let faulty = Faulty::new(Arc::new(One), table, clock);
        sim::block_on(async move {
            let answer = faulty.reply(&Question::new(name, RecordType::A)).await;
            (answer, clock.now().since_start())
        })
        .expect("it replies")
    }

    #[test]
    fn an_emptied_name_is_noerror_with_zero_answers_and_the_soa() {
        let answer = reply("broken", &["dns empty broken"]).0.expect("an answer");
        assert_eq!((answer.code, answer.records.len()), (ResponseCode::NoError, 0));
        assert_eq!(answer.negative_ttl(), Some(Span::from_mins(15)), "so that resolvers keep it");
    }

    #[test]
    fn each_fault_answers_in_its_own_way() {
        let code = |fault| reply("broken", &[fault]).0.map(|answer| answer.code);
        assert_eq!(code("dns nxdomain broken"), Ok(ResponseCode::NxDomain));
        assert_eq!(code("dns servfail broken"), Ok(ResponseCode::ServFail));
        assert_eq!(code("dns timeout broken"), Err(DnsError::NoReply));
        let answer = reply("broken", &["dns wrong-address 127.9.9.9 broken"]).0.expect("an answer");
        assert_eq!(answer.records[0].data, RecordData::A(Ipv4Addr::new(127, 9, 9, 9)));
    }

    #[test]
    fn slowness_adds_up_and_leaves_the_answer_to_the_next_fault() {
        let (answer, after) =
            reply("broken", &["dns slow 2s broken", "dns servfail broken", "dns slow 3s broken"]);
        assert_eq!(answer.map(|answer| answer.code), Ok(ResponseCode::ServFail));
        assert_eq!(after, Span::from_secs(5));
    }

    #[test]
    fn other_names_are_left_alone() {
        let (answer, after) = reply("sound", &["dns slow 2s broken", "dns empty broken"]);
        assert!(answer.expect("an answer").has(RecordType::A));
        assert_eq!(after, Span::ZERO);
    }
}
