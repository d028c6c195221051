//! What BuildKit calls its vertices, and what that tells about them.

use super::text::{sanitise, shorten_digests};

/// What a vertex of the build graph is for, read off its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VertexKind {
    /// An instruction of the Dockerfile.
    Step(StepName),
    /// `[internal] load build definition`, `.dockerignore`: the Dockerfile itself.
    LoadDefinition,
    /// `[internal] load build context` and `[context NAME] …`.
    LoadContext,
    /// `[internal] load metadata for IMAGE`: which digest a `FROM` means; holds the image.
    ResolveBase(String),
    /// `[auth] …`: a token is asked for.
    Authenticate,
    /// `importing cache manifest from REF`; holds the reference.
    CacheImport(String),
    /// `exporting cache to …`.
    CacheExport,
    /// `exporting to image` and other exporters: layers are made, and pushed if that was asked for.
    Export,
    /// `importing to docker`, `sending tarball`: the image goes into the local image store.
    Load,
    /// Anything else, such as `[internal] booting buildkit`.
    Other,
}

/// `[linux/arm64 runtime 3/5] COPY app/ /srv/` taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepName {
    /// The platform, if several are built.
    pub platform: Option<String>,
    /// The stage's name; BuildKit leaves it out for the only stage of a Dockerfile: `stage-0`.
    pub stage: String,
    /// Which step of the stage this is, from 1.
    pub index: usize,
    /// How many steps the stage has.
    pub total: usize,
    /// The instruction: `COPY app/ /srv/`. Digests in it are shortened.
    pub instruction: String,
    /// Whether this is the second half of a `COPY --link`: putting the finished layer in place.
    pub link: bool,
}

impl StepName {
    /// Whether the instruction is a `FROM`: a source, that is neither run nor cached like others.
    pub fn is_from(&self) -> bool {
        self.instruction.starts_with("FROM ")
    }
}

impl VertexKind {
    /// Reads a vertex's name. Every name is something; what is not known is [`VertexKind::Other`].
    pub fn parse(name: &str) -> Self {
        if let Some((bracket, rest)) = name.strip_prefix('[').and_then(|n| n.split_once("] ")) {
            return bracketed(bracket, rest);
        }
        let after = |prefix: &str| name.strip_prefix(prefix).map(sanitise);
        if let Some(reference) = after("importing cache manifest from ") {
            Self::CacheImport(reference)
        } else if let Some(image) = after("resolve image config for ") {
            Self::ResolveBase(image)
        } else if is_cache_export(name) {
            Self::CacheExport
        } else if name.starts_with("exporting to ")
            || name.starts_with("pushing ")
            || name.starts_with("merging manifest list")
        {
            Self::Export
        } else if name.starts_with("importing to docker") || name.starts_with("sending tarball") {
            Self::Load
        } else {
            Self::Other
        }
    }
}

