//! BuildKit's timestamps: RFC 3339 with up to nine digits of a second.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::units::days_from_civil;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// A moment of the builder's clock, in nanoseconds since 1970-01-01T00:00:00Z.
///
/// The builder may be another machine: compare these with one another, and with the local clock
/// only by way of [`BuildState::latest`](super::BuildState::latest).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment so many nanoseconds after 1970-01-01T00:00:00Z.
    pub fn from_unix_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Seconds from `earlier` to this moment; zero where the clock went backwards.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        nanos_to_seconds(self.0.saturating_sub(earlier.0).max(0))
    }

    /// Nanoseconds from `earlier` to this moment; zero where the clock went backwards.
    pub fn nanos_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).max(0)
    }

    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND)
    }

    /// This moment and `elapsed` more.
    #[must_use]
    pub fn plus(self, elapsed: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// Reads `2026-01-31T12:00:00.123456789Z` or the same with an offset such as `+02:00`.
    /// `None` for anything else, and for years that do not fit (before 1678 or after 2261).
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let year = digits(date.get(0..4)?)?;
        let month = digits(date.get(5..7)?)?;
        let day = digits(date.get(8..10)?)?;
        if date.get(4..5)? != "-" || date.get(7..8)? != "-" || !rest.starts_with(['T', 't']) {
            return None;
        }
        let clock = rest.get(1..9)?;
        let (hour, minute, second) =
            (digits(clock.get(0..2)?)?, digits(clock.get(3..5)?)?, digits(clock.get(6..8)?)?);
        if clock.get(2..3)? != ":" || clock.get(5..6)? != ":" {
            return None;
        }
        if !(1..=12).contains(&month)
            || !(1..=31).contains(&day)
            || hour > 23
            || minute > 59
            || second > 60
        {
            return None;
        }
        let rest = rest.get(9..)?;
        let (nanos, zone) = match rest.strip_prefix('.') {
            Some(fraction) => {
                let end = fraction.find(|c: char| !c.is_ascii_digit())?;
                let (fraction, zone) = fraction.split_at(end);
                (fraction_nanos(fraction)?, zone)
            }
            None => (0, rest),
        };
        let seconds = days_from_civil(year, month, day) * SECONDS_PER_DAY
            + hour * 3600
            + minute * 60
            + second
            - offset_seconds(zone)?;
        seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos).map(Self)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(NANOS_PER_SECOND);
        let millis = self.0.rem_euclid(NANOS_PER_SECOND) / 1_000_000;
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let clock = seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is not an RFC 3339 timestamp")))
    }
}

/// Seconds, to the millisecond: what is finer is noise in a build.
pub fn nanos_to_seconds(nanos: i64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // A build of 285,000 years would lose milliseconds.
    let millis = (nanos.saturating_add(500_000) / 1_000_000) as f64;
    millis / 1000.0
}

fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn fraction_nanos(fraction: &str) -> Option<i64> {
    let kept = fraction.get(..fraction.len().min(9))?;
    let scale = 10_i64.pow(9 - u32::try_from(kept.len()).ok()?);
    digits(kept).map(|n| n * scale)
}

fn offset_seconds(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    (hours.len() == 2 && minutes.len() == 2).then_some(())?;
    Some(sign * (digits(hours)? * 3600 + digits(minutes)? * 60))
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_buildkit_writes() {
        let cases = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T00:00:00.5Z", Some(500_000_000)),
            ("2026-11-22T22:30:03.471766654Z", Some(1_795_386_603_471_766_654)),
            ("2026-11-23T00:30:03.471766654+02:00", Some(1_795_386_603_471_766_654)),
            ("2026-11-22T17:00:03-05:30", Some(1_795_386_603_000_000_000)),
            ("2024-02-29T12:00:00Z", Some(1_709_208_000_000_000_000)),
            ("1969-12-31T23:59:59Z", Some(-1_000_000_000)),
            ("0001-01-01T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-11-22 22:30:03Z", None),
            ("2026-11-22T22:30:03", None),
            ("2026-11-22T22:30:03.Z", None),
            ("2026-11-22T22:30:03+2:00", None),
            ("2026-11-22T22:30:03.99", None),
            ("", None),
            ("日本語日本語日本語", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Timestamp::parse(text), expected.map(Timestamp), "{text}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for day in (-200_000..200_000).step_by(37) {
            let moment = Timestamp(day * SECONDS_PER_DAY / 4 * NANOS_PER_SECOND + 7_000_000);
            assert_eq!(Timestamp::parse(&moment.to_string()), Some(moment), "{moment}");
        }
    }

    #[test]
    fn a_clock_that_goes_backwards_takes_no_time() {
        let (early, late) = (Timestamp(1_000_000_000), Timestamp(2_500_000_000));
        assert!((late.seconds_since(early) - 1.5).abs() < 1e-9);
        assert!(early.seconds_since(late).abs() < 1e-9);
    }
}
