//! What a registry has of an image.

use std::collections::BTreeSet;

use serde_json::Value;

use super::search::Needles;
use crate::e2e::http;
use crate::e2e::project::PORT;

/// What was found, by what it was found in.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found<'a> {
    /// Manifests, configurations, and layers that are no archives: attestations.
    pub documents: BTreeSet<&'a str>,
    /// Archives, unpacked.
    pub layers: BTreeSet<&'a str>,
    /// How many of them there were.
    pub archives: usize,
    /// How many attestations.
    pub attestations: usize,
}

/// Searches all that there is behind a tag or a digest.
pub fn search<'a>(needles: &'a Needles, reference: &str) -> Found<'a> {
    let mut found = Found::default();
    visit(needles, reference, &mut found);
    found
}

fn visit<'a>(needles: &'a Needles, reference: &str, found: &mut Found<'a>) {
    let manifest = get(&format!("manifests/{reference}"));
    found.documents.extend(needles.of(&manifest));
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    for child in manifest["manifests"].as_array().into_iter().flatten() {
        visit(needles, child["digest"].as_str().unwrap(), found);
    }
    let layers = manifest["layers"].as_array().into_iter().flatten();
    for blob in layers.chain(manifest.get("config")) {
        let bytes = get(&format!("blobs/{}", blob["digest"].as_str().unwrap()));
        let kind = blob["mediaType"].as_str().unwrap();
        let unpack = match kind.rsplit('+').next().unwrap() {
            "zstd" => "zstd -dc",
            "gzip" => "gzip -dc",
            "json" => {
                found.attestations += usize::from(kind.contains("in-toto"));
                found.documents.extend(needles.of(&bytes));
                continue;
            }
            _ if kind.contains("cacheconfig") => {
                found.documents.extend(needles.of(&bytes));
                continue;
            }
            other => panic!("layers of the kind {other} are not known"),
        };
        found.archives += 1;
        found.layers.extend(needles.piped(unpack, &bytes));
    }
}

fn get(path: &str) -> Vec<u8> {
    let answer = http::get(&format!("http://127.0.0.1:{PORT}/v2/loppestars/{path}"));
    assert_eq!(answer.status, 200, "{path}");
    answer.body
}
