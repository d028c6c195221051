//! Lines out of a pipe.

/// No line that anybody needs is longer: a pipe without line breaks must not fill the memory.
const LONGEST_LINE_BYTES: usize = 64 << 20;

/// Cuts what comes out of a pipe, in pieces of any size, into lines.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes a piece, and gives the lines that are complete now, without their line breaks.
    /// Bytes that are no UTF-8 become U+FFFD.
    pub fn push(&mut self, piece: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(&rest[..end]);
            lines.push(self.take());
            rest = &rest[end + 1..];
        }
        let room = LONGEST_LINE_BYTES.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(&rest[..rest.len().min(room)]);
        lines
    }

    /// The last line, if the stream ended without a line break.
    pub fn finish(&mut self) -> Option<String> {
        (!self.partial.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        if self.partial.last() == Some(&b'\r') {
            self.partial.pop();
        }
        let line = String::from_utf8_lossy(&self.partial).into_owned();
        self.partial.clear();
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_give_the_same_lines() {
        let input = "one\r\n{\"é\":1}\n\nlast".as_bytes();
        for size in 1..=input.len() {
            let mut lines = Lines::default();
            let mut all: Vec<String> = input.chunks(size).flat_map(|p| lines.push(p)).collect();
            all.extend(lines.finish());
            assert_eq!(all, ["one", "{\"é\":1}", "", "last"], "pieces of {size}");
            assert_eq!(lines.finish(), None);
        }
    }
}
