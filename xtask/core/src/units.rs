//! Sizes and durations, as people type them and as they are shown.
//!
//! Sizes are bytes (`u64`). Decimal units are powers of 1000 and binary units
//! powers of 1024, as their names say; a bare letter ("2G") is refused, because
//! Docker reads it as 1024-based and everybody else as 1000-based.
//! Durations are whole seconds and, unlike Go's, may be given in days and weeks.

use std::error::Error;
use std::fmt;
use std::time::Duration;

const SIZES: &str = "a size is a number with B, kB, MB, GB, TB (powers of 1000) \
     or KiB, MiB, GiB, TiB (powers of 1024): 2GB, 512MiB, 1.5GB";
const DURATIONS: &str = "a duration is one or more whole numbers with \
     w (weeks), d (days), h, m or s: 7d, 36h, 1d12h, 90m";

/// Text that is not a size or not a duration. The message says what is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitError(String);

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for UnitError {}

/// Reads a size such as `2GB`, `512MiB`, `1.5 GB` or `0`, in bytes.
/// A fraction of a byte is dropped.
///
/// # Errors
/// When the number or the unit is missing, unknown, negative or too large.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let fail = |what: &str| UnitError(format!("{text:?} {what}; {SIZES}"));
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (number.contains('.') && fraction.is_empty()) || fraction.contains('.') {
        return Err(fail("does not begin with a number"));
    }
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "b" => 1,
        // Nothing but zero is the same in every unit.
        "" if number.bytes().all(|b| b == b'0' || b == b'.') => 1,
        "" => return Err(fail("has no unit")),
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1_u128 << 40,
        _ => return Err(fail("has an unknown unit")),
    };
    let too_large = || fail("is too large");
    let whole: u128 = whole.parse().map_err(|_| too_large())?;
    let digits = u32::try_from(fraction.len()).ok().filter(|n| *n <= 18).ok_or_else(too_large)?;
    let numerator: u128 =
        if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| too_large())? };
    let bytes = whole
        .checked_mul(factor)
        .and_then(|b| b.checked_add(numerator * factor / 10_u128.pow(digits)))
        .ok_or_else(too_large)?;
    u64::try_from(bytes).map_err(|_| too_large())
}

/// Reads a duration such as `7d`, `36h`, `1d12h` or `0`.
///
/// # Errors
/// When a number or a unit is missing, unknown or too large.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let fail = |what: &str| UnitError(format!("{text:?} {what}; {DURATIONS}"));
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(Duration::ZERO);
    }
    if trimmed.is_empty() {
        return Err(fail("is empty"));
    }
    let mut seconds = 0_u64;
    let mut rest = trimmed;
    while !rest.is_empty() {
        let split = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(split);
        if number.is_empty() {
            return Err(fail("has something other than a whole number before a unit"));
        }
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let factor = match unit.trim() {
            "w" => 7 * 86_400,
            "d" => 86_400,
            "h" => 3_600,
            "m" => 60,
            "s" => 1,
            "" => return Err(fail("has no unit")),
            _ => return Err(fail("has an unknown unit")),
        };
        seconds = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(factor))
            .and_then(|n| seconds.checked_add(n))
            .ok_or_else(|| fail("is too large"))?;
        rest = next;
    }
    Ok(Duration::from_secs(seconds))
}

/// Shows bytes in decimal units, three significant digits: `0 B`, `1.25 kB`, `62.2 MB`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three significant digits are shown")]
    let mut value = bytes as f64;
    let mut shown = String::new();
    for unit in UNITS {
        value /= 1000.0;
        let decimals = match value {
            v if v < 9.995 => 2,
            v if v < 99.95 => 1,
            _ => 0,
        };
        shown = format!("{value:.decimals$} {unit}");
        // What would round up to 1000 is shown in the next unit.
        if value < 999.5 {
            break;
        }
    }
    shown
}

