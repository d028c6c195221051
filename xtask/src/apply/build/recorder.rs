//! Writes a build into the record of builds, and what it was made from beside it.

use std::fs::File;
use std::io::{ErrorKind, Result, Write as _};
use std::path::Path;

use xtask_core::fingerprint::sources::{self, Sources};
use xtask_core::history::{self, Record};

/// Adds a record to the project's file.
///
/// # Errors
/// A file in `target/xtask` can not be written.
pub fn record(root: &Path, record: &Record) -> Result<()> {
    update(&root.join(history::FILE), root, |before| history::with(before, record))
}

/// Keeps what a build was made from.
///
/// # Errors
/// A file in `target/xtask` can not be written.
pub fn keep(root: &Path, sources: &Sources) -> Result<()> {
    update(&root.join(sources::FILE), root, |before| sources::with(before, sources))
}

/// Writes a file anew. Whoever reads it meanwhile sees all of the old one or all of the new one,
/// and two builds that end at once both have their say.
fn update(path: &Path, root: &Path, with: impl FnOnce(&str) -> String) -> Result<()> {
    let dir = path.parent().unwrap_or(root);
    std::fs::create_dir_all(dir)?;
    let lock = File::create(path.with_extension("lock"))?;
    lock.lock()?;
    let before = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir)?;
    file.write_all(with(&before).as_bytes())?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask_core::history::parse;
    use xtask_core::progress::BuildState;

    #[test]
    fn builds_that_end_at_once_all_get_their_line() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let root = dir.path();
                let one =
                    Record { run_steps: number, ..Record::of(&BuildState::default().report()) };
                scope.spawn(move || record(root, &one).unwrap());
            }
        });
        let text = std::fs::read_to_string(dir.path().join(history::FILE)).unwrap();
        let mut numbers: Vec<_> = parse(&text).iter().map(|record| record.run_steps).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..8).collect::<Vec<_>>());
        let left = std::fs::read_dir(dir.path().join("target/xtask")).unwrap().count();
        assert_eq!(left, 2, "the file and its lock");
    }
}
