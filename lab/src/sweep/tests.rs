//! What a parameter is moved to.

use super::Share;
use super::value::Value;

fn scaled(text: &str, factor: f64) -> String {
    Value::read(text).unwrap_or_else(|| panic!("{text} has no size")).scaled(factor).to_string()
}

#[test]
fn values_stay_what_they_are() {
    assert_eq!(scaled("10000", 1.1), "11000");
    assert_eq!(scaled("16.5s", 0.9), "14.85s");
    assert_eq!(scaled("4m", 1.1), "4m24s");
    assert_eq!(scaled("86ms", 1.1), "94.6ms");
    assert_eq!(scaled("0.25", 0.9), "0.225");
    assert_eq!(scaled("2.0", 0.5), "1.0", "a float keeps its point");
    assert_eq!(Value::read("exponential"), None, "a word has no size");
}

#[test]
fn a_small_whole_number_moves_by_one() {
    assert_eq!((scaled("3", 0.9), scaled("3", 1.1)), ("2".to_owned(), "4".to_owned()));
}

#[test]
fn a_moved_value_stays_within_its_range() {
    let [value, low, high] = ["4m", "3m50s", "5m"].map(|text| Value::read(text).unwrap_or(Value::Whole(0)));
    assert_eq!(value.scaled(0.9).within(low, high), low);
    assert_eq!(value.scaled(1.1).within(low, high).to_string(), "4m24s");
}

#[test]
fn a_share_is_written_in_percent_or_not() {
    assert_eq!("10%".parse(), Ok(Share(0.1)));
    assert_eq!("0.25".parse(), Ok(Share(0.25)));
    for text in ["0", "100%", "-5%", "ten"] {
        assert!(text.parse::<Share>().is_err(), "{text} is no share");
    }
}
