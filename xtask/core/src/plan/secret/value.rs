//! Values that give themselves away, whatever they are called: credentials of a known form.
//!
//! Only forms that mean nothing else: a commit, a digest or a version is never taken for a
//! secret, and what has no form of its own is left to its name.

use std::ops::Range;

/// Something in a text that is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is, such as `a GitHub token`.
    pub what: &'static str,
    /// Where it is in the text, in bytes.
    pub range: Range<usize>,
}

/// A token that begins with what its issuer chose so that it is recognised.
struct Token {
    what: &'static str,
    starts: &'static [&'static str],
    /// How many characters at least follow the start.
    least: usize,
    /// What they may be besides letters and digits.
    also: &'static str,
}

/// Sources: "GitHub's token formats" in the GitHub documentation; "GitLab token prefixes"; the
/// lists of secrets that GitHub's and GitLab's scanners find, with their patterns.
#[rustfmt::skip]
const TOKENS: [Token; 11] = [
    Token { what: "a GitHub token", starts: &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], least: 30, also: "_" },
    Token { what: "a GitHub token", starts: &["github_pat_"], least: 22, also: "_" },
    Token { what: "a GitLab token", starts: &["glpat-", "gldt-", "glrt-", "glcbt-"], least: 20, also: "_-" },
    Token { what: "a Slack token", starts: &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xapp-"], least: 10, also: "-" },
    Token { what: "a Stripe key", starts: &["sk_live_", "rk_live_", "sk_test_", "rk_test_"], least: 16, also: "" },
    Token { what: "an npm token", starts: &["npm_"], least: 36, also: "" },
    Token { what: "a PyPI token", starts: &["pypi-AgE"], least: 20, also: "_-" },
    Token { what: "a Docker token", starts: &["dckr_pat_", "dckr_oat_"], least: 20, also: "_-" },
    Token { what: "a Hugging Face token", starts: &["hf_"], least: 34, also: "" },
    Token { what: "an API key", starts: &["sk-ant-", "sk-proj-", "sk-svcacct-"], least: 20, also: "_-" },
    Token { what: "a Google API key", starts: &["AIza"], least: 35, also: "_-" },
];

/// The first secret in a text; `None` where nothing gives itself away.
pub fn secret_in(text: &str) -> Option<Found> {
    // Most of what is printed about a large repository is digests and numbers. Every form below
    // has one of these characters.
    if !text.bytes().any(|b| b.is_ascii_uppercase() || matches!(b, b'_' | b'-' | b'/')) {
        return None;
    }
    let url = url_credentials(text).find(|found| !is_placeholder(&text[found.range.clone()]));
    let finds = [url, private_key(text), json_web_token(text), access_key(text), token(text)];
    finds.into_iter().flatten().min_by_key(|found| found.range.start)
}

/// What stands before the `@` of URLs and lets one in: a password, or a token without a name.
/// A mere name, as in `ssh://git@host`, does not.
fn url_credentials(text: &str) -> impl Iterator<Item = Found> {
    text.match_indices("://").filter_map(|(at, separator)| {
        let start = at + separator.len();
        let scheme = text[..at].chars().next_back()?;
        let end = |c: char| c.is_whitespace() || c.is_control() || "/?#\"'`<>\\".contains(c);
        let rest = &text[start..];
        let authority = &rest[..rest.find(end).unwrap_or(rest.len())];
        let user_info = &authority[..authority.rfind('@')?];
        let secret = match user_info.split_once(':') {
            Some((user, password)) if !password.is_empty() => start + user.len() + 1,
            Some((user, _)) if is_opaque(user) => start,
            None if is_opaque(user_info) => start,
            _ => return None,
        };
        let range = secret..start + user_info.len();
        scheme.is_ascii_alphanumeric().then_some(Found { what: "a URL with credentials", range })
    })
}

/// What no person is called: letters and digits, many of them.
fn is_opaque(user: &str) -> bool {
    let of = |kind: fn(&char) -> bool| user.chars().any(|c| kind(&c));
    user.len() >= 16
        && of(char::is_ascii_digit)
        && of(char::is_ascii_alphabetic)
        && !user.contains(['.', '%'])
}

