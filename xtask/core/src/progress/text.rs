//! Text that is safe to print, and the few formats that go into it.

use std::{iter::Peekable, str::Chars};

/// The longest line kept of a build's output, in characters.
/// Minified JavaScript on one line is not worth a terminal's time.
pub const LONGEST_LINE: usize = 4096;

/// One line of harmless text out of anything that a build, a Dockerfile or a registry says.
///
/// - ANSI escape sequences (colours, cursor movement, titles, hyperlinks) are removed, and so is
///   every other control character; a tab becomes four spaces, a line break one.
/// - Characters that reorder or hide text (bidirectional controls, zero-width) are removed.
/// - What GitHub Actions or Azure Pipelines would take for a command is broken by a space:
///   `::error::` at the start becomes `: :error::`, `##[` anywhere becomes `# #[`.
/// - What is longer than [`LONGEST_LINE`] is cut, and ends with `…`.
pub fn sanitise(text: &str) -> String {
    // Nearly all of it.
    if text.len() <= LONGEST_LINE && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return disarm(text.to_owned());
    }
    let mut clean = String::with_capacity(text.len().min(LONGEST_LINE));
    let mut length = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let kept = match c {
            '\u{1b}' => {
                skip_escape(&mut chars);
                continue;
            }
            '\u{9b}' => {
                skip_control_sequence(&mut chars);
                continue;
            }
            '\t' => {
                clean.push_str("    ");
                length += 4;
                continue;
            }
            '\n' | '\u{2028}' | '\u{2029}' => ' ',
            c if c.is_control() || is_invisible(c) => continue,
            c => c,
        };
        if length >= LONGEST_LINE {
            clean.push('…');
            break;
        }
        clean.push(kept);
        length += 1;
    }
    disarm(clean)
}

/// Each line of a text that may have several, sanitised. No line at all for an empty text.
pub fn sanitise_lines(text: &str) -> Vec<String> {
    text.lines().map(sanitise).collect()
}

/// The part of a line that a terminal would show at the end: programs draw progress bars by
/// returning to the start of the line and writing over it.
pub fn after_last_carriage_return(line: &str) -> &str {
    let line = line.trim_end_matches(['\r', '\n']);
    line.rsplit('\r').find(|part| !part.is_empty()).unwrap_or("")
}

fn skip_escape(chars: &mut Peekable<Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            skip_control_sequence(chars);
        }
        // Operating system command, device control, and the other strings that a terminator ends.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            while let Some(c) = chars.next() {
                if c == '\u{7}' || c == '\u{9c}' {
                    break;
                }
                if c == '\u{1b}' {
                    chars.next_if_eq(&'\\');
                    break;
                }
            }
        }
        // Two characters, or more with intermediate ones: `ESC ( B`.
        Some(_) => {
            while chars.next_if(|c| (' '..='/').contains(c)).is_some() {}
            chars.next_if(|c| ('0'..='~').contains(c));
        }
        None => {}
    }
}

fn skip_control_sequence(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| (' '..='?').contains(c)).is_some() {}
    chars.next_if(|c| ('@'..='~').contains(c));
}

fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Breaks workflow commands. Runners trim before they look for `::`, and find `##[` anywhere.
fn disarm(text: String) -> String {
    let mut text = text;
    if text.contains("##") {
        text = text.replace("##[", "# #[").replace("##vso[", "# #vso[");
    }
    let start = text.len() - text.trim_start().len();
    if text[start..].starts_with("::") {
        text.insert(start + 1, ' ');
    }
    text
}

/// How many columns of a terminal a text takes, at most.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Cuts a text to so many columns; what was cut ends with `…`.
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    let mut used = 0;
    let mut kept: String = text
        .chars()
        .take_while(|c| {
            used += char_width(*c);
            used <= room
        })
        .collect();
    kept.push('…');
    kept
}

/// A text with spaces after it, up to so many columns.
pub fn pad(text: &str, columns: usize) -> String {
    let mut padded = text.to_owned();
    padded.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(text))));
    padded
}

/// Combining characters count as one: a line that is taken for longer than it is does no harm.
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x1100..=0x115f
        | 0x231a..=0x231b
        | 0x23e9..=0x23f3
        | 0x25fd..=0x25fe
        | 0x2614..=0x2615
        | 0x2648..=0x2653
        | 0x267f..=0x2705
        | 0x270a..=0x270b
        | 0x2728
        | 0x274c..=0x2757
        | 0x2795..=0x2797
        | 0x27b0..=0x27bf
        | 0x2b1b..=0x2b55
        | 0x2e80..=0xa4cf
        | 0xa960..=0xa97f
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1_6fe0..=0x1_b2ff
        | 0x1_f000..=0x3_fffd => 2,
        _ => 1,
    }
}

