//! The parameters of a kind, declared once: `params!` makes the struct, the schema that checks the file, and the way
//! from the checked values to the struct.

use crate::ParamValue;
use crate::schema::Parameter;
use indexmap::IndexMap;

/// The checked values of a service's own parameters, by key; every parameter of the kind is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    kind: String,
    values: IndexMap<&'static str, ParamValue>,
}

impl Params {
    pub(crate) fn new(kind: &str, values: IndexMap<&'static str, ParamValue>) -> Params {
        Params { kind: kind.to_owned(), values }
    }

    /// The checked value of a key.
    pub fn get(&self, key: &str) -> Option<&ParamValue> {
        self.values.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut ParamValue> {
        self.values.get_mut(key)
    }

    /// The value of a key as its Rust type; [`params!`](crate::params!) calls this.
    ///
    /// # Panics
    /// When the service is of another kind than the struct was declared for: a mistake in the program that no file
    /// can cause, since checked parameters hold every key of their kind's schema with its type.
    pub fn take<T: Parameter>(&self, key: &str) -> T {
        match self.values.get(key).and_then(T::take) {
            Some(value) => value,
            None => panic!("kind `{}` declares no parameter `{key}` of this type", self.kind),
        }
    }
}

/// Declares the parameters of a kind.
///
/// ```
/// use eastfall_topology::{Span, words};
/// words! {
///     /// When a plan's age is checked.
///     pub enum StalenessCheck {
///         /// Once, before the first record.
///         Once = "once",
///         /// Before every record.
///         EveryRecord = "every-record",
///     }
/// }
/// eastfall_topology::params! {
///     /// Parameters of the Planner.
///     pub struct PlannerParams for "dns-planner" {
///         /// How often a new plan is published (assumption).
///         plan_interval: Span = "13s", range "1s"..="1h";
///         /// When a plan's age is checked.
///         staleness_check: StalenessCheck = "once";
///         /// How many load balancers the plan spans.
///         load_balancers: u64 = 40, range 1..=100000, scaled by load;
///         /// Share of requests by operation.
///         mix: indexmap::IndexMap<String, f64> = { "get-item" = 0.7, "put-item" = 0.3 };
///     }
/// }
/// assert_eq!(PlannerParams::SCHEMA.params[0].key, "plan-interval");
/// ```
///
/// A default is written as TOML (`"none"` for an absent `Option`; a parameter without a default is required), a range
/// includes both ends, and `scaled by load` lets `--load` multiply the value. After the kind's name, `with operations`
/// says that the file writes them, `offers ["get-item", "put-item"]` which ones generic services may call.
#[macro_export]
macro_rules! params {
    ($(#[doc = $doc:literal])+ $vis:vis struct $name:ident for $kind:literal
        $(with $has_operations:ident)? $(offers [$($operation:literal),* $(,)?])? {
        $($(#[doc = $field_doc:literal])+ $field:ident: $type:ty
            $(= $default:tt)? $(, range $low:literal ..= $high:literal)? $(, scaled by $scaled:ident)?;)*
    }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $($(#[doc = $field_doc])+ pub $field: $type,)*
        }

        impl $name {
            /// The kind and its parameters, as the topology checks them.
            $vis const SCHEMA: $crate::KindSchema = $crate::KindSchema {
                name: $kind,
                doc: concat!($($doc),+).trim_ascii(),
                params: &[$($crate::ParamSchema {
                    key: $crate::kebab!($field),
                    doc: concat!($($field_doc),+).trim_ascii(),
                    kind: <$type as $crate::Parameter>::TYPE,
                    default: $crate::params!(@optional $(stringify!($default))?),
                    range: $crate::params!(@optional $((stringify!($low), stringify!($high)))?),
                    scaled: $crate::params!(@flag $($scaled)?),
                }),*],
                has_operations: $crate::params!(@flag $($has_operations)?),
                offers: &[$($($operation),*)?],
            };
        }

        impl ::std::convert::From<&$crate::Params> for $name {
            fn from(params: &$crate::Params) -> Self {
                let _ = params;
                $name { $($field: params.take($crate::kebab!($field))),* }
            }
        }
    };
    (@optional) => { None };
    (@optional $value:expr) => { Some($value) };
    (@flag) => { false };
    (@flag load) => { true };
    (@flag operations) => { true };
}

/// The kebab-case key of a field, as a constant: `plan_interval` is `plan-interval`.
#[doc(hidden)]
#[macro_export]
macro_rules! kebab {
    ($field:ident) => {{
        const BYTES: [u8; stringify!($field).len()] = $crate::kebab_bytes(stringify!($field));
        const KEY: &str = match ::std::str::from_utf8(&BYTES) {
            Ok(key) => key,
            Err(_) => panic!("a field's name is UTF-8"),
        };
        KEY
    }};
}

/// The bytes of `name` with hyphens for underscores; `LENGTH` is the name's length.
#[doc(hidden)]
pub const fn kebab_bytes<const LENGTH: usize>(name: &str) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let mut index = 0;
    while index < LENGTH {
        let byte = name.as_bytes()[index];
        bytes[index] = if byte == b'_' { b'-' } else { byte };
        index += 1;
    }
    bytes
}