/// What something else is put in the place of, or was already: `$TOKEN`, `{{ token }}`, `***`.
fn is_placeholder(secret: &str) -> bool {
    let inner = secret.trim_matches(['%', '<', '>']);
    secret.starts_with('$')
        || secret.starts_with("{{")
        || inner.chars().all(|c| c == '*')
        || (secret.starts_with('%') && secret.ends_with('%') && !inner.contains('%'))
}

/// From the first line of a private key to its last one, or to the end of the text.
fn private_key(text: &str) -> Option<Found> {
    let begins = |at: &usize| {
        let rest = &text[at + BEGIN.len()..];
        rest.find("-----").is_some_and(|end| rest[..end].ends_with("PRIVATE KEY"))
    };
    let start = text.match_indices(BEGIN).map(|(at, _)| at).find(begins)?;
    let rest = &text[start..];
    let end = rest.find("-----END ").and_then(|at| {
        let last = at + "-----END ".len();
        Some(last + rest[last..].find("-----")? + "-----".len())
    });
    Some(Found { what: "a private key", range: start..start + end.unwrap_or(rest.len()) })
}

const BEGIN: &str = "-----BEGIN ";

/// Three parts in base64, the first two of them JSON objects (RFC 7519).
fn json_web_token(text: &str) -> Option<Found> {
    words(text, "eyJ", |c| c.is_ascii_alphanumeric() || "-_.=".contains(c)).find_map(|range| {
        let mut parts = text[range.clone()].split('.');
        let (head, body, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let long = head.len() > 8 && body.len() > 8 && signature.len() > 8;
        (long && body.starts_with("eyJ")).then_some(Found { what: "a JSON web token", range })
    })
}

/// The id of an access key: of a user, or of a session.
///
/// Source: the IAM user guide, "IAM identifiers", unique identifiers.
fn access_key(text: &str) -> Option<Found> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = ["AKIA", "ASIA"].into_iter();
    let mut words = starts.flat_map(|start| words(text, start, plain));
    let range = words.find(|range| {
        let word = &text[range.clone()];
        word.len() == 20 && word.chars().all(|c| matches!(c, 'A'..='Z' | '2'..='7'))
    })?;
    Some(Found { what: "an AWS access key", range })
}

fn token(text: &str) -> Option<Found> {
    let found = TOKENS.iter().filter_map(|token| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || token.also.contains(c) || c == '_';
        token.starts.iter().find_map(|start| {
            let long = |range: &Range<usize>| {
                let rest = &text[range.start + start.len()..range.end];
                // Words of a language have no digits in them.
                let random = rest.chars().any(|c| c.is_ascii_digit());
                rest.len() >= token.least && random
            };
            let range = words(text, start, |c| allowed(c) || start.contains(c)).find(long)?;
            Some(Found { what: token.what, range })
        })
    });
    found.min_by_key(|found| found.range.start)
}

