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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
        let hostile = "\"><script>alert('x') && 1</script>";
        assert_eq!(
            Escaped(hostile).to_string(),
            "&quot;&gt;&lt;script&gt;alert(&#39;x&#39;) &amp;&amp; 1&lt;/script&gt;"
        );
    }
}
