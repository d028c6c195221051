//! Hides secrets in what others say.

use serde_json::Value;

use super::{secret_in, secret_looking};
use crate::config::Hidden;

/// What is shown in place of a secret.
pub const MASK: &str = "***";

/// Shorter values are words that any text may hold.
const LEAST: usize = 8;

/// What is known to be secret, besides what gives itself away.
#[derive(Clone, Debug, Default)]
pub struct Mask(Vec<Hidden>);

impl Mask {
    /// Of these secrets: each as a whole, each of its lines, and of lines such as `password = x`
    /// what they say. Not of certificates, which are no secrets and may be many.
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut known: Vec<String> = Vec::new();
        for secret in secrets {
            if secret.contains("-----BEGIN CERTIFICATE") && !secret.contains("PRIVATE KEY-----") {
                continue;
            }
            known.push(secret.trim().to_owned());
            for line in secret.lines().filter(|line| !line.trim().starts_with("-----")) {
                known.push(line.trim().to_owned());
                let said = line.split_once(['=', ':']).filter(|(name, _)| secret_looking(name));
                known.extend(said.map(|(_, value)| unquoted(value).to_owned()));
            }
        }
        known.retain(|value| value.len() >= LEAST);
        // A longer one may hold a shorter one.
        known.sort_by_key(|value| std::cmp::Reverse(value.len()));
        known.dedup();
        Self(known.into_iter().map(Hidden).collect())
    }

    /// The text without them.
    pub fn text(&self, text: &str) -> String {
        let mut shown = hide(text);
        for Hidden(value) in &self.0 {
            if shown.contains(value.as_str()) {
                shown = shown.replace(value.as_str(), MASK);
            }
        }
        shown
    }
}

/// The text with the mask in place of every secret that gives itself away.
pub fn hide(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = secret_in(rest) {
        shown.push_str(&rest[..found.range.start]);
        shown.push_str(MASK);
        rest = &rest[found.range.end..];
    }
    shown + rest
}

/// Does that in every text of a JSON value.
pub fn hide_in(value: &mut Value) {
    match value {
        Value::String(text) if secret_in(text).is_some() => *text = hide(text),
        Value::Array(items) => items.iter_mut().for_each(hide_in),
        Value::Object(members) => members.values_mut().for_each(hide_in),
        _ => {}
    }
}

fn unquoted(value: &str) -> &str {
    value.trim().trim_matches(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_secrets_are_hidden_wherever_they_stand() {
        let file = "[repo]\nusername = maria\npassword = \"hunter2-hunter2\"\n";
        let mask = Mask::of(["s3cret-value\n", file, "short"]);
        for (said, shown) in [
            ("+ curl -H s3cret-value/x", "+ curl -H ***/x"),
            ("s3cret-values3cret-value", "******"),
            ("login hunter2-hunter2 failed", "login *** failed"),
            ("username = maria", "***"),
            ("maria is short", "maria is short"),
            ("see https://u:hunter3@h", "see https://u:***@h"),
        ] {
            assert_eq!(mask.text(said), shown);
        }
        assert!(!format!("{mask:?}").contains("hunter2"));
    }

    #[test]
    fn a_key_is_hidden_line_by_line_and_certificates_are_not() {
        let begin = "-----BEGIN ";
        let key = format!("{begin}PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----\n");
        let certificate = format!("{begin}CERTIFICATE-----\nMIIDdTCCAl2gAwIB\n");
        let mask = Mask::of([key.as_str(), certificate.as_str()]);
        assert_eq!(mask.text("  MIIEvQIBADANBg"), "  ***");
        assert_eq!(mask.text("MIIDdTCCAl2gAwIB"), "MIIDdTCCAl2gAwIB");
    }

    #[test]
    fn json_stays_json() {
        let key = ["-----BEGIN PRIVATE", " KEY-----\nMII"].concat();
        let mut value = serde_json::json!({ "a": [key, 1, { "b": "x://u:hunter2@h" }], "c": "d" });
        hide_in(&mut value);
        let shown = serde_json::json!({ "a": ["***", 1, { "b": "x://u:***@h" }], "c": "d" });
        assert_eq!(value, shown);
    }
}
