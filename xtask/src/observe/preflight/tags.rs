//! Tags that a push moves, and repositories that do not let it.

use anyhow::Result;

use super::check::Check;
use crate::config::Cache;
use crate::observe::ecr::RepositoryFacts;

/// The image's moving tags. Those that can not move are left out of a push.
pub(super) fn of_image(tags: &[String], repository: &RepositoryFacts) -> Option<Check> {
    let fixed: Vec<&str> =
        tags.iter().map(String::as_str).filter(|tag| !repository.tags.moves(tag)).collect();
    if fixed.is_empty() {
        return None;
    }
    Some(Check::warning(
        "tags",
        format!(
            "the repository `{}` does not let {} move to another image, so a push leaves {} out",
            repository.name,
            fixed.join(", "),
            if fixed.len() == 1 { "it" } else { "them" }
        ),
        "take such tags out of `tags` in [image] of xtask.toml, or exclude them from the \
         repository's immutability (`aws ecr put-image-tag-mutability`)",
    ))
}

/// The cache's tag, which moves with every build. `other` is the cache's own repository, where
/// it has one. A build goes on without what it can not write.
pub(super) fn of_cache(
    cache: &Cache,
    images: &RepositoryFacts,
    other: Option<Result<RepositoryFacts>>,
) -> Option<Check> {
    let what = "cache's tag";
    let repository = match &other {
        None => images,
        Some(Ok(repository)) => repository,
        Some(Err(error)) => {
            let text = format!("the cache's repository could not be looked at: {error:#}");
            return Some(Check::warning(what, text, "mend that, or a build has no registry cache"));
        }
    };
    if cache.tag.is_empty() {
        return None;
    }
    let (name, tag) = (&repository.name, &cache.tag);
    if other.is_some() && !repository.exists {
        return Some(Check::warning(
            what,
            format!("there is no repository `{name}`, so a build can not write its cache"),
            format!(
                "create it: `aws ecr create-repository --repository-name {name}`, or in the stack \
                 with `SeparateCacheRepository = \"true\"`"
            ),
        ));
    }
    if repository.tags.moves(tag) {
        return Some(Check::ok(what, format!("{name}:{tag} can move")));
    }
    Some(Check::warning(
        what,
        format!(
            "the repository `{name}` does not let the cache's tag `{tag}` move, so only the first \
             build can write its cache"
        ),
        "name a repository of its own with `repository` in [cache] of xtask.toml, or exclude the \
         tag from the repository's immutability (`aws ecr put-image-tag-mutability`)",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::CacheMode;
    use crate::registry::glob::Glob;
    use crate::registry::mutability::TagMutability;

    fn repository(name: &str, mutable: bool, except: &[&str]) -> RepositoryFacts {
        let except = except.iter().map(|pattern| Glob::new(*pattern)).collect();
        RepositoryFacts { name: name.into(), exists: true, tags: TagMutability { mutable, except } }
    }

    fn cache(tag: &str) -> Cache {
        Cache { tag: tag.into(), repository: None, mode: CacheMode::Max }
    }

    fn word(check: &Option<Check>) -> &'static str {
        check.as_ref().map_or("none", |check| check.found.word())
    }

    #[test]
    fn moving_tags_of_an_immutable_repository_are_named() {
        let tags = ["latest".to_owned(), "stable".to_owned()];
        assert!(of_image(&tags, &repository("app", true, &[])).is_none());
        assert!(of_image(&[], &repository("app", false, &[])).is_none());
        let check = of_image(&tags, &repository("app", false, &[])).unwrap();
        assert!(check.found.text().contains("latest, stable move"), "{}", check.found.text());
        let check = of_image(&tags, &repository("app", false, &["late*"])).unwrap();
        assert!(check.found.text().contains("let stable move"), "{}", check.found.text());
    }

    #[test]
    fn a_cache_needs_a_tag_that_moves() {
        let images = repository("app", false, &[]);
        let check = of_cache(&cache("buildcache"), &images, None);
        assert_eq!(word(&check), "warning");
        assert!(check.unwrap().found.fix().unwrap().contains("`repository` in [cache]"));
        assert_eq!(word(&of_cache(&cache(""), &images, None)), "none");
        let excluded = repository("app", false, &["buildcache*"]);
        assert_eq!(word(&of_cache(&cache("buildcache"), &excluded, None)), "ok");
        let reversed = repository("app", true, &["build*"]);
        assert_eq!(word(&of_cache(&cache("buildcache"), &reversed, None)), "warning");
    }

    #[test]
    fn the_cache_s_own_repository_counts_where_it_has_one() {
        let images = repository("app", false, &[]);
        let other = repository("app-cache", true, &[]);
        assert_eq!(word(&of_cache(&cache("c"), &images, Some(Ok(other.clone())))), "ok");
        let gone = RepositoryFacts { exists: false, ..other };
        let check = of_cache(&cache("c"), &images, Some(Ok(gone))).unwrap();
        assert!(check.found.text().contains("no repository `app-cache`"));
        let denied = Some(Err(anyhow::anyhow!("AccessDenied")));
        assert_eq!(word(&of_cache(&cache("c"), &images, denied)), "warning");
    }
}
