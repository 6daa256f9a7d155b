//! Isotope's values: percentages, sizes, durations, as Go reads them.

use eastfall_topology::Span;

/// `0.01%`, or a share from 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let share = match text.trim().strip_suffix('%') {
        Some(percent) => number(percent).map(|percent| percent / 100.0),
        None => number(text),
    };
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| format!("`{text}` is no percentage; write 0.1%, or a share from 0 to 1"))
}

/// Bytes: `1 KB`, `10K`, `128`; as in isotope, a K is 1024.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let error = || format!("`{text}` is no size; write 128, 10K or 1 MB");
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| error())?;
    let unit = text[digits..].trim().to_ascii_lowercase();
    let prefix = unit.trim_end_matches('b').trim_end_matches('i');
    let power = ["", "k", "m", "g", "t", "p"].iter().position(|known| *known == prefix).ok_or_else(error)?;
    Ok((number * 1024_f64.powi(power as i32)).round() as u64)
}

/// `100ms`, `1.5s`, `1h15m`.
pub(super) fn duration(text: &str) -> Result<Span, String> {
    text.replace('µ', "u")
        .parse()
        .map_err(|_| format!("`{text}` is no length of time; write 10ms, 1.5s or 1m30s"))
}

/// A whole number from 0 to 100; 0 stands for always, as in isotope.
pub(super) fn probability(text: &str) -> Result<f64, String> {
    let percent = text.trim().parse::<u32>().ok().filter(|percent| *percent <= 100);
    match percent.ok_or_else(|| format!("`{text}` is no probability; write a whole number from 1 to 100"))? {
        0 => Ok(1.0),
        percent => Ok(f64::from(percent) / 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_isotope_reads_them() {
        let sizes = ["0", "128", "1 KB", "10K", "1.5 KiB", "2m", "1 GB"].map(size);
        assert_eq!(sizes, [0, 128, 1_024, 10_240, 1_536, 2_097_152, 1_073_741_824].map(Ok));
        assert_eq!(["0.01%", "5 %", "0.25", "100%"].map(share), [0.0001, 0.05, 0.25, 1.0].map(Ok));
        let spans = ["100ms", "1.5s", "10µs", "1m30s"].map(duration);
        assert_eq!(spans, [100_000, 1_500_000, 10, 90_000_000].map(|micros| Ok(Span::from_micros(micros))));
        assert_eq!(["0", "25", "100"].map(probability), [1.0, 0.25, 1.0].map(Ok));
    }

    #[test]
    fn what_is_none_is_refused() {
        for wrong in ["", "lots", "-1", "3 XB", "1 KBK"] {
            assert!(size(wrong).is_err(), "size {wrong:?}");
        }
        for wrong in ["", "101%", "-1%", "1.5", "some"] {
            assert!(share(wrong).is_err(), "share {wrong:?}");
        }
        for wrong in ["", "soon", "-5ms", "5 parsecs"] {
            assert!(duration(wrong).is_err(), "duration {wrong:?}");
        }
        for wrong in ["101", "-1", "0.5"] {
            assert!(probability(wrong).is_err(), "probability {wrong:?}");
        }
    }
}
