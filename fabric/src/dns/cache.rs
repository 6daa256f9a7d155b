//! A resolver's memory, pure: what it may still believe.
//!
//! Two effects of the real event live here. A positive answer keeps clients going after a record is gone, until its TTL
//! is up. An answer that there is **nothing** is kept too (RFC 2308), for as long as the zone's SOA says: that is why
//! clients recover up to that much later than the record does.

use std::collections::BTreeMap;
use std::sync::Arc;

use eastfall_topology::Resolver as Limits;
use eastfall_topology::time::{Moment, Span};

use super::{Answer, Question, ResponseCode};

/// Entries at most; beyond it the one that would expire first makes room. The lab's hosts ask for a handful of names.
const CAPACITY: usize = 4096;

/// Answers by question, with the moment at which each is to be forgotten.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    entries: BTreeMap<Question, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    expires: Moment,
    answer: Arc<Answer>,
}

impl Cache {
    /// The answer that may be believed now. The TTLs in it are those it came with.
    pub fn lookup(&self, now: Moment, question: &Question) -> Option<Arc<Answer>> {
        let entry = self.entries.get(question)?;
        (now < entry.expires).then(|| Arc::clone(&entry.answer))
    }

    /// The last answer, however old: what a resolver with a defect goes on serving.
    pub fn lookup_stale(&self, question: &Question) -> Option<Arc<Answer>> {
        self.entries.get(question).map(|entry| Arc::clone(&entry.answer))
    }

    /// Keeps an answer for as long as it allows within the host's limits, which may be not at all.
    pub fn store(&mut self, now: Moment, question: &Question, answer: Arc<Answer>, limits: &Limits) {
        let Some(keep) = lifetime(question, &answer, limits).filter(|keep| !keep.is_zero()) else { return };
        if self.entries.len() >= CAPACITY && !self.entries.contains_key(question) {
            let first = self
                .entries
                .iter()
                .min_by_key(|(_, entry)| entry.expires)
                .map(|(question, _)| question.clone());
            first.map(|first| self.entries.remove(&first));
        }
        self.entries.insert(question.clone(), Entry { expires: now + keep, answer });
    }

