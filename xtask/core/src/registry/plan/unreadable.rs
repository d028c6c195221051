//! Indexes that can not be read: what they need is not known, so nothing goes.

use std::error::Error;
use std::fmt;

use crate::registry::digest::Digest;
use crate::registry::repository::Repository;

/// An image whose manifest is missing although it may list others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Which.
    pub digest: Digest,
    /// Its tags.
    pub tags: Vec<String>,
    /// Why, if that is known.
    pub reason: Option<String>,
}

/// That nothing can be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanError {
    /// Indexes could not be read, so their children are not known.
    Unreadable {
        /// Registry host and repository name.
        repository: String,
        /// Each of them; never empty.
        images: Vec<Unreadable>,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        let Self::Unreadable { repository, images } = self;
        write!(f, "nothing was deleted from {repository}: could not read ")?;
        for (at, image) in images.iter().take(SHOWN).enumerate() {
            write!(f, "{}index {}", if at > 0 { "; " } else { "" }, image.digest)?;
            if !image.tags.is_empty() {
                write!(f, " ({})", image.tags.join(", "))?;
            }
            if let Some(reason) = &image.reason {
                write!(f, ": {reason}")?;
            }
        }
        if images.len() > SHOWN {
            write!(f, "; and {} more", images.len() - SHOWN)?;
        }
        f.write_str(
            "; what an index needs is protected only when it can be read: try again, \
             and if it stays unreadable push that tag again or delete it by its digest",
        )
    }
}

impl Error for PlanError {}

/// Refuses to go on when children could be hidden.
pub fn refuse_unreadable(repository: &Repository) -> Result<(), PlanError> {
    let images: Vec<Unreadable> = repository
        .images()
        .iter()
        .filter(|image| repository.hides_children(image))
        .map(|image| Unreadable {
            digest: image.digest.clone(),
            tags: image.tags.clone(),
            reason: repository.unread_reason(&image.digest).map(str::to_owned),
        })
        .collect();
    if images.is_empty() {
        return Ok(());
    }
    Err(PlanError::Unreadable { repository: repository.uri().to_owned(), images })
}
