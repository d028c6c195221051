//! A number that stands for some texts, the same on every machine and in every build.

/// FNV-1a, 64 bits. Not for anything that somebody would want to forge.
pub fn of<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for text in texts {
        // A byte that no text has ends each of them.
        for byte in text.as_ref().bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn texts_do_not_run_into_each_other() {
        assert_eq!(of(["a", "b"]), of(["a", "b"]));
        assert_ne!(of(["a", "b"]), of(["ab"]));
        assert_ne!(of(["a", ""]), of(["a"]));
    }
}