    /// Forgets everything, as a restart of the resolver does.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

/// How long an answer may be kept; nothing for one that may not be: failures, and absences without an SOA.
fn lifetime(question: &Question, answer: &Answer, limits: &Limits) -> Option<Span> {
    let records = answer.records.iter().map(|record| record.ttl).min();
    match answer.code {
        ResponseCode::NoError if answer.has(question.record_type) => {
            records.map(|ttl| ttl.max(limits.positive_min).min(limits.positive_max))
        }
        // The absence may be at the end of a chain of aliases, each with a TTL of its own.
        ResponseCode::NoError | ResponseCode::NxDomain => {
            let negative = answer.negative_ttl()?.min(limits.negative_max);
            Some(records.map_or(negative, |ttl| ttl.min(negative)))
        }
        ResponseCode::ServFail | ResponseCode::Refused | ResponseCode::NotImplemented => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Record, RecordData, RecordType, Soa};
    use super::*;
    use std::net::Ipv4Addr;

    const NAME: &str = "dynamodb.us-east-1.amazonaws.com";

    fn question() -> Question {
        Question::new(NAME, RecordType::A)
    }

    fn address(ttl: Span) -> Answer {
        Answer::of(vec![Record { name: NAME.into(), ttl, data: RecordData::A(Ipv4Addr::LOCALHOST) }])
    }

    fn absence(code: ResponseCode, ttl: Span, minimum: Span) -> Answer {
        let soa = Soa {
            zone: "amazonaws.com".into(),
            primary: "ns".into(),
            contact: "hostmaster".into(),
            serial: 1,
            ttl,
            minimum,
        };
        Answer::nothing(code, Some(soa))
    }

    /// For how long after it was stored an answer is believed.
    fn kept(answer: Answer, limits: &Limits) -> Span {
        let mut cache = Cache::default();
        cache.store(Moment::START, &question(), Arc::new(answer), limits);
        let entry = cache.entries.get(&question());
        let kept = entry.map_or(Span::ZERO, |entry| entry.expires.since_start());
        let last = Moment::START + kept;
        assert!(cache.lookup(last, &question()).is_none(), "not believed once {kept} are over");
        assert_eq!(cache.lookup(last.before(Span::from_nanos(1)), &question()).is_some(), !kept.is_zero());
        kept
    }

    #[test]
    fn a_record_is_kept_for_its_ttl_within_the_limits() {
        let limits = Limits {
            positive_min: Span::from_secs(2),
            positive_max: Span::from_secs(60),
            ..Limits::default()
        };
        assert_eq!(kept(address(Span::from_secs(5)), &limits), Span::from_secs(5));
        assert_eq!(kept(address(Span::from_secs(1)), &limits), Span::from_secs(2), "at least positive-min");
        assert_eq!(kept(address(Span::from_secs(90)), &limits), Span::from_secs(60), "at most positive-max");
        assert_eq!(kept(address(Span::ZERO), &Limits::default()), Span::ZERO, "TTL 0 is not kept");
    }

    #[test]
    fn both_kinds_of_absence_are_kept_for_the_smaller_of_soa_ttl_and_minimum() {
        let (minute, quarter) = (Span::from_mins(1), Span::from_mins(15));
        for code in [ResponseCode::NoError, ResponseCode::NxDomain] {
            assert_eq!(kept(absence(code, quarter, minute), &Limits::default()), minute, "{code}: minimum");
            assert_eq!(
                kept(absence(code, minute, quarter), &Limits::default()),
                minute,
                "{code}: TTL of the SOA"
            );
            let limits = Limits { negative_max: Span::from_secs(5), ..Limits::default() };
            assert_eq!(
                kept(absence(code, quarter, quarter), &limits),
                Span::from_secs(5),
                "{code}: at most negative-max"
            );
        }
    }

    #[test]
    fn an_absence_without_soa_and_a_failure_are_not_kept() {
        for code in [ResponseCode::NoError, ResponseCode::NxDomain] {
            assert_eq!(
                kept(Answer::nothing(code, None), &Limits::default()),
                Span::ZERO,
                "{code} without SOA"
            );
        }
        let minute = Span::from_mins(1);
        for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NotImplemented] {
            assert_eq!(kept(absence(code, minute, minute), &Limits::default()), Span::ZERO, "{code}");
        }
    }

    #[test]
    fn an_alias_that_leads_nowhere_is_kept_no_longer_than_the_alias() {
        let mut answer = absence(ResponseCode::NoError, Span::from_mins(15), Span::from_mins(15));
        let data = RecordData::Cname("gone.amazonaws.com".into());
        answer.records.push(Record { name: NAME.into(), ttl: Span::from_secs(7), data });
        assert_eq!(kept(answer, &Limits::default()), Span::from_secs(7));
    }

    #[test]
    fn an_expired_answer_is_there_for_a_stale_resolver_only() {
        let mut cache = Cache::default();
        cache.store(Moment::START, &question(), Arc::new(address(Span::from_secs(5))), &Limits::default());
        let later = Moment::START + Span::from_mins(1);
        assert_eq!(cache.lookup(later, &question()), None);
        assert!(cache.lookup_stale(&question()).is_some());
    }

    #[test]
    fn the_cache_stays_within_its_capacity() {
        let mut cache = Cache::default();
        for number in 0..CAPACITY + 100 {
            let question = Question::new(&format!("host-{number}"), RecordType::A);
            let now = Moment::from_nanos(number as u64);
            cache.store(now, &question, Arc::new(address(Span::from_secs(5))), &Limits::default());
            assert!(cache.lookup(now, &question).is_some(), "the newest is there");
        }
        assert_eq!(cache.entries.len(), CAPACITY);
        assert!(
            !cache.entries.contains_key(&Question::new("host-99", RecordType::A)),
            "the first ones made room"
        );
    }
}
