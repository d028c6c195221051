//! Which base images a build really used, from what BuildKit says of it afterwards.

use serde_json::Value;

use super::Bases;
use super::base::Base;
use crate::registry::digest::Digest;

/// The base images in buildx's metadata file. `None` when it does not say, or when something
/// else went into the image, such as a file from the web: what is there now of that can not be
/// told without fetching it.
///
/// Source: Docker's documentation, `docker buildx build --metadata-file`; the SLSA provenance
/// predicate, version 0.2, `materials`.
pub fn bases(metadata: &Value) -> Option<Bases> {
    const KEY: &str = "buildx.build.provenance";
    let mut found = Bases::new();
    let mut said = false;
    for (key, provenance) in metadata.as_object()? {
        // With several platforms there is one for each, such as `…/linux/amd64`.
        if key.strip_prefix(KEY).is_none_or(|rest| !rest.is_empty() && !rest.starts_with('/')) {
            continue;
        }
        said |= provenance["invocation"].is_object();
        let materials = match &provenance["materials"] {
            Value::Null => continue,
            materials => materials.as_array()?,
        };
        for material in materials {
            let base = Base::from_package_url(material["uri"].as_str()?)?;
            let sha256 = material["digest"]["sha256"].as_str()?;
            let digest: Digest = format!("sha256:{sha256}").parse().ok()?;
            if found.insert(base, digest.clone()).is_some_and(|other| other != digest) {
                return None;
            }
        }
    }
    said.then_some(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn material(url: &str, letter: &str) -> Value {
        json!({ "uri": url, "digest": { "sha256": letter.repeat(64) } })
    }

    fn metadata(materials: &[Value]) -> Value {
        json!({ "containerimage.digest": "sha256:x",
            "buildx.build.provenance": { "invocation": {}, "materials": materials } })
    }

    #[test]
    fn every_image_has_its_digest() {
        let python = "pkg:docker/python@3?platform=linux%2Famd64";
        let found = bases(&metadata(&[material(python, "a"), material("pkg:docker/b@1", "b")]));
        let found: Vec<_> =
            found.unwrap().into_iter().map(|(base, digest)| format!("{base} {digest}")).collect();
        assert_eq!(
            found,
            [
                format!("docker.io/library/b:1 sha256:{}", "b".repeat(64)),
                format!("docker.io/library/python:3 sha256:{}", "a".repeat(64)),
            ]
        );
        assert_eq!(bases(&metadata(&[])), Some(Bases::new()));
        let scratch = json!({ "buildx.build.provenance": { "invocation": {} } });
        assert_eq!(bases(&scratch), Some(Bases::new()));
    }

    #[test]
    fn each_platform_counts() {
        let of = |arm: &str| {
            let platform = |letter| json!({ "invocation": {}, "materials": [material("pkg:docker/a@1", letter)] });
            bases(&json!({
                "buildx.build.provenance/linux/amd64": platform("a"),
                "buildx.build.provenance/linux/arm64": platform(arm),
            }))
        };
        assert_eq!(of("a").unwrap().len(), 1);
        assert_eq!(of("b"), None, "the name stood for two images");
    }

    #[test]
    fn what_is_not_known_is_not_left_out() {
        for unknown in [
            json!({}),
            json!({ "buildx.build.provenance": {} }),
            json!({ "buildx.build.provenance.other": { "invocation": {} } }),
            metadata(&[material("https://example.com/a.tar", "a")]),
            metadata(&[material("pkg:oci/a@1", "a")]),
            metadata(&[json!({ "uri": "pkg:docker/a@1" })]),
            metadata(&[json!({ "uri": "pkg:docker/a@1", "digest": { "sha256": "1" } })]),
            json!({ "buildx.build.provenance": { "invocation": {}, "materials": {} } }),
        ] {
            assert_eq!(bases(&unknown), None, "{unknown}");
        }
    }
}
