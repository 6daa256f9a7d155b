//! Enums that a file writes as words: `jitter = "decorrelated"`.
//!
//! The words live beside the variants, once; the reader's errors, the schema of a kind and `Display` all take them
//! from there, so that an error can't list a word the program doesn't know.

use std::fmt;

/// An enum each of whose variants is one word in a file.
pub trait Word: Copy + fmt::Debug + fmt::Display + 'static {
    /// Every word, in the order of the variants.
    const WORDS: &'static [&'static str];
    /// The variant of this word, if there is one.
    fn from_word(word: &str) -> Option<Self>;
    /// How the variant is written.
    fn word(self) -> &'static str;
}

/// Declares an enum of words: `words! { /// Doc. pub enum Backoff { /// Doc. Fixed = "fixed" } }`.
///
/// It implements [`Word`], `Display` and [`Parameter`](crate::Parameter), so it can be a parameter's type too.
#[macro_export]
macro_rules! words {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $word:literal),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        $vis enum $name { $($(#[$variant_meta])* $variant),+ }

        impl $crate::Word for $name {
            const WORDS: &'static [&'static str] = &[$($word),+];
            fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
            fn word(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str($crate::Word::word(*self))
            }
        }

        impl $crate::Parameter for $name {
            const TYPE: $crate::ParamType = $crate::ParamType::Word(<$name as $crate::Word>::WORDS);
            fn take(value: &$crate::ParamValue) -> Option<Self> {
                match value {
                    $crate::ParamValue::Text(word) => $crate::Word::from_word(word),
                    _ => None,
                }
            }
        }
    };
}
