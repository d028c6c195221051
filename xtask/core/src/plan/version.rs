//! Versions of Docker's tools: the oldest that do what we ask of them.

/// buildx. `prune` knows `--max-used-space` and its relatives since 0.18; `--progress=rawjson`
/// is older (0.12), and so is `--metadata-file` (0.6). `scripts/onboard` asks for the same.
pub const BUILDX: Version = Version([0, 18, 0]);

/// BuildKit, where it is a builder of its own. `rewrite-timestamp` came with 0.13;
/// `image-manifest` and `ignore-error` of a cache export are older (0.12).
pub const BUILDKIT: Version = Version([0, 13, 0]);

/// The Docker Engine, whose own BuildKit is 0.12 since then (Docker Engine 25.0 release notes).
/// Nothing that needs a newer one is asked of it.
pub const ENGINE: Version = Version([25, 0, 0]);

/// A version, as far as it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version([u32; 3]);

impl Version {
    /// Reads the numbers at the beginning, such as those of `v0.29.1-desktop.1` or `28.5.2+dfsg4`.
    /// `None` where there are none, as in `dev`, or none that say anything, as in a BuildKit's
    /// `v0.0.0+unknown`.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut numbers = [0; 3];
        for (place, number) in numbers.iter_mut().zip(text[..end].split('.')) {
            *place = number.parse().ok()?;
        }
        (numbers != [0; 3]).then_some(Self(numbers))
    }

    /// Whether a text names an older version than this. One that can not be read is not.
    pub fn is_newer_than(self, text: &str) -> bool {
        Self::read(text).is_some_and(|found| found < self)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_tools_write_them() {
        let read = |text| Version::read(text).map(|version| version.to_string());
        for (text, version) in [
            ("0.29.1", "0.29.1"),
            ("v0.17.1-desktop.1", "0.17.1"),
            ("28.5.2+dfsg4", "28.5.2"),
            (" v0.13.0\n", "0.13.0"),
            ("25", "25.0.0"),
            ("27.0.0-rc.2", "27.0.0"),
            ("v0.13.0-rc1", "0.13.0"),
        ] {
            assert_eq!(read(text).as_deref(), Some(version), "{text}");
        }
        for text in ["", "dev", "v0.0.0+unknown", "v", "library-import", "99999999999.1"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn older_ones_are_told_and_unknown_ones_are_not_refused() {
        assert!(BUILDX.is_newer_than("v0.17.1") && BUILDX.is_newer_than("0.9.1"));
        assert!(!BUILDX.is_newer_than("0.18.0") && !BUILDX.is_newer_than("1.0"));
        assert!(!BUILDX.is_newer_than("dev") && !BUILDKIT.is_newer_than("v0.0.0+unknown"));
    }

    #[test]
    fn the_machine_s_setup_asks_for_the_same_buildx() {
        let script = include_str!("../../../../scripts/lib/engine.sh");
        let line = format!("readonly ENGINE_BUILDX_MINIMUM={BUILDX}\n");
        assert!(script.contains(&line), "scripts/lib/engine.sh asks for another one than {BUILDX}");
    }
}
