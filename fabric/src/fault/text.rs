//! A fault in words, both ways: `latency 15s on dns-enactor-c->route53 for 5m`.

use std::fmt;
use std::str::FromStr;

use eastfall_topology::nearest;
use eastfall_topology::time::Span;
use tonic::Code;

use super::{DnsFault, Edge, Fault, FaultError, Injection, Selector};

/// The first words.
const FAULTS: [&str; 8] = ["latency", "error", "black-hole", "slow", "dns", "kill", "pause", "partition"];
/// The second words after `dns`.
const DNS_FAULTS: [&str; 7] = ["empty", "nxdomain", "servfail", "timeout", "wrong-address", "slow", "stale"];
/// The gRPC codes a call can fail with, by word.
const CODES: [(&str, Code); 16] = [
    ("cancelled", Code::Cancelled),
    ("unknown", Code::Unknown),
    ("invalid-argument", Code::InvalidArgument),
    ("deadline-exceeded", Code::DeadlineExceeded),
    ("not-found", Code::NotFound),
    ("already-exists", Code::AlreadyExists),
    ("permission-denied", Code::PermissionDenied),
    ("resource-exhausted", Code::ResourceExhausted),
    ("failed-precondition", Code::FailedPrecondition),
    ("aborted", Code::Aborted),
    ("out-of-range", Code::OutOfRange),
    ("unimplemented", Code::Unimplemented),
    ("internal", Code::Internal),
    ("unavailable", Code::Unavailable),
    ("data-loss", Code::DataLoss),
    ("unauthenticated", Code::Unauthenticated),
];
/// A factor or span beyond this is taken for a slip of the finger.
const HIGHEST_FACTOR: f64 = 1e6;

// === Reading ===

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Fault, FaultError> {
        let mut words = Words::new(text);
        let fault = words.fault()?;
        words.end("that ends the fault")?;
        Ok(fault)
    }
}

impl FromStr for Injection {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Injection, FaultError> {
        let mut words = Words::new(text);
        let fault = words.fault()?;
        let lasts = if words.take("for") { Some(words.span("how long it lasts, such as 5m")?) } else { None };
        words.end("end here, or say how long it lasts with `for 5m`")?;
        Ok(Injection { fault, lasts })
    }
}

