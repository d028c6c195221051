//! Who uses which image of a repository: the join of what ECS runs or could
//! run with what is in ECR.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;

use serde::Serialize;

use super::digest::{Digest, Reference};
use super::repository::Repository;

/// What kind of thing uses an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum UserKind {
    /// A task that runs, starts or is about to.
    RunningTask,
    /// A task that ECS still lists as stopped.
    StoppedTask,
    /// A service, by the task definition that it is set to.
    Service,
    /// A deployment of a service, also one that is being drained or rolled back to.
    Deployment,
    /// One of the last revisions of a task definition's family.
    TaskDefinitionRevision,
}

impl fmt::Display for UserKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RunningTask => "running task",
            Self::StoppedTask => "stopped task",
            Self::Service => "service",
            Self::Deployment => "deployment",
            Self::TaskDefinitionRevision => "task definition",
        })
    }
}

/// One user of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct User {
    /// What it is.
    pub kind: UserKind,
    /// Its name as people know it, `cluster/service` or `family:revision`.
    pub name: String,
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// That somebody uses an image, as ECS says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The image as the container's definition names it.
    pub image: String,
    /// The digest that a task's container really runs (`imageDigest`), if ECS reports one.
    pub digest: Option<String>,
    /// Who.
    pub user: User,
}

/// A use that names nothing that is in the repository (any more).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct MissingUse {
    /// The reference as it was written.
    pub image: String,
    /// Who.
    pub user: User,
}

/// The images of one repository that are in use, and by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct InUse {
    /// Users by digest, each user once, in order.
    pub by: BTreeMap<Digest, Vec<User>>,
    /// Uses of this repository whose image is not there.
    pub missing: Vec<MissingUse>,
}

/// A use that can not be understood, so that nothing may be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseError {
    text: String,
    user: User,
}

impl fmt::Display for UseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} uses {:?}, which is not an image reference that can be read; \
             nothing is deleted until it is known what it needs",
            self.user, self.text
        )
    }
}

impl Error for UseError {}

impl InUse {
    /// Finds the images that are used. Uses of other repositories are left
    /// out. A tag counts for the image that it is on now, and the digest that
    /// a task reports counts as well: the tag may have moved since it started.
    ///
    /// # Errors
    /// When a use of this repository has a digest that is none.
    pub fn resolve(repository: &Repository, uses: &[Use]) -> Result<Self, UseError> {
        // By tag once for all: there may be many revisions and many images.
        let tags: BTreeMap<&str, &Digest> = repository
            .images()
            .iter()
            .flat_map(|image| image.tags.iter().map(move |tag| (tag.as_str(), &image.digest)))
            .collect();
        let mut by: BTreeMap<Digest, BTreeSet<User>> = BTreeMap::new();
        let mut missing = BTreeSet::new();
        for Use { image, digest, user } in uses {
            let named = image.split_once('@').map_or(image.as_str(), |(name, _)| name);
            if !names(repository.uri(), named) {
                continue;
            }
            let unreadable = |text: &str| UseError { text: text.to_owned(), user: user.clone() };
            let reference = Reference::parse(image).map_err(|_| unreadable(image))?;
            let ran = match digest {
                Some(text) => Some(text.parse().map_err(|_| unreadable(text))?),
                None => None,
            };
            let tag = reference.tag.as_deref().unwrap_or("latest");
            let meant = match reference.digest {
                Some(digest) => Some(digest),
                None => tags.get(tag).map(|digest| (*digest).clone()),
            };
            let mut present = false;
            for digest in [meant, ran].into_iter().flatten() {
                present |= repository.image(&digest).is_some();
                by.entry(digest).or_default().insert(user.clone());
            }
            if !present {
                missing.insert(MissingUse { image: image.clone(), user: user.clone() });
            }
        }
        Ok(Self {
            by: by
                .into_iter()
                .map(|(digest, users)| (digest, users.into_iter().collect()))
                .collect(),
            missing: missing.into_iter().collect(),
        })
    }

    /// The users of an image; empty when there is none.
    #[must_use]
    pub fn users(&self, digest: &Digest) -> &[User] {
        self.by.get(digest).map_or(&[], Vec::as_slice)
    }
}

/// Whether a name without digest, with or without tag, is of the repository.
fn names(uri: &str, name: &str) -> bool {
    name.strip_prefix(uri)
        .is_some_and(|rest| rest.is_empty() || (rest.starts_with(':') && !rest.contains('/')))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{URI, digest, image, repository};
    use super::*;

    fn of(image: &str, ran: Option<u64>, name: &str) -> Use {
        let user = User { kind: UserKind::RunningTask, name: name.to_owned() };
        Use { image: image.to_owned(), digest: ran.map(|n| digest(n).to_string()), user }
    }

    #[test]
    fn tags_and_digests_are_resolved_and_other_repositories_left_out() {
        let repository =
            repository(vec![image(1, &["latest"]), image(2, &["git-2"]), image(3, &[])], []);
        let uses = [
            of(URI, None, "bare"),
            of(&format!("{URI}:git-2"), None, "by tag"),
            of(&format!("{URI}:git-2"), Some(3), "tag moved"),
            of(&format!("{URI}:git-2@{}", digest(1)), None, "digest wins"),
            of(&format!("{URI}-other:git-2"), None, "other"),
            of(&format!("elsewhere/{URI}:git-2"), None, "other"),
            of(&format!("{URI}/nested:git-2"), None, "other"),
            of("debian:trixie", Some(2), "sidecar"),
            of(&format!("{URI}:gone"), None, "missing"),
            of(&format!("{URI}@{}", digest(9)), None, "missing"),
        ];
        let in_use = InUse::resolve(&repository, &uses).unwrap();
        let names = |n| -> Vec<&str> {
            in_use.users(&digest(n)).iter().map(|user| user.name.as_str()).collect()
        };
        assert_eq!(names(1), ["bare", "digest wins"]);
        assert_eq!(names(2), ["by tag", "tag moved"]);
        assert_eq!(names(3), ["tag moved"]);
        assert_eq!(in_use.missing.len(), 2);
        assert_eq!(in_use.users(&digest(9)).len(), 1, "protected should it come back");
    }

    #[test]
    fn a_digest_that_is_none_stops_everything() {
        let repository = repository(vec![image(1, &["latest"])], []);
        let error = InUse::resolve(&repository, &[of(&format!("{URI}@sha256:12"), None, "web:7")])
            .unwrap_err()
            .to_string();
        assert!(error.contains("running task web:7") && error.contains("nothing is deleted"));
        // Not our repository: not our business.
        assert!(InUse::resolve(&repository, &[of("x@sha256:12", None, "y")]).is_ok());
    }
}
