//! Names of things in a registry: content digests and image references.

use std::borrow::Borrow;
use std::error::Error;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The digest of a manifest or blob, such as `sha256:…` with 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// Text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestError(String);

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a digest; a digest is sha256: and 64 hexadecimal digits", self.0)
    }
}

impl Error for DigestError {}

impl Digest {
    /// The whole digest, `sha256:…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Enough of it to tell it apart from others, `sha256:` and twelve digits.
    #[must_use]
    pub fn short(&self) -> &str {
        let end = self.0.find(':').map_or(0, |colon| colon + 13);
        self.0.get(..end).unwrap_or(&self.0)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        let valid = match text.split_once(':') {
            Some((algorithm, hex)) => {
                let length = match algorithm {
                    "sha256" => 64,
                    "sha384" => 96,
                    "sha512" => 128,
                    _ => return Err(DigestError(text)),
                };
                hex.len() == length
                    && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            }
            None => false,
        };
        if valid { Ok(Self(text)) } else { Err(DigestError(text)) }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Digest {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// An image as a task definition names it: `repository[:tag][@digest]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Registry host and repository, without tag and digest.
    pub repository: String,
    /// The tag, if one is named. Docker takes `latest` when neither tag nor digest is.
    pub tag: Option<String>,
    /// The digest, if one is named; it wins over the tag.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Takes a reference apart. A digest that is none is an error, since it
    /// decides what is protected from deletion.
    ///
    /// # Errors
    /// When what follows `@` is not a digest.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon before the last slash belongs to a port.
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag.to_owned())),
            _ => (name, None),
        };
        Ok(Self { repository: repository.to_owned(), tag, digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "9f46e79637505301a344b9ab7519cfb1f92f9e12888f4f7d9f402919473f5c04";

    #[test]
    fn digests_are_checked() {
        let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
        assert_eq!(digest.short(), "sha256:9f46e7963750");
        for text in
            ["", "latest", HEX, "sha256:", "sha256:ABC", "md5:d41d8cd98f00b204e9800998ecf8427e"]
        {
            let error = text.parse::<Digest>().expect_err(text).to_string();
            assert!(error.contains("64 hexadecimal digits"), "{error}");
        }
        assert!(serde_json::from_str::<Digest>("\"sha256:12\"").is_err());
    }

    #[test]
    fn references_are_taken_apart() {
        let cases = [
            ("app", "app", None, false),
            ("127.0.0.1:4566/app", "127.0.0.1:4566/app", None, false),
            ("127.0.0.1:4566/team/app:git-1", "127.0.0.1:4566/team/app", Some("git-1"), false),
            ("h/app:v1@", "h/app", Some("v1"), true),
            ("h/app@", "h/app", None, true),
        ];
        for (text, repository, tag, with_digest) in cases {
            let text = if with_digest { format!("{text}sha256:{HEX}") } else { text.to_owned() };
            let reference = Reference::parse(&text).unwrap();
            assert_eq!(reference.repository, repository);
            assert_eq!(reference.tag.as_deref(), tag);
            assert_eq!(reference.digest.is_some(), with_digest);
        }
        assert!(Reference::parse("app@sha256:nonsense").is_err());
    }
}