/// The words of a text with their positions; commas and bars are words of their own.
struct Words<'a> {
    words: Vec<(usize, &'a str)>,
    next: usize,
    end: usize,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        let mut words = Vec::new();
        let mut start = None;
        for (at, letter) in text.char_indices() {
            let apart = letter == ',' || letter == '|';
            if apart || letter.is_whitespace() {
                words.extend(start.take().map(|start| (start, &text[start..at])));
                words.extend(apart.then(|| (at, &text[at..=at])));
            } else {
                start.get_or_insert(at);
            }
        }
        words.extend(start.map(|start| (start, &text[start..])));
        Words { words, next: 0, end: text.len() }
    }

    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.next).map(|(_, word)| *word)
    }

    /// Takes this word if it comes next.
    fn take(&mut self, word: &str) -> bool {
        let here = self.peek() == Some(word);
        self.next += usize::from(here);
        here
    }

    /// The next word, whatever it is.
    fn word(&mut self, wanted: &str) -> Result<&'a str, FaultError> {
        let word =
            self.peek().ok_or_else(|| self.error("the fault ends too early", format!("say {wanted}")))?;
        self.next += 1;
        Ok(word)
    }

    /// The next word, which must be this one.
    fn expect(&mut self, word: &str, cure: &str) -> Result<(), FaultError> {
        if self.take(word) { Ok(()) } else { Err(self.unexpected(cure)) }
    }

    fn end(&self, cure: &str) -> Result<(), FaultError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.unexpected(cure)) }
    }

    /// An error about the next word.
    fn unexpected(&self, cure: &str) -> FaultError {
        match self.peek() {
            Some(word) => self.error(&format!("`{word}` is not expected here"), cure.to_owned()),
            None => self.error("the fault ends too early", cure.to_owned()),
        }
    }

    fn error(&self, message: &str, cure: String) -> FaultError {
        let at = self.words.get(self.next).map_or(self.end, |(at, _)| *at);
        FaultError { message: message.to_owned(), cure, nearest: None, at }
    }

    /// An error about the word just taken.
    fn wrong(&self, message: String, cure: &str) -> FaultError {
        let at = self.next.checked_sub(1).and_then(|last| self.words.get(last)).map_or(0, |(at, _)| *at);
        FaultError { message, cure: cure.to_owned(), nearest: None, at }
    }

    /// An error about the word just taken, which is none of these.
    fn unknown(&self, what: &str, word: &str, valid: &[&str]) -> FaultError {
        let error =
            self.wrong(format!("`{word}` is no {what}"), &format!("write one of {}", valid.join(", ")));
        FaultError { nearest: nearest(word, valid.iter().copied()), ..error }
    }

    fn fault(&mut self) -> Result<Fault, FaultError> {
        match self.word(&format!("what breaks, one of {}", FAULTS.join(", ")))? {
            "latency" => {
                let latency = self.span("how long, such as 200ms")?;
                let jitter =
                    if self.take("jitter") { self.span("the jitter, such as 50ms")? } else { Span::ZERO };
                if jitter > latency {
                    let message = format!("jitter {jitter} is above the latency {latency}");
                    return Err(self.wrong(message, "lower the jitter, or raise the latency"));
                }
                Ok(Fault::Latency { latency, jitter, on: self.on()? })
            }
            "error" => Ok(Fault::Error { code: self.code()?, share: self.share()?, on: self.on()? }),
            "black-hole" => {
                self.take("on");
                Ok(Fault::BlackHole { on: self.edge()? })
            }
            "slow" => Ok(Fault::Slow { factor: self.factor()?, who: self.who()? }),
            "dns" => self.dns(),
            "kill" => Ok(Fault::Kill { who: self.who()? }),
            "pause" => Ok(Fault::Pause { who: self.who()? }),
            "partition" => {
                let left = self.who()?;
                self.expect("|", "part the two sides with a bar: `partition a, b | c`")?;
                Ok(Fault::Partition { left, right: self.who()? })
            }
            other => Err(self.unknown("fault", other, &FAULTS)),
        }
    }

    fn dns(&mut self) -> Result<Fault, FaultError> {
        let fault = match self.word(&format!("what goes wrong, one of {}", DNS_FAULTS.join(", ")))? {
            "empty" => DnsFault::Empty,
            "nxdomain" => DnsFault::NxDomain,
            "servfail" => DnsFault::ServFail,
            "timeout" => DnsFault::TimeOut,
            "wrong-address" => {
                let word = self.word("the wrong address, such as 127.9.9.9")?;
                let cure = "write four numbers, such as 127.9.9.9";
                let address = word.parse();
                DnsFault::WrongAddress(
                    address.map_err(|_| self.wrong(format!("`{word}` is no IPv4 address"), cure))?,
                )
            }
            "slow" => DnsFault::Slow(self.span("how late the answer comes, such as 3s")?),
            "stale" => DnsFault::Stale,
            other => return Err(self.unknown("DNS fault", other, &DNS_FAULTS)),
        };
        let word = self.word("the DNS name")?;
        let name = word.trim_end_matches('.').to_ascii_lowercase();
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.*".contains(c)) || name.is_empty() {
            return Err(
                self.wrong(format!("`{word}` is no DNS name"), "write letters, digits, `-`, `.` and `*`")
            );
        }
        let resolvers = if self.take("at") { self.who()? } else { Vec::new() };
        Ok(Fault::Dns { fault, name, resolvers })
    }

    fn span(&mut self, wanted: &str) -> Result<Span, FaultError> {
        let word = self.word(wanted)?;
        let span: Span = word.parse().map_err(|_| {
            self.wrong(
                format!("`{word}` is not a length of time"),
                "write a number and a unit, such as 200ms or 1h30m",
            )
        })?;
        if span.is_zero() {
            return Err(
                self.wrong(format!("`{word}` is no time at all"), "write a length of time above zero")
            );
        }
        Ok(span)
    }

    fn code(&mut self) -> Result<Code, FaultError> {
        let word = self.word("the error's code, such as unavailable")?;
        let found = CODES.iter().find(|(name, _)| *name == word).map(|(_, code)| *code);
        found.ok_or_else(|| self.unknown("gRPC code", word, &CODES.map(|(name, _)| name)))
    }

    /// The share of calls that fail: all of them unless one is written.
    fn share(&mut self) -> Result<f64, FaultError> {
        let Some(percent) = self.peek().and_then(|word| word.strip_suffix('%')) else { return Ok(1.0) };
        self.next += 1;
        let share = percent.parse::<f64>().ok().map(|percent| percent / 100.0);
        share.filter(|share| *share > 0.0 && *share <= 1.0).ok_or_else(|| {
            self.wrong(format!("`{percent}%` is no share of calls"), "write above 0% and at most 100%")
        })
    }

    fn factor(&mut self) -> Result<f64, FaultError> {
        let word = self.word("how many times slower, such as 3x")?;
        let factor = word.strip_suffix('x').and_then(|number| number.parse::<f64>().ok());
        factor.filter(|factor| *factor > 0.0 && *factor <= HIGHEST_FACTOR).ok_or_else(|| {
            self.wrong(format!("`{word}` is no factor"), "write a number above 0 and an x, such as 3x")
        })
    }

    /// `on a->b`, where `on b` is short for `on *->b`.
    fn on(&mut self) -> Result<Edge, FaultError> {
        self.expect("on", "say where with `on CALLER->CALLEE`, or `on CALLEE` for all its callers")?;
        self.edge()
    }

    fn edge(&mut self) -> Result<Edge, FaultError> {
        let word = self.word("where, as CALLER->CALLEE")?;
        let (caller, callee) = word.split_once("->").unwrap_or(("*", word));
        let (callee, method) = match callee.split_once('/') {
            Some((callee, method)) => (callee, Some(method)),
            None => (callee, None),
        };
        let cure =
            "write CALLER->CALLEE or CALLER->CALLEE/METHOD with names of services or instances, or `*`";
        let name = |text| Selector::new(text).ok_or_else(|| self.wrong(format!("`{word}` is no way"), cure));
        let method = method.map(&name).transpose()?.map(|method| method.as_str().to_owned());
        Ok(Edge { caller: name(caller)?, callee: name(callee)?, method })
    }

    /// Names with commas between them.
    fn who(&mut self) -> Result<Vec<Selector>, FaultError> {
        let mut all = Vec::new();
        loop {
            let word = self.word("who, as names of services or instances")?;
            let cure = "write the name of a service or an instance, or `*`";
            all.push(Selector::new(word).ok_or_else(|| self.wrong(format!("`{word}` is no name"), cure))?);
            if !self.take(",") {
                return Ok(all);
            }
        }
    }
}

