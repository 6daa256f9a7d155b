//! Where a call stands in a distributed trace: W3C's trace context, which travels as `traceparent`.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

/// A span as those beneath it see it.
#[derive(Debug)]
pub struct Trace {
    /// The trace; never zero.
    pub trace_id: u128,
    /// The span; never zero.
    pub span_id: u64,
    /// Whether spans of this trace are kept. It is decided where the trace begins.
    pub sampled: bool,
    notes: Mutex<Vec<(&'static str, String)>>,
}

impl Trace {
    /// A span of a trace.
    pub const fn new(trace_id: u128, span_id: u64, sampled: bool) -> Self {
        Trace { trace_id, span_id, sampled, notes: Mutex::new(Vec::new()) }
    }

    /// Adds an attribute to the span: for those who know what happened to the call, but not where the span is kept.
    pub fn note(&self, key: &'static str, value: String) {
        if self.sampled {
            self.notes.lock().unwrap_or_else(PoisonError::into_inner).push((key, value));
        }
    }

    /// Takes what was noted.
    pub fn take_notes(&self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// As `traceparent` has it: version, trace, span, flags.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// Text that is no `traceparent`; by the standard whoever receives it goes on as if there were none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotATraceParent;

impl FromStr for Trace {
    type Err = NotATraceParent;

    fn from_str(text: &str) -> Result<Self, NotATraceParent> {
        let mut parts = text.split('-');
        let mut part = |length: usize| {
            let part = parts.next().filter(|part| part.len() == length).ok_or(NotATraceParent)?;
            // Only lower-case digits are allowed, and no sign.
            let sound = part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            let value = sound.then(|| u128::from_str_radix(part, 16).ok()).flatten();
            value.ok_or(NotATraceParent)
        };
        let (version, trace_id, span_id, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        // Version 0 ends here; later ones may go on, 255 is forbidden.
        let ends = parts.next().is_none();
        let span_id = u64::try_from(span_id).map_err(|_| NotATraceParent)?;
        if version == 0xff || (version == 0 && !ends) || trace_id == 0 || span_id == 0 {
            return Err(NotATraceParent);
        }
        Ok(Trace::new(trace_id, span_id, flags & 1 == 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace: Trace = text.parse().unwrap();
        assert_eq!((trace.to_string().as_str(), trace.sampled), (text, true));
        assert_eq!(Trace::new(1, 2, false).to_string(), format!("00-{:0>32}-{:0>16}-00", 1, 2));
    }

    #[test]
    fn a_later_version_may_go_on() {
        let trace: Result<Trace, _> = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-more".parse();
        assert!(trace.is_ok_and(|trace| trace.sampled));
    }

    #[test]
    fn what_the_standard_forbids_is_no_trace() {
        for text in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        ] {
            assert!(text.parse::<Trace>().is_err(), "{text} was taken for a trace");
        }
    }

    #[test]
    fn a_span_that_is_not_kept_takes_no_notes() {
        let (kept, dropped) = (Trace::new(1, 1, true), Trace::new(1, 1, false));
        for trace in [&kept, &dropped] {
            trace.note("eastfall.fault", "delay".to_owned());
        }
        assert_eq!(kept.take_notes(), [("eastfall.fault", "delay".to_owned())]);
        assert_eq!(dropped.take_notes(), []);
    }
}
