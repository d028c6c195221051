//! Names of the images that a build starts from, in one form whoever says them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::registry::digest::{Digest, Reference};

/// The image's whole name: registry, repository, and tag or digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Base(String);

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Base {
    /// Completes a name as Docker does: `python` is `docker.io/library/python:latest`. `None`
    /// when it is no name of an image.
    ///
    /// Source: the `reference` package of github.com/distribution/reference, `ParseNormalizedNamed`.
    pub fn parse(name: &str) -> Option<Self> {
        let reference = Reference::parse(name).ok()?;
        let repository = reference.repository.as_str();
        let (host, path) = match repository.split_once('/') {
            Some((host, path))
                if host.contains(['.', ':'])
                    || host == "localhost"
                    || host.contains(|c: char| c.is_ascii_uppercase()) =>
            {
                (host, path)
            }
            _ => ("docker.io", repository),
        };
        let host = if host == "index.docker.io" { "docker.io" } else { host };
        let library = if host == "docker.io" && !path.contains('/') { "library/" } else { "" };
        if path.is_empty() {
            return None;
        }
        // The tag beside a digest says nothing.
        let version = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => format!("@{digest}"),
            (None, tag) => format!(":{}", tag.as_deref().unwrap_or("latest")),
        };
        Some(Self(format!("{host}/{library}{path}{version}")))
    }

    /// From a provenance statement's package URL, such as
    /// `pkg:docker/python@3.13?platform=linux%2Famd64`. `None` when it is not that of an image
    /// in a registry.
    ///
    /// Source: github.com/moby/buildkit, `util/purl`; github.com/package-url/purl-spec.
    pub fn from_package_url(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("pkg:docker/")?;
        let (path, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
        let (name, version) = match path.rsplit_once('@') {
            Some((name, version)) => (name, Some(percent_decoded(version)?)),
            None => (path, None),
        };
        let mut name = percent_decoded(name)?;
        let mut digest = None;
        for qualifier in qualifiers.split('&').filter(|qualifier| !qualifier.is_empty()) {
            match qualifier.split_once('=')? {
                ("digest", value) => digest = Some(percent_decoded(value)?),
                ("platform", _) => {}
                _ => return None,
            }
        }
        match (digest, version) {
            (Some(digest), _) => name.push_str(&format!("@{digest}")),
            (None, Some(digest)) if digest.contains(':') => name.push_str(&format!("@{digest}")),
            (None, Some(tag)) => name.push_str(&format!(":{tag}")),
            (None, None) => {}
        }
        Self::parse(&name)
    }

    /// From the name of a vertex of BuildKit's that asks a registry or the image store for an
    /// image.
    ///
    /// Source: github.com/moby/buildkit, `frontend/dockerfile/dockerfile2llb/convert.go` and,
    /// for `# syntax=`, `frontend/gateway/gateway.go`.
    pub fn from_vertex(name: &str) -> Option<Self> {
        let (before, image) = name
            .split_once("internal] load metadata for ")
            .or_else(|| name.split_once("resolve image config for docker-image://"))?;
        // What stands before it, if anything, is a bracket and the platform.
        let platform = before.is_empty() || (before.starts_with('[') && !before.contains(']'));
        platform.then(|| Self::parse(image))?
    }

    /// The digest, where the name has it already.
    pub fn pinned(&self) -> Option<Digest> {
        Reference::parse(&self.0).ok()?.digest
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "9f46e79637505301a344b9ab7519cfb1f92f9e12888f4f7d9f402919473f5c04";

    fn base(name: &str) -> String {
        Base::parse(name).unwrap().to_string()
    }

    #[test]
    fn a_name_is_completed_as_docker_does() {
        assert_eq!(base("python"), "docker.io/library/python:latest");
        assert_eq!(base("python:3.13-slim"), "docker.io/library/python:3.13-slim");
        assert_eq!(base("docker.io/library/python:3"), base("python:3"));
        assert_eq!(base("index.docker.io/python:3"), base("python:3"));
        assert_eq!(base("moby/buildkit:v1"), "docker.io/moby/buildkit:v1");
        assert_eq!(base("localhost/a"), "localhost/a:latest");
        assert_eq!(base("127.0.0.1:5000/a/b:c"), "127.0.0.1:5000/a/b:c");
        let digest = format!("sha256:{HEX}");
        let pinned = Base::parse(&format!("python:3@{digest}")).unwrap();
        assert_eq!(pinned.to_string(), format!("docker.io/library/python@{digest}"));
        assert_eq!(pinned.pinned().unwrap().as_str(), digest);
        assert!(Base::parse("python:3").unwrap().pinned().is_none());
        assert!(Base::parse("python@sha256:12").is_none() && Base::parse("").is_none());
    }

    #[test]
    fn vertices_that_look_for_an_image_name_it() {
        let of = |name: &str| Base::from_vertex(name).map(|base| base.to_string());
        let python = Some(base("python:3"));
        assert_eq!(of("[internal] load metadata for docker.io/library/python:3"), python);
        assert_eq!(of("[linux/arm64 internal] load metadata for python:3"), python);
        assert_eq!(
            of("resolve image config for docker-image://docker.io/docker/dockerfile:1"),
            Some(base("docker/dockerfile:1"))
        );
        for other in [
            "[internal] load .dockerignore",
            "[1/2] FROM docker.io/library/python:3",
            "[2/2] RUN echo internal] load metadata for a",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn package_urls_name_the_same_images() {
        let of = |url: &str| Base::from_package_url(url).map(|base| base.to_string());
        let cases = [
            ("pkg:docker/noop-other@1?platform=linux%2Famd64", base("noop-other:1")),
            ("pkg:docker/moby/buildkit@v1", base("moby/buildkit:v1")),
            (
                "pkg:docker/127.0.0.1%3A5000/a/b@c?platform=linux%2Farm64",
                base("127.0.0.1:5000/a/b:c"),
            ),
            ("pkg:docker/127.0.0.1:5000/b@c", base("127.0.0.1:5000/b:c")),
            ("pkg:docker/a", base("a")),
        ];
        for (url, name) in cases {
            assert_eq!(of(url), Some(name), "{url}");
        }
        let pinned = format!("docker.io/library/a@sha256:{HEX}");
        for url in [
            format!("pkg:docker/a@3?digest=sha256:{HEX}&platform=linux%2Famd64"),
            format!("pkg:docker/a?digest=sha256%3A{HEX}"),
            format!("pkg:docker/a@sha256:{HEX}"),
        ] {
            assert_eq!(of(&url).as_ref(), Some(&pinned), "{url}");
        }
        for other in [
            "pkg:oci/a@1",
            "https://example.com/a.tar",
            "pkg:docker/a@1?ref_type=blob",
            "pkg:docker/a%2",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