/// Where words are that begin with `start`, as far as `part` goes.
fn words(
    text: &str,
    start: &str,
    part: impl Fn(char) -> bool,
) -> impl Iterator<Item = Range<usize>> {
    text.match_indices(start).filter_map(move |(at, _)| {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            return None;
        }
        let rest = &text[at..];
        Some(at..at + rest.find(|c| !part(c)).unwrap_or(rest.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::hide;
    use super::*;

    /// Put together here, so that scanners do not take this file for a leak.
    fn token(start: &str, length: usize) -> String {
        let rest: String = "a1B2c3D4e5".chars().cycle().take(length).collect();
        format!("{start}{rest}")
    }

    #[test]
    fn credentials_give_themselves_away() {
        let jwt = format!("{}.{}.{}", token("eyJ", 20), token("eyJ", 30), token("s", 43));
        let cases = [
            ("postgres://app:hunter2@db.internal:5432/app".to_owned(), "a URL with credentials"),
            ("https://user:p@ss@host/".to_owned(), "a URL with credentials"),
            ("https://:hunter2@host".to_owned(), "a URL with credentials"),
            (format!("https://{}@github.com/a/b", token("x", 20)), "a URL with credentials"),
            (format!("https://{}:@host", token("", 32)), "a URL with credentials"),
            (
                "--index https://a.example --extra https://u:p4ss@b.example".to_owned(),
                "a URL with credentials",
            ),
            (format!("AKIA{}", "Q2W3E4R5T6Y7U2I3"), "an AWS access key"),
            (format!("key=ASIA{};", "Q2W3E4R5T6Y7U2I3"), "an AWS access key"),
            (jwt.clone(), "a JSON web token"),
            (format!("Bearer {jwt}"), "a JSON web token"),
            (format!("{}RSA PRIVATE KEY-----\nMIIE\n", "-----BEGIN "), "a private key"),
            (format!("{}PRIVATE KEY-----", "-----BEGIN "), "a private key"),
            (format!("{}OPENSSH PRIVATE KEY-----", "-----BEGIN "), "a private key"),
            (token("ghp_", 36), "a GitHub token"),
            (token("ghs_", 36), "a GitHub token"),
            (token("github_pat_", 82), "a GitHub token"),
            (token("glpat-", 20), "a GitLab token"),
            (token("xoxb-", 40), "a Slack token"),
            (token("sk_live_", 24), "a Stripe key"),
            (token("npm_", 36), "an npm token"),
            (token("pypi-AgE", 60), "a PyPI token"),
            (token("dckr_pat_", 27), "a Docker token"),
            (token("hf_", 34), "a Hugging Face token"),
            (token("sk-ant-", 40), "an API key"),
            (token("AIza", 35), "a Google API key"),
        ];
        for (value, what) in cases {
            let found = secret_in(&value).map(|found| found.what);
            assert_eq!(found, Some(what), "{value}");
            let hidden = hide(&value);
            assert!(hidden.contains("***") && secret_in(&hidden).is_none(), "{value}: {hidden}");
        }
    }

    #[test]
    fn harmless_values_do_not() {
        for plain in [
            "",
            "3.13-slim-trixie",
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc71",
            "sha256:2a56a11a57a4a295956b0660b4a3d76bbdca2206c4961cea8efe7d95c7cb2f2d",
            "app@sha256:2a56a11a57a4a295956b0660b4a3d76bbdca2206c4961cea8efe7d95c7cb2f2d",
            "https://example.org/a:b@c",
            "https://example.org/?next=http://a@b",
            "https://user@example.org",
            "https://maria.magdalena.1990@example.org",
            "ssh://git@github.com/a/b.git",
            "git@github.com:a/b.git",
            "http://host:8080/",
            "redis://cache:6379/0",
            "https://user:@host",
            "https://user:$TOKEN@host",
            "https://user:${TOKEN}@host",
            "https://user:{{ token }}@host",
            "https://user:%TOKEN%@host",
            "https://user:***@host",
            "arn:aws:secretsmanager:eu-central-1:1:secret:x",
            "arn:aws:iam::123456789012:role/AKIA",
            "AKIAS",
            "AKIA_IS_NO_KEY_BY_ITSELF",
            "-----BEGIN CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----",
            "eyJ",
            "eyJhbGciOiJub25lIn0",
            "sk-learn-is-a-library-of-many-words",
            "npm_config_registry",
            "hf_hub",
            "glpat-",
            "ghp_",
            "tokenizers==0.21.0",
            "2026-11-24T12:00:00Z",
            "1735689600",
            "python:3.13@sha256:aa",
        ] {
            assert_eq!(secret_in(plain), None, "{plain}");
            assert_eq!(hide(plain), plain);
        }
    }

    #[test]
    fn only_the_secret_is_hidden() {
        let cases = [
            ("see https://app:hunter2@db/x, please", "see https://app:***@db/x, please"),
            ("a://u:p@h b://v:q@i", "a://u:***@h b://v:***@i"),
            ("\"http://u:p@h\"", "\"http://u:***@h\""),
            ("http://u:p%40ss@h", "http://u:***@h"),
        ];
        for (text, shown) in cases {
            assert_eq!(hide(text), shown);
        }
        let key = format!("{}PRIVATE KEY-----\nMII\n-----END PRIVATE KEY----- b", "a -----BEGIN ");
        assert_eq!(hide(&key), "a *** b");
    }
}
