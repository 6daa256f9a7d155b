//! Seals: who holds the key can say that a text was sealed with it, without asking anybody.
//!
//! That is why a token stays good while the service that made it, and all that it stands on, is out of reach. The seal is
//! SipHash-2-4 (Aumasson and Bernstein, 2012), a keyed hash for short texts. 64 bits are enough against mistakes, which is
//! all there is to fend off here; a real service signs with a key pair or a longer code.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;

pub(crate) mod common;

/// A key of 128 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(u64, u64);

impl Key {
    /// A key of two random halves.
    pub(crate) fn new(low: u64, high: u64) -> Key {
        Key(low, high)
    }

    /// As text, to be kept in a table.
    pub(crate) fn to_text(self) -> String {
        format!("{:016x}{:016x}", self.0, self.1)
    }

    /// Read back.
    pub(crate) fn from_text(text: &str) -> Option<Key> {
        let half = |range| u64::from_str_radix(text.get(range)?, 16).ok();
        (text.len() == 32).then_some(Key(half(0..16)?, half(16..32)?))
    }

    /// The text with its seal behind it.
    pub(crate) fn seal(self, text: &str) -> String {
        format!("{text}~{:016x}", self.hash(text.as_bytes()))
    }

    /// The text, if the seal is of this key.
    pub(crate) fn open(self, sealed: &str) -> Option<&str> {
        let (text, seal) = sealed.rsplit_once('~')?;
        let seal = u64::from_str_radix(seal, 16).ok()?;
        (seal == self.hash(text.as_bytes())).then_some(text)
    }

    /// SipHash-2-4 of a message.
    fn hash(self, message: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        hasher.write(message);
        hasher.finish()
    }
}

/// What is kept of a password: enough to recognise it. Salted with its owner's name, so that two owners of one password
/// can't be told.
pub(crate) fn password_hash(owner: &str, password: &str) -> u64 {
    Key(0, 0).hash(format!("{owner}\0{password}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_of_the_paper() {
        // Appendix A: key 00 01 .. 0f, message 00 01 .. 0e.
        let key = Key(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let message: Vec<u8> = (0..15).collect();
        assert_eq!(key.hash(&message), 0xa129_ca61_49be_45e5, "the test vector");
    }

    #[test]
    fn a_seal_opens_with_its_key_and_unchanged_only() {
        let (key, other) = (Key::new(1, 2), Key::new(1, 3));
        let sealed = key.seal("role/a 5");
        assert_eq!(key.open(&sealed), Some("role/a 5"));
        assert_eq!(other.open(&sealed), None, "another key");
        assert_eq!(key.open(&sealed.replace('a', "b")), None, "another text");
        for nonsense in ["", "~", "role/a 5", "role/a 5~zz"] {
            assert_eq!(key.open(nonsense), None, "{nonsense:?}");
        }
        assert!(Key::from_text(&key.to_text()) == Some(key), "keys go to text and back");
        assert!(Key::from_text("short").is_none());
    }
}
