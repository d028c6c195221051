//! Whole lines out of the pieces in which a command's output arrives.

use super::text::{after_last_carriage_return, sanitise};
use crate::plan::secret::Mask;

/// Longer lines are broken here, so that output without line breaks does not fill the memory.
const LONGEST_PARTIAL_BYTES: usize = 64 << 10;

/// The unfinished line of one stream of one step.
#[derive(Debug, Default)]
pub struct PartialLine(Vec<u8>);

impl PartialLine {
    /// Takes a piece, and gives the lines that are complete now, sanitised and without secrets.
    pub fn push(&mut self, piece: &[u8], mask: &Mask) -> Vec<String> {
        let mut lines = Vec::new();
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            self.0.extend_from_slice(part);
            if part.ends_with(b"\n") || self.0.len() > LONGEST_PARTIAL_BYTES {
                lines.extend(self.flush(mask));
            }
        }
        lines
    }

    /// What there is, as a line: the command has ended.
    pub fn flush(&mut self, mask: &Mask) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let line = String::from_utf8_lossy(&self.0);
        // Before the line is cut: half a secret is one, too.
        let clean = sanitise(&mask.text(after_last_carriage_return(&line)));
        self.0.clear();
        Some(clean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_lines() {
        let (mut partial, mask) = (PartialLine::default(), Mask::default());
        assert!(partial.push(b"lo", &mask).is_empty());
        assert_eq!(partial.push(b"g 1\nlog 2\n\xe2\x82", &mask), ["log 1", "log 2"]);
        assert_eq!(partial.push(b"\xac\n\n", &mask), ["€", ""]);
        assert_eq!(partial.push(b"10%\r20%\r", &mask), Vec::<String>::new());
        assert_eq!(partial.flush(&mask), Some("20%".to_owned()));
        assert_eq!(partial.flush(&mask), None);
    }

    #[test]
    fn endless_lines_are_broken() {
        let (mut partial, mask) = (PartialLine::default(), Mask::default());
        let lines: usize = (0..100).map(|_| partial.push(&[b'x'; 4096], &mask).len()).sum();
        assert!(lines >= 5 && partial.0.len() <= LONGEST_PARTIAL_BYTES + 4096);
    }

    #[test]
    fn a_secret_that_comes_in_pieces_or_at_the_cut_is_hidden() {
        let (mut partial, mask) = (PartialLine::default(), Mask::of(["s3cret-value"]));
        assert!(partial.push(b"a s3cret", &mask).is_empty());
        assert_eq!(partial.push(b"-value b\n", &mask), ["a *** b"]);
        let long = "x".repeat(super::super::text::LONGEST_LINE - 6);
        let cut = partial.push(format!("{long}s3cret-value\n").as_bytes(), &mask);
        assert!(!cut[0].contains("s3cret"), "{}", &cut[0][long.len()..]);
    }
}
