//! The record of earlier builds.

use std::path::Path;

use crate::history::{self, Record};

/// What is recorded of earlier builds of a project, the oldest first. Where there is no record,
/// or none that can be read, there were no earlier builds: it is there to compare with, and no
/// command depends on it.
pub fn history(root: &Path) -> Vec<Record> {
    let text = std::fs::read(root.join(history::FILE)).unwrap_or_default();
    history::parse(&String::from_utf8_lossy(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_record_is_no_builds() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(history(dir.path()), []);
        std::fs::create_dir_all(dir.path().join(history::FILE)).unwrap();
        assert_eq!(history(dir.path()), []);
    }
}
