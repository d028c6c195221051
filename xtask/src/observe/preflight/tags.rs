//! Tags that a push moves, and repositories that do not let it.

use anyhow::Result;

use super::check::Check;
use crate::observe::ecr::RepositoryFacts;
use xtask_core::config::Cache;

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
    other: Option<&Result<RepositoryFacts>>,
) -> Option<Check> {
    let what = "cache's tag";
    let tag = &cache.tag;
    if tag.is_empty() {
        return None;
    }
    let repository = match other {
        None => images,
        Some(Ok(repository)) => repository,
        Some(Err(error)) => {
            let text = format!("the cache's repository could not be looked at: {error:#}");
            return Some(Check::warning(what, text, "mend that, or a build has no registry cache"));
        }
    };
    let name = &repository.name;
    let why = match (other, &cache.repository) {
        (Some(_), None) => {
            format!(
                "the repository `{}` does not let the cache's tag `{tag}` move, so the",
                images.name
            )
        }
        _ => "the".to_owned(),
    };
    if other.is_some() && !repository.exists {
        return Some(Check::note(
            what,
            format!("{why} cache goes into the repository `{name}`, which a push creates"),
            format!(
                "nothing, or let the stack create it: `SeparateCacheRepository = \"true\"`, or \
                 `aws ecr create-repository --repository-name {name}`"
            ),
        ));
    }
    if repository.tags.moves(tag) {
        return Some(Check::ok(what, format!("{why} cache goes to {name}:{tag}, which can move")));
    }
    Some(Check::warning(
        what,
        format!(
            "the repository `{name}` does not let the cache's tag `{tag}` move, so only the first \
             build can write its cache"
        ),
        "exclude the tag from the repository's immutability (`aws ecr put-image-tag-mutability`), \
         or name another repository with `repository` in [cache] of xtask.toml",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask_core::registry::glob::Glob;
    use xtask_core::registry::mutability::TagMutability;

    fn repository(name: &str, mutable: bool, except: &[&str]) -> RepositoryFacts {
        let except = except.iter().map(|pattern| Glob::new(*pattern)).collect();
        RepositoryFacts { name: name.into(), exists: true, tags: TagMutability { mutable, except } }
    }

    fn cache(tag: &str) -> Cache {
        Cache { tag: tag.into(), ..Cache::default() }
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
        let of = |found: Result<RepositoryFacts>| of_cache(&cache("c"), &images, Some(&found));
        let check = of(Ok(other.clone())).unwrap();
        assert_eq!(check.found.word(), "ok");
        assert!(check.found.text().starts_with("the repository `app` does not let"));
        let check = of(Ok(RepositoryFacts { exists: false, ..other })).unwrap();
        assert_eq!(check.found.word(), "note");
        assert!(check.found.text().contains("`app-cache`, which a push creates"));
        assert!(check.found.fix().unwrap().contains("SeparateCacheRepository"));
        assert_eq!(word(&of(Err(anyhow::anyhow!("AccessDenied")))), "warning");
    }
}
