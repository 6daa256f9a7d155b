//! What can be wrong with DNS, put between the authority and whoever asks, so that `dig` sees it too.
//!
//! A fault takes effect on names; which faults are in force is asked anew for every question, so they come and go while
//! the region runs. `Stale` is a defect of resolvers and is applied by them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use eastfall_topology::time::Span;
use futures_util::future::BoxFuture;

use super::{Answer, Authority, DnsError, Question, Record, RecordData, RecordType, ResponseCode, Soa};
use crate::clock::Clock;

/// How long a wrong address may be kept: a short TTL, as such a record would have in the zones of the lab.
const WRONG_ADDRESS_TTL: Span = Span::from_secs(5);

/// One way in which DNS fails.
#[derive(Clone, Debug, PartialEq)]
pub enum DnsFault {
    /// The name exists and has no records: NOERROR with zero answers, as in the real event.
    Empty,
    /// The name does not exist: NXDOMAIN.
    NxDomain,
    /// The server fails: SERVFAIL.
    ServFail,
    /// Nothing comes back.
    NoReply,
    /// Address questions are answered with this address (AAAA with its IPv4-mapped form).
    WrongAddress(Ipv4Addr),
    /// Every answer comes so much later; several add up.
    Slow(Span),
    /// The resolver goes on serving what it once learned, whatever its age.
    Stale,
}

/// Knows which faults are in force.
pub trait DnsFaults: Send + Sync {
    /// Those that the authority has for a name. The first that is not [`DnsFault::Slow`] decides the answer.
    fn at_authority(&self, name: &str) -> Vec<DnsFault> {
        let _ = name;
        Vec::new()
    }

    /// True if the resolver of a host is stale for a name.
    fn stale_at(&self, host: &str, name: &str) -> bool {
        let _ = (host, name);
        false
    }
}

/// No faults.
impl DnsFaults for () {}

/// An authority under the faults in force.
pub struct Faulty {
    authority: Arc<dyn Authority>,
    faults: Arc<dyn DnsFaults>,
    clock: Clock,
}

impl Faulty {
    /// Puts the faults before the authority.
    pub fn new(authority: Arc<dyn Authority>, faults: Arc<dyn DnsFaults>, clock: Clock) -> Self {
        Faulty { authority, faults, clock }
    }

    fn altered(&self, question: &Question, fault: Option<&DnsFault>) -> Answer {
        let nothing = |code| Answer::nothing(code, self.authority.soa(&question.name));
        match fault {
            None | Some(DnsFault::Slow(_) | DnsFault::NoReply | DnsFault::Stale) => {
                self.authority.answer(question)
            }
            Some(DnsFault::Empty) => nothing(ResponseCode::NoError),
            Some(DnsFault::NxDomain) => nothing(ResponseCode::NxDomain),
            Some(DnsFault::ServFail) => Answer::nothing(ResponseCode::ServFail, None),
            Some(DnsFault::WrongAddress(address)) => match wrong_address(question.record_type, *address) {
                Some(data) => {
                    Answer::of(vec![Record { name: question.name.clone(), ttl: WRONG_ADDRESS_TTL, data }])
                }
                None => self.authority.answer(question),
            },
        }
    }
}

impl Authority for Faulty {
    /// The answer under the faults that change it; lateness and silence are in [`Authority::reply`] alone.
    fn answer(&self, question: &Question) -> Answer {
        self.altered(question, deciding(&self.faults.at_authority(&question.name)))
    }

    fn soa(&self, name: &str) -> Option<Soa> {
        self.authority.soa(name)
    }

    fn reply<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, DnsError>> {
        let faults = self.faults.at_authority(&question.name);
        Box::pin(async move {
            let late =
                faults.iter().map(|fault| if let DnsFault::Slow(span) = fault { *span } else { Span::ZERO });
            let late = late.fold(Span::ZERO, |sum, span| sum + span);
            if !late.is_zero() {
                self.clock.sleep(late).await;
            }
            match deciding(&faults) {
                Some(DnsFault::NoReply) => Err(DnsError::NoReply),
                fault => Ok(self.altered(question, fault)),
            }
        })
    }
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faulty")
    }
}

/// The first fault that decides what is answered.
fn deciding(faults: &[DnsFault]) -> Option<&DnsFault> {
    faults.iter().find(|fault| !matches!(fault, DnsFault::Slow(_) | DnsFault::Stale))
}

fn wrong_address(record_type: RecordType, address: Ipv4Addr) -> Option<RecordData> {
    match record_type {
        RecordType::A => Some(RecordData::A(address)),
        RecordType::Aaaa => Some(RecordData::Aaaa(Ipv6Addr::from(address.to_ipv6_mapped()))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sim;

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

    struct Active(Vec<DnsFault>);
    impl DnsFaults for Active {
        fn at_authority(&self, name: &str) -> Vec<DnsFault> {
            if name == "broken" { self.0.clone() } else { Vec::new() }
        }
    }

    fn reply(name: &'static str, faults: Vec<DnsFault>) -> (Result<Answer, DnsError>, Span) {
        let clock = Clock::virtual_time();
        let faulty = Faulty::new(Arc::new(One), Arc::new(Active(faults)), clock);
        sim::block_on(async move {
            let answer = faulty.reply(&Question::new(name, RecordType::A)).await;
            (answer, clock.now().since_start())
        })
        .expect("it replies")
    }

    #[test]
    fn an_emptied_name_is_noerror_with_zero_answers_and_the_soa() {
        let answer = reply("broken", vec![DnsFault::Empty]).0.expect("an answer");
        assert_eq!((answer.code, answer.records.len()), (ResponseCode::NoError, 0));
        assert_eq!(answer.negative_ttl(), Some(Span::from_mins(15)), "so that resolvers keep it");
    }

    #[test]
    fn each_fault_answers_in_its_own_way() {
        let code = |fault| reply("broken", vec![fault]).0.map(|answer| answer.code);
        assert_eq!(code(DnsFault::NxDomain), Ok(ResponseCode::NxDomain));
        assert_eq!(code(DnsFault::ServFail), Ok(ResponseCode::ServFail));
        assert_eq!(code(DnsFault::NoReply), Err(DnsError::NoReply));
        let wrong = Ipv4Addr::new(127, 9, 9, 9);
        let answer = reply("broken", vec![DnsFault::WrongAddress(wrong)]).0.expect("an answer");
        assert_eq!(answer.records[0].data, RecordData::A(wrong));
    }

    #[test]
    fn slowness_adds_up_and_leaves_the_answer_to_the_next_fault() {
        let slow = || DnsFault::Slow(Span::from_secs(2));
        let (answer, after) = reply("broken", vec![slow(), DnsFault::ServFail, slow()]);
        assert_eq!(answer.map(|answer| answer.code), Ok(ResponseCode::ServFail));
        assert_eq!(after, Span::from_secs(4));
    }

    #[test]
    fn other_names_are_left_alone() {
        let (answer, after) = reply("sound", vec![DnsFault::Slow(Span::from_secs(2)), DnsFault::Empty]);
        assert!(answer.expect("an answer").has(RecordType::A));
        assert_eq!(after, Span::ZERO);
    }
}
