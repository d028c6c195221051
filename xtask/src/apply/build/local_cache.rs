//! Puts a cache that a build wrote into a folder in the place of the one before it.

use std::io::{ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use xtask_core::plan::cache::Swap;

/// What a build that was killed left goes after this time.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);

/// Folders that are being written. Dropping them removes what did not find its place.
pub struct NewCaches(Vec<Swap>);

impl NewCaches {
    /// Of a build that begins.
    pub fn of(swaps: &[Swap]) -> Self {
        Self(swaps.to_vec())
    }

    /// Puts those that are whole into their places. A build that reads the old one meanwhile goes
    /// on with it: it stays, as `NAME.old`, until the next time.
    ///
    /// # Errors
    /// A folder can not be moved; the others have been.
    pub fn put_in_place(self) -> Result<()> {
        let results: Vec<_> = self.0.iter().map(put_in_place).collect();
        results.into_iter().collect()
    }
}

impl Drop for NewCaches {
    fn drop(&mut self) {
        for swap in &self.0 {
            // What can not be removed is removed another day.
            let _ = remove(&swap.new);
        }
    }
}

fn put_in_place(swap: &Swap) -> Result<()> {
    remove_left_behind(&swap.path);
    // BuildKit writes this last; without it the export failed, which the build's report says.
    if !swap.new.join("index.json").is_file() {
        return Ok(());
    }
    let old = beside(&swap.path, ".old");
    remove(&old)?;
    match std::fs::rename(&swap.path, &old) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::rename(&swap.new, &swap.path)
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove_left_behind(path: &Path) {
    let name = beside(path, ".new-");
    let (Some(dir), Some(prefix)) = (path.parent(), name.file_name()) else { return };
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let ours = entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes());
        let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let age = modified.and_then(|then| SystemTime::now().duration_since(then).ok());
        if ours && age.is_some_and(|age| age > LEFT_BEHIND) {
            let _ = remove(&entry.path());
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, text: &str) {
        std::fs::create_dir_all(dir).unwrap();
        std::fs::write(dir.join("index.json"), text).unwrap();
    }

    fn read(dir: &Path) -> String {
        std::fs::read_to_string(dir.join("index.json")).unwrap()
    }

    #[test]
    fn a_whole_cache_takes_the_place_of_the_one_before_and_the_folder_does_not_grow() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cache");
        for number in 0..4 {
            let new = dir.path().join(format!("cache.new-{number}"));
            write(&new, &number.to_string());
            let new = Swap { new, path: path.clone() };
            NewCaches::of(&[new]).put_in_place().unwrap();
            assert_eq!(read(&path), number.to_string());
        }
        assert_eq!(read(&dir.path().join("cache.old")), "2");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_not_whole_is_removed_and_the_one_before_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (path, new) = (dir.path().join("cache"), dir.path().join("cache.new-1"));
        write(&path, "before");
        let swap = Swap { new: new.clone(), path: path.clone() };
        std::fs::create_dir_all(new.join("blobs")).unwrap();
        NewCaches::of(std::slice::from_ref(&swap)).put_in_place().unwrap();
        assert_eq!(read(&path), "before");
        assert!(!new.exists());
        // A build that failed never comes that far.
        write(&new, "failed");
        drop(NewCaches::of(&[swap]));
        assert!(!new.exists() && read(&path) == "before");
    }
}
