//! The end of a long output.

/// The last part of an output: whole lines, or the end of a line that is longer than that.
#[derive(Default)]
pub(super) struct Tail(String);

impl Tail {
    /// In bytes: at least so much is kept, and at most twice as much.
    const LIMIT: usize = 64 * 1024;

    pub(super) fn push(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
        if self.0.len() > 2 * Self::LIMIT {
            let cut = self.0.ceil_char_boundary(self.0.len() - Self::LIMIT);
            // The last line break ends what has to stay.
            let rest = &self.0[cut..self.0.len() - 1];
            let line_start = rest.find('\n').map_or(cut, |i| cut + i + 1);
            self.0.drain(..line_start);
        }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_tail_keeps_whole_last_lines() {
        let mut tail = Tail::default();
        for n in 0..40_000 {
            tail.push(&format!("line é {n}"));
        }
        assert!(tail.0.len() <= 2 * Tail::LIMIT);
        assert!(tail.0.starts_with("line é ") && tail.0.ends_with("line é 39999\n"));
    }

    #[test]
    fn the_end_of_one_long_line_stays() {
        let mut tail = Tail::default();
        tail.push("before");
        tail.push(&format!("{}the end", "é".repeat(2 * Tail::LIMIT)));
        assert!(tail.0.ends_with("éthe end\n") && tail.0.len() <= 2 * Tail::LIMIT);
        tail.push("after");
        assert!(tail.0.ends_with("éthe end\nafter\n"));
    }
}