/// Source of the names: `Name` of each exporter in cache/remotecache of BuildKit.
fn is_cache_export(name: &str) -> bool {
    let prefixes =
        ["exporting cache", "exporting content cache", "exporting to GitHub Actions Cache"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

fn bracketed(bracket: &str, rest: &str) -> VertexKind {
    // With several platforms, `[internal]` becomes `[linux/arm64 internal]`.
    let word = bracket.rsplit(' ').next().unwrap_or(bracket);
    if word == "internal" {
        if rest.starts_with("load build definition") || rest.starts_with("load .dockerignore") {
            return VertexKind::LoadDefinition;
        }
        if rest.starts_with("load build context") {
            return VertexKind::LoadContext;
        }
        if let Some(image) = rest.strip_prefix("load metadata for ") {
            return VertexKind::ResolveBase(sanitise(image));
        }
        return VertexKind::Other;
    }
    if word == "auth" {
        return VertexKind::Authenticate;
    }
    if bracket.starts_with("context ") {
        return VertexKind::LoadContext;
    }
    step(bracket, rest).map_or(VertexKind::Other, VertexKind::Step)
}

/// `runtime 3/5`, `linux/arm64 runtime 3/5`, `linux/amd64->arm64 runtime 3/5`, `3/5`.
fn step(bracket: &str, instruction: &str) -> Option<StepName> {
    let mut words = bracket.split(' ').filter(|w| !w.is_empty());
    let (index, total) = words.next_back()?.split_once('/')?;
    let (index, total) = (index.parse().ok()?, total.parse().ok()?);
    let (platform, stage) = match (words.next(), words.next(), words.next()) {
        (None, ..) => (None, None),
        (Some(platform), None, _) if platform.contains('/') => (Some(platform), None),
        (Some(stage), None, _) => (None, Some(stage)),
        (platform, stage, None) => (platform, stage),
        _ => return None,
    };
    let unlinked = instruction.strip_prefix("LINK ");
    Some(StepName {
        platform: platform.map(sanitise),
        stage: stage.map_or_else(|| "stage-0".to_owned(), sanitise),
        index,
        total,
        instruction: shorten_digests(&squeeze(&sanitise(unlinked.unwrap_or(instruction)))),
        link: unlinked.is_some(),
    })
}

/// Lines that a Dockerfile continues with `\` arrive with their indentation inside.
fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(
        platform: Option<&str>,
        stage: &str,
        (index, total): (usize, usize),
        instruction: &str,
        link: bool,
    ) -> VertexKind {
        VertexKind::Step(StepName {
            platform: platform.map(str::to_owned),
            stage: stage.to_owned(),
            index,
            total,
            instruction: instruction.to_owned(),
            link,
        })
    }

    #[test]
    fn names_tell_what_a_vertex_is() {
        let image = "127.0.0.1:4566/base:1";
        let cases = [
            ("[runtime 3/5] RUN a &&     b", step(None, "runtime", (3, 5), "RUN a && b", false)),
            ("[2/2] COPY x /", step(None, "stage-0", (2, 2), "COPY x /", false)),
            ("[stage-1 1/1] RUN x", step(None, "stage-1", (1, 1), "RUN x", false)),
            (
                "[linux/arm64 files 1/1] COPY app/ /a/",
                step(Some("linux/arm64"), "files", (1, 1), "COPY app/ /a/", false),
            ),
            (
                "[linux/arm/v7 2/3] RUN x",
                step(Some("linux/arm/v7"), "stage-0", (2, 3), "RUN x", false),
            ),
            (
                "[linux/amd64->arm64 build 2/3] RUN x",
                step(Some("linux/amd64->arm64"), "build", (2, 3), "RUN x", false),
            ),
            (
                "[runtime 2/3] LINK COPY --link a /a",
                step(None, "runtime", (2, 3), "COPY --link a /a", true),
            ),
            (
                "[run\u{1b}[2Jtime 1/1] RUN printf '\u{1b}[31m'",
                step(None, "runtime", (1, 1), "RUN printf ''", false),
            ),
            ("[internal] load build definition from Dockerfile", VertexKind::LoadDefinition),
            ("[internal] load .dockerignore", VertexKind::LoadDefinition),
            ("[internal] load build context", VertexKind::LoadContext),
            ("[context assets] load from client", VertexKind::LoadContext),
            (
                "[internal] load metadata for 127.0.0.1:4566/base:1",
                VertexKind::ResolveBase(image.to_owned()),
            ),
            (
                "[linux/arm64 internal] load metadata for 127.0.0.1:4566/base:1",
                VertexKind::ResolveBase(image.to_owned()),
            ),
            ("[internal] booting buildkit", VertexKind::Other),
            ("[auth] loppestars:pull,push token for 127.0.0.1:4566", VertexKind::Authenticate),
            (
                "importing cache manifest from 127.0.0.1:4566/base:1",
                VertexKind::CacheImport(image.to_owned()),
            ),
            ("exporting cache to registry", VertexKind::CacheExport),
            ("exporting cache to client directory", VertexKind::CacheExport),
            ("exporting cache to Amazon S3", VertexKind::CacheExport),
            ("exporting to GitHub Actions Cache", VertexKind::CacheExport),
            ("exporting to image", VertexKind::Export),
            ("exporting to docker image format", VertexKind::Export),
            ("importing to docker", VertexKind::Load),
            ("[a b c d 1/2] RUN x", VertexKind::Other),
            ("[runtime x/5] RUN x", VertexKind::Other),
            ("[", VertexKind::Other),
            ("", VertexKind::Other),
        ];
        for (name, expected) in cases {
            assert_eq!(VertexKind::parse(name), expected, "{name}");
        }
    }
}
