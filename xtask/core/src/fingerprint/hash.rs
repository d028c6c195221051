//! SHA-256 over values that can not run into each other.

use std::fmt;
use std::str::FromStr;

use ring::digest::{Context, SHA256};

/// A finished hash. Its text is 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash([u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Hash {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(());
        }
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| ())?;
        }
        Ok(Self(hash))
    }
}

/// A hash of a list of values. Each one goes in with its length before it, and a list with the
/// number of its items: no two different lists are the same bytes.
pub struct Hasher(Context);

impl Hasher {
    /// For one kind of thing, so that two kinds never have the same hash.
    pub fn new(kind: &str) -> Self {
        let mut hasher = Self(Context::new(&SHA256));
        hasher.value(kind);
        hasher
    }

    /// Adds a value.
    pub fn value(&mut self, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.number(value.len() as u64);
        self.0.update(value);
    }

    /// Adds a value that may be missing, which is not the same as one that is empty.
    pub fn maybe(&mut self, value: Option<impl AsRef<[u8]>>) {
        self.number(u64::from(value.is_some()));
        if let Some(value) = value {
            self.value(value);
        }
    }

    /// Adds a number.
    pub fn number(&mut self, number: u64) {
        self.0.update(&number.to_be_bytes());
    }

    /// Adds a list of values.
    pub fn list<V: AsRef<[u8]>>(&mut self, values: impl ExactSizeIterator<Item = V>) {
        self.number(values.len() as u64);
        values.for_each(|value| self.value(value));
    }

    /// Adds what has a hash already.
    pub fn hash(&mut self, hash: Hash) {
        self.0.update(&hash.0);
    }

    /// Adds a piece of one value whose length goes in elsewhere.
    pub(super) fn piece(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The hash of all that was added.
    pub fn finish(self) -> Hash {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        Hash(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fill: impl Fn(&mut Hasher)) -> Hash {
        let mut hasher = Hasher::new("test");
        fill(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn it_is_sha_256_in_hexadecimal() {
        // `printf '\0\0\0\0\0\0\0\4test' | sha256sum`
        let text = "09a7d352412717c7e0b93286eb544f83ddf6da4260b795e90aa44e8e58f5dadd";
        assert_eq!(of(|_| {}).to_string(), text);
    }

    #[test]
    fn values_do_not_run_into_each_other() {
        let different = [
            of(|h| h.list(["ab"].iter())),
            of(|h| h.list(["a", "b"].iter())),
            of(|h| h.list(["a", "b", ""].iter())),
            of(|h| h.list(["", "ab"].iter())),
            of(|h| {
                h.list(["a"].iter());
                h.list(["b"].iter());
            }),
            of(|h| h.value("ab")),
            of(|h| {
                h.value("a");
                h.value("b");
            }),
        ];
        for (at, one) in different.iter().enumerate() {
            assert_eq!(different.iter().position(|other| other == one), Some(at));
        }
        assert_ne!(of(|h| h.maybe(None::<&str>)), of(|h| h.maybe(Some(""))));
        assert_ne!(Hasher::new("a").finish(), Hasher::new("b").finish());
    }

    #[test]
    fn its_text_is_read_back() {
        let hash = of(|h| h.number(7));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!("".parse::<Hash>().is_err() && "g".repeat(64).parse::<Hash>().is_err());
    }
}
