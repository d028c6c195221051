//! Temporary files for what commands print, and what is said where there is no room for them.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};

use anyhow::Result;

use xtask_core::exit::{Exit, Failure};

/// A file without a name.
///
/// # Errors
/// [`Exit::Prerequisite`]: there is no place for it.
pub(super) fn file() -> Result<File> {
    tempfile::tempfile().map_err(|error| no_room(&error).into())
}

/// All that a command that has ended wrote into a file, decoded lossily.
///
/// # Errors
/// [`Exit::Prerequisite`]: there was no room for all of it.
pub(super) fn read_back(mut file: File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    has_room(&file)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Commands differ in what they do when they can not write. Where not one byte more fits, nobody
/// knows whether what is there is all.
fn has_room(mut file: &File) -> Result<()> {
    file.write_all(b"\n").map_err(|error| no_room(&error).into())
}

/// What is said where a temporary file can not be made or written.
pub(super) fn no_room(error: &std::io::Error) -> Failure {
    let place = std::env::temp_dir();
    let text = format!("no temporary file can be written in {}: {error}", place.display());
    Failure::new(Exit::Prerequisite, text)
        .hint("make room there, or name another folder with TMPDIR")
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask_core::exit::{exit_of, hint_of};

    #[test]
    fn what_was_written_is_read_back() {
        let mut written = file().unwrap();
        written.write_all(b"one\ntwo").unwrap();
        assert_eq!(read_back(written).unwrap(), "one\ntwo");
    }

    #[test]
    fn a_full_disk_is_told_from_a_command_that_said_nothing() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = has_room(&full).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Prerequisite);
        assert!(error.to_string().contains("No space left on device"), "{error}");
        assert!(hint_of(&error).unwrap().contains("TMPDIR"));
    }
}
