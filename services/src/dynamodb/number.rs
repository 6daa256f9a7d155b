//! DynamoDB's numbers: decimal, exact to 38 significant digits, and ordered as bytes so that they can be sort keys.
//!
//! Floats would do neither: a counter of 2^53 would stop counting, and their text has no canonical form.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A decimal number: `mantissa` times ten to the power of `exponent`, without trailing zeros in the mantissa.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    mantissa: i128,
    exponent: i32,
}

/// Significant digits (published).
const DIGITS: u32 = 38;
/// Powers of ten of the first digit (published: magnitudes from 1E-130 to 9.99...E+125).
const MAGNITUDES: std::ops::RangeInclusive<i32> = -130..=125;

/// Why a text is not a number, or a sum can't be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not decimal text.
    #[error("is not a decimal number")]
    Text,
    /// More than 38 significant digits.
    #[error("has more than 38 significant digits")]
    Precision,
    /// Beyond 9.99E+125 or below 1E-130.
    #[error("is out of range: magnitudes from 1E-130 to 9.99E+125 can be kept")]
    Range,
}

impl Number {
    const ZERO: Number = Number { mantissa: 0, exponent: 0 };

    fn try_new(mut mantissa: i128, mut exponent: i32) -> Result<Number, NumberError> {
        if mantissa == 0 {
            return Ok(Number::ZERO);
        }
        while mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        let number = Number { mantissa, exponent };
        if number.digits() > DIGITS {
            return Err(NumberError::Precision);
        }
        if MAGNITUDES.contains(&number.magnitude()) { Ok(number) } else { Err(NumberError::Range) }
    }

    fn digits(self) -> u32 {
        self.mantissa.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1)
    }

    /// The power of ten of the first digit.
    fn magnitude(self) -> i32 {
        self.exponent + self.digits() as i32 - 1
    }

    /// The sum.
    ///
    /// # Errors
    /// If it needs more than 38 digits or is out of range.
    pub fn plus(self, other: Number) -> Result<Number, NumberError> {
        if self.mantissa == 0 || other.mantissa == 0 {
            return Ok(if self.mantissa == 0 { other } else { self });
        }
        let exponent = self.exponent.min(other.exponent);
        let aligned = |number: Number| {
            let factor = 10_i128.checked_pow((number.exponent - exponent) as u32)?;
            number.mantissa.checked_mul(factor)
        };
        let sum = aligned(self).zip(aligned(other)).and_then(|(left, right)| left.checked_add(right));
        Number::try_new(sum.ok_or(NumberError::Precision)?, exponent)
    }

    /// Bytes that sort as the numbers do.
    pub fn ordered_bytes(self) -> Vec<u8> {
        if self.mantissa == 0 {
            return vec![1];
        }
        let mut bytes = vec![2];
        bytes.extend_from_slice(&((self.magnitude() + 1000) as u16).to_be_bytes());
        bytes.extend_from_slice(self.mantissa.unsigned_abs().to_string().as_bytes());
        if self.mantissa < 0 {
            // Upside down, with an end that is greater than any digit: -12 comes after -123.
            bytes[0] = 0;
            bytes[1..].iter_mut().for_each(|byte| *byte = !*byte);
            bytes.push(0xff);
        }
        bytes
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        self.ordered_bytes().cmp(&other.ordered_bytes())
    }
}

impl FromStr for Number {
    type Err = NumberError;

    /// Reads `42`, `-0.5`, `1.5E+10`.
    fn from_str(text: &str) -> Result<Number, NumberError> {
        let (plain, power) = match text.split_once(['e', 'E']) {
            Some((plain, power)) => (plain, power.parse::<i32>().map_err(|_| NumberError::Text)?),
            None => (text, 0),
        };
        if !(-10_000..=10_000).contains(&power) {
            return Err(NumberError::Range);
        }
        let (negative, digits) = match plain.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, plain.strip_prefix('+').unwrap_or(plain)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = [whole, fraction].concat();
        if all.is_empty() || all.len() > 1_000 || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NumberError::Text);
        }
        let significant = all.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Ok(Number::ZERO);
        }
        if significant.len() > DIGITS as usize {
            return Err(NumberError::Precision);
        }
        let trailing = all.len() - all.trim_end_matches('0').len();
        let mantissa: i128 = significant.parse().map_err(|_| NumberError::Text)?;
        let exponent = power - fraction.len() as i32 + trailing as i32;
        Number::try_new(if negative { -mantissa } else { mantissa }, exponent)
    }
}

impl fmt::Display for Number {
    /// The canonical text: equal numbers are written alike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digits, magnitude) = (self.mantissa.unsigned_abs().to_string(), self.magnitude());
        if self.mantissa < 0 {
            f.write_str("-")?;
        }
        match (self.exponent, magnitude) {
            (0.., ..=37) => write!(f, "{digits}{}", "0".repeat(self.exponent as usize)),
            (..0, 0..) => {
                let (whole, fraction) = digits.split_at(magnitude as usize + 1);
                write!(f, "{whole}.{fraction}")
            }
            (..0, -6..0) => write!(f, "0.{}{digits}", "0".repeat((-magnitude - 1) as usize)),
            _ => {
                let (first, rest) = digits.split_at(1);
                let point = if rest.is_empty() { "" } else { "." };
                write!(f, "{first}{point}{rest}E{magnitude:+}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap_or_else(|error| panic!("{text} {error}"))
    }

    #[test]
    fn equal_numbers_have_one_text() {
        for (text, canonical) in [
            ("0", "0"),
            ("-0.00", "0"),
            ("007", "7"),
            ("1.50", "1.5"),
            ("1200", "1200"),
            ("12e2", "1200"),
            ("0.001", "0.001"),
            ("-1E-130", "-1E-130"),
            ("1.5E+100", "1.5E+100"),
        ] {
            assert_eq!(number(text).to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn what_can_not_be_kept_exactly_is_refused() {
        for (text, error) in [
            ("", NumberError::Text),
            ("1.2.3", NumberError::Text),
            ("NaN", NumberError::Text),
            ("-", NumberError::Text),
            ("123456789012345678901234567890123456789", NumberError::Precision),
            ("1e126", NumberError::Range),
            ("1e-131", NumberError::Range),
        ] {
            assert_eq!(text.parse::<Number>(), Err(error), "{text}");
        }
        assert_eq!(number("1e100").plus(number("1")), Err(NumberError::Precision));
    }

    #[test]
    fn sums_are_exact() {
        assert_eq!(number("0.1").plus(number("0.2")), Ok(number("0.3")));
        assert_eq!(number("9007199254740993").plus(number("1")), Ok(number("9007199254740994")));
        assert_eq!(number("5").plus(number("-5")), Ok(Number::ZERO));
    }

    proptest! {
        #[test]
        fn bytes_sort_as_numbers_do(
            (left, right) in (-1_000_000_i64..1_000_000, -1_000_000_i64..1_000_000),
            (left_power, right_power) in (0_u32..5, 0_u32..5),
        ) {
            let text = |value: i64, power| format!("{value}e-{power}");
            let exact = |value: i64, power| i128::from(value) * 10_i128.pow(5 - power);
            let order = number(&text(left, left_power)).cmp(&number(&text(right, right_power)));
            prop_assert_eq!(order, exact(left, left_power).cmp(&exact(right, right_power)));
        }

        #[test]
        fn a_number_is_read_back_as_it_was_written(mantissa in any::<i64>(), power in -90_i32..90) {
            let original = number(&format!("{mantissa}E{power}"));
            prop_assert_eq!(number(&original.to_string()), original);
        }
    }
}