/// `0.4s`, `12.3s`, `2m05s`, `1h02m`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 59.95 {
        return format!("{seconds:.1}s");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Positive, and saturating.
    let whole = seconds.round() as u64;
    match whole {
        0..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

/// `0 B`, `999 B`, `31.1 MB`: decimal units, as buildx shows them.
pub fn bytes(count: u64) -> String {
    if count < 1000 {
        return format!("{count} B");
    }
    #[allow(clippy::cast_precision_loss)] // Shown with one decimal.
    let mut value = count as f64;
    for unit in ["kB", "MB", "GB", "TB"] {
        value /= 1000.0;
        if value < 999.95 || unit == "TB" {
            return format!("{value:.1} {unit}");
        }
    }
    unreachable!("the last unit takes everything")
}

/// Twelve digits of a digest are enough for people.
pub fn shorten_digests(text: &str) -> String {
    const PREFIX: &str = "sha256:";
    let mut short = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(PREFIX) {
        let (before, digest) = rest.split_at(at + PREFIX.len());
        let end = digest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digest.len());
        short.push_str(before);
        short.push_str(&digest[..if end == 64 { 12 } else { end }]);
        rest = &digest[end..];
    }
    short + rest
}

/// `1 step`, `2 steps`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_becomes_harmless() {
        let cases = [
            ("plain", "plain"),
            ("\u{1b}[2J\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}Pdevice\u{9c}x", "x"),
            ("\u{1b}(Bx\u{1b}7y\u{1b}Mz", "xyz"),
            ("\u{9b}31mx", "x"),
            ("\u{1b}[", ""),
            ("\u{1b}", ""),
            ("\u{1b}]never ended", ""),
            ("a\u{8}\u{8}b\0\u{7f}c", "abc"),
            ("a\rb\nc", "ab c"),
            ("\tindented", "    indented"),
            ("user\u{202e}nimda\u{2066}\u{200b}", "usernimda"),
            ("::error::x", ": :error::x"),
            ("  ::set-output name=a::b", "  : :set-output name=a::b"),
            ("\u{1b}[0m::error::x", ": :error::x"),
            ("\u{200b}::error::x", ": :error::x"),
            ("\u{a0}::error::x", "\u{a0}: :error::x"),
            ("std::io::Error", "std::io::Error"),
            ("a ##[error]b ##vso[task.x]c", "a # #[error]b # #vso[task.x]c"),
            ("##\u{1b}[0m[error]", "# #[error]"),
            ("###[error]", "## #[error]"),
            ("日本 é 🚀", "日本 é 🚀"),
        ];
        for (hostile, expected) in cases {
            assert_eq!(sanitise(hostile), expected, "{hostile:?}");
        }
    }

    #[test]
    fn sanitising_twice_changes_nothing() {
        for text in ["::x", "##[x", "###[[", "\u{1b}[::x", "::::", " ::", "a\u{1b}]0;::b\u{7}::"] {
            let once = sanitise(text);
            assert_eq!(sanitise(&once), once, "{text:?}");
            assert!(!once.trim_start().starts_with("::") && !once.contains("##["), "{once:?}");
        }
    }

    #[test]
    fn long_lines_are_cut() {
        let clean = sanitise(&"x".repeat(1_000_000));
        assert_eq!(clean.chars().count(), LONGEST_LINE + 1);
        assert!(clean.ends_with('…'));
    }

    #[test]
    fn progress_bars_leave_their_last_state() {
        for (line, last) in [
            ("10%\r50%\r100%\n", "100%"),
            ("windows\r\n", "windows"),
            ("done\r\r\n", "done"),
            ("\r", ""),
            ("plain", "plain"),
        ] {
            assert_eq!(after_last_carriage_return(line), last, "{line:?}");
        }
    }

    #[test]
    fn fits_into_columns() {
        for (text, columns, expected) in [
            ("abcdef", 6, "abcdef"),
            ("abcdef", 5, "abcd…"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("ab", 1, "…"),
            ("ab", 0, ""),
        ] {
            let cut = fit(text, columns);
            assert_eq!(cut, expected);
            assert!(width(&cut) <= columns);
        }
        assert_eq!(pad("日", 4), "日  ");
    }

    #[test]
    fn numbers_read_well() {
        let durations = [(0.04, "0.0s"), (59.94, "59.9s"), (59.96, "1m00s"), (125.0, "2m05s")];
        for (seconds, expected) in durations {
            assert_eq!(duration(seconds), expected);
        }
        assert_eq!(duration(3720.0), "1h02m");
        for (size, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_999, "1.0 MB"),
            (31_086_306, "31.1 MB"),
        ] {
            assert_eq!(bytes(size), expected);
        }
        let digest = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(
            shorten_digests(&format!("a@{digest} {digest}b sha256:beef")),
            "a@sha256:0a0a0a0a0a0a sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0ab sha256:beef"
        );
        assert_eq!(count(1, "step"), "1 step");
        assert_eq!(count(0, "step"), "0 steps");
    }
}