/// Shows a duration in its two largest units: `350ms`, `1.2s`, `4m 05s`, `2h 30m`, `7d`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let pair = |high: u64, a: &str, low: u64, b: &str| {
        if low == 0 { format!("{high}{a}") } else { format!("{high}{a} {low:02}{b}") }
    };
    match seconds {
        0 if duration.subsec_millis() > 0 => format!("{}ms", duration.subsec_millis()),
        0 => "0s".to_owned(),
        1..60 => format!("{}.{}s", seconds, duration.subsec_millis() / 100).replace(".0s", "s"),
        60..3_600 => pair(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => pair(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// Shows how long before `now` something was (both in seconds since 1970), in
/// one unit: `just now`, `45s ago`, `3h ago`, `12d ago`.
#[must_use]
pub fn format_ago(now: i64, then: i64) -> String {
    match u64::try_from(now.saturating_sub(then)).unwrap_or(0) {
        0 => "just now".to_owned(),
        s @ 1..60 => format!("{s}s ago"),
        s @ 60..3_600 => format!("{}m ago", s / 60),
        s @ 3_600..172_800 => format!("{}h ago", s / 3_600),
        s => format!("{}d ago", s / 86_400),
    }
}

/// Writes a duration as Go's `time.ParseDuration` reads it (it has no days): `168h0m0s`.
#[must_use]
pub fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{}h{}m{}s", seconds / 3_600, seconds % 3_600 / 60, seconds % 60)
}

/// Reads a point in time as RFC 3339 (`2026-11-22T22:29:50.74Z`) or as Go's
/// `time.Time` prints itself (`2026-11-22 22:29:50.74 +0000 UTC`), in seconds
/// since 1970. Fractions of a second are dropped. `None` when it is neither,
/// and for Go's zero time, which stands for "never".
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = text.get(range)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let separator = |at: usize, accepted: &[u8]| {
        text.as_bytes().get(at).is_some_and(|byte| accepted.contains(byte)).then_some(())
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    for (at, accepted) in [(4, "-"), (7, "-"), (10, "Tt "), (13, ":"), (16, ":")] {
        separator(at, accepted.as_bytes())?;
    }
    let in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !in_range || year <= 1 {
        return None;
    }
    let rest = &text[19..];
    let fraction = rest
        .strip_prefix('.')
        .map_or(0, |digits| 1 + digits.bytes().take_while(u8::is_ascii_digit).count());
    let offset = parse_offset(rest[fraction..].trim_start())?;
    Some(days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset)
}

/// `Z`, `+01:00`, `+0100` and what Go appends (`+0000 UTC`), in seconds east of Greenwich.
fn parse_offset(text: &str) -> Option<i64> {
    let zone = text.split_whitespace().next()?;
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if zone.starts_with('+') { 1 } else { -1 };
    let digits: String = zone.strip_prefix(['+', '-'])?.chars().filter(|c| *c != ':').collect();
    if digits.len() != 4 {
        return None;
    }
    let value: i64 = digits.parse().ok()?;
    Some(sign * (value / 100 * 3_600 + value % 100 * 60))
}

/// Days since 1970-01-01 of a date in the Gregorian calendar: years are counted from
/// March, so that the leap day is the last of its year.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("17B", 17),
            ("1kB", 1000),
            ("2GB", 2_000_000_000),
            ("2 gb", 2_000_000_000),
            ("512MiB", 536_870_912),
            ("1.5GB", 1_500_000_000),
            ("0.5KiB", 512),
            ("4TiB", 4 << 40),
            ("94.7MB", 94_700_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn bad_sizes_say_what_is_accepted() {
        for text in ["", "GB", "12", "2G", "-1GB", "1.GB", ".5GB", "1.2.3GB", "1e3B", "99999999TB"]
        {
            let error = parse_size(text).expect_err(text).to_string();
            assert!(error.contains("2GB, 512MiB"), "{error}");
            assert!(error.starts_with(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn durations_are_read() {
        for (text, seconds) in [
            ("0", 0),
            ("7d", 604_800),
            ("36h", 129_600),
            ("1w", 604_800),
            ("1d12h", 129_600),
            ("1d 12h", 129_600),
            ("90m", 5400),
            ("45s", 45),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "7", "d", "1.5h", "-1h", "2mo", "3 years", "99999999999999999999d"] {
            let error = parse_duration(text).expect_err(text).to_string();
            assert!(error.contains("7d, 36h"), "{error}");
        }
    }

    #[test]
    fn sizes_are_shown_with_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (9_996, "10.0 kB"),
            (12_419, "12.4 kB"),
            (131_072, "131 kB"),
            (999_499, "999 kB"),
            (999_500, "1.00 MB"),
            (62_180_000, "62.2 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(format_size(bytes), text);
        }
    }

    #[test]
    fn durations_are_shown() {
        for (millis, text) in [
            (0, "0s"),
            (350, "350ms"),
            (1_000, "1s"),
            (1_250, "1.2s"),
            (245_000, "4m 05s"),
            (9_000_000, "2h 30m"),
            (604_800_000, "7d"),
        ] {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(go_duration(Duration::from_secs(604_805)), "168h0m5s");
        assert_eq!(format_ago(100, 100), "just now");
        assert_eq!(format_ago(100, 200), "just now");
        assert_eq!(format_ago(100, 40), "1m ago");
        assert_eq!(format_ago(864_000, 0), "10d ago");
    }

    #[test]
    fn timestamps_are_read() {
        let expected = 1_795_386_590;
        for text in [
            "2026-11-22T22:29:50.740764702Z",
            "2026-11-22T22:29:50Z",
            "2026-11-22T23:29:50+01:00",
            "2026-11-22 22:29:50.460094678 +0000 UTC",
            "2026-11-22 20:29:50 -0200 -02",
        ] {
            assert_eq!(parse_timestamp(text), Some(expected), "{text}");
        }
        assert_eq!(parse_timestamp("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_timestamp("2024-02-29T00:00:00Z"), Some(1_709_164_800));
        assert_eq!(parse_timestamp("2000-03-01T00:00:00Z"), Some(951_868_800));
        for text in
            ["", "3 minutes ago", "0001-01-01T00:00:00Z", "2026-13-01T00:00:00Z", "2026-11-22"]
        {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }
}
