//! What pages have in common.

use std::fmt::{self, Write as _};

/// Begins a page that needs nothing else and forbids scripts and requests to itself. `what` says
/// what is shown of `title`.
///
/// # Errors
/// None: writing into a string can not fail.
pub fn open(page: &mut String, title: &str, what: &str, style: &str) -> fmt::Result {
    let title = Escaped(title);
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}: {what}</title>\n<style>\n{style}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n"
    )
}

/// The few facts at the top of a page, each with what it is.
///
/// # Errors
/// None: writing into a string can not fail.
pub fn facts(page: &mut String, facts: &[(&str, String)]) -> fmt::Result {
    page.push_str("<ul class=\"facts\">\n");
    for (what, value) in facts {
        writeln!(page, "<li>{what} <b>{}</b></li>", Escaped(value))?;
    }
    page.push_str("</ul>\n");
    Ok(())
}

/// Text for an element or an attribute in double quotes.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not below `least`: marks on an axis that
/// are so far apart have short numbers.
pub fn round_step(least: f64) -> f64 {
    let power = 10.0_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    steps.into_iter().find(|step| *step >= least).unwrap_or(power * 10.0)
}

/// Marks further apart than ten seconds, in seconds: where people read minutes.
const LONG_STEPS: [f64; 8] = [15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

/// As [`round_step`], for marks in seconds: beyond ten of them, quarters and halves of minutes, and
/// so on.
pub fn time_step(least: f64) -> f64 {
    if least <= 10.0 {
        return round_step(least);
    }
    let round = LONG_STEPS.into_iter().find(|step| *step >= least);
    round.unwrap_or_else(|| round_step(least / 3600.0) * 3600.0)
}

/// What a mark says that is one of several so many seconds apart.
pub fn time_label(seconds: f64, step: f64) -> String {
    if step <= 10.0 {
        let decimals = usize::from(step < 1.0) + usize::from(step < 0.1) + usize::from(step < 0.01);
        return format!("{seconds:.decimals$}s");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is positive")]
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}"),
        (hours, 0, _) => format!("{hours}h"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_for_people() {
        let labels = |seconds: f64| {
            let step = time_step(seconds / 9.0);
            let marks = (0..16_u8).map(|n| f64::from(n) * step).take_while(|at| *at < seconds);
            marks.map(|at| time_label(at, step)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(0.3), "0.00s 0.05s 0.10s 0.15s 0.20s 0.25s");
        assert_eq!(labels(2.4), "0.0s 0.5s 1.0s 1.5s 2.0s");
        assert_eq!(labels(9.0), "0s 1s 2s 3s 4s 5s 6s 7s 8s");
        assert_eq!(labels(130.0), "0s 15s 30s 45s 1m 1m15 1m30 1m45 2m");
        assert_eq!(labels(9000.0), "0s 30m 1h 1h30 2h");
        assert_eq!(labels(90_000.0), "0s 5h 10h 15h 20h");
    }

    #[test]
    fn markup_is_text() {
        let hostile = "\"><script>alert('x') && 1</script>";
        assert_eq!(
            Escaped(hostile).to_string(),
            "&quot;&gt;&lt;script&gt;alert(&#39;x&#39;) &amp;&amp; 1&lt;/script&gt;"
        );
    }
}