// === Writing ===

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Latency { latency, jitter, on } if jitter.is_zero() => {
                write!(f, "latency {} on {on}", word(latency))
            }
            Fault::Latency { latency, jitter, on } => {
                write!(f, "latency {} jitter {} on {on}", word(latency), word(jitter))
            }
            Fault::Error { code, share, on } => {
                let name = CODES.iter().find(|(_, other)| other == code).map_or("unknown", |(name, _)| name);
                write!(f, "error {name} ")?;
                if *share < 1.0 {
                    write!(f, "{}% ", share * 100.0)?;
                }
                write!(f, "on {on}")
            }
            Fault::BlackHole { on } => write!(f, "black-hole {on}"),
            Fault::Slow { factor, who } => write!(f, "slow {factor}x {}", names(who)),
            Fault::Dns { fault, name, resolvers } if resolvers.is_empty() => write!(f, "dns {fault} {name}"),
            Fault::Dns { fault, name, resolvers } => write!(f, "dns {fault} {name} at {}", names(resolvers)),
            Fault::Kill { who } => write!(f, "kill {}", names(who)),
            Fault::Pause { who } => write!(f, "pause {}", names(who)),
            Fault::Partition { left, right } => write!(f, "partition {} | {}", names(left), names(right)),
        }
    }
}

impl fmt::Display for DnsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DnsFault::Empty => f.write_str("empty"),
            DnsFault::NxDomain => f.write_str("nxdomain"),
            DnsFault::ServFail => f.write_str("servfail"),
            DnsFault::TimeOut => f.write_str("timeout"),
            DnsFault::WrongAddress(address) => write!(f, "wrong-address {address}"),
            DnsFault::Slow(late) => write!(f, "slow {}", word(late)),
            DnsFault::Stale => f.write_str("stale"),
        }
    }
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)?;
        self.lasts.map_or(Ok(()), |lasts| write!(f, " for {}", word(&lasts)))
    }
}

/// A span as one word.
fn word(span: &Span) -> String {
    span.to_string().replace(' ', "")
}

fn names(who: &[Selector]) -> String {
    who.iter().map(Selector::as_str).collect::<Vec<_>>().join(", ")
}

/// The text form is the serde form.
macro_rules! text_is_serde_form {
    ($($name:ty),+) => {
        $(impl TryFrom<String> for $name {
            type Error = FaultError;
            fn try_from(text: String) -> Result<Self, FaultError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.to_string()
            }
        })+
    };
}
text_is_serde_form!(Fault, Injection);

#[cfg(test)]
mod tests;
