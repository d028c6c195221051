//! Colour, and numbers for people.

/// Colours, or none.
pub struct Style {
    colour: bool,
}

impl Style {
    /// With colour or without.
    pub fn new(colour: bool) -> Self {
        Self { colour }
    }

    /// What is beside the point.
    pub fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    /// What stands out.
    pub fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What went wrong.
    pub fn red(&self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// What should be looked at.
    pub fn yellow(&self, text: &str) -> String {
        self.paint("1;33", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Seconds in the unit that people would use.
pub fn human_seconds(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 90.0 => format!("{s:.0} s"),
        s => format!("{} min {:.0} s", (s / 60.0).floor(), s % 60.0),
    }
}

/// Bytes in the unit that people would use: powers of 1000, as Docker and ECR count.
pub fn human_bytes(bytes: u64) -> String {
    xtask_core::units::format_size(bytes)
}
