//! What docs/image.md promises of the image, as far as it is bytes and not seconds.

use std::process::Command;

use serde_json::Value;

use super::project::{Copy, unique_comment};

/// Pure Python, and no package here needs it.
const SMALL: &str = "itsdangerous==2.2.0 --hash=sha256:c6242fc49e35958c8b15141343aa660db5fc54d4f13a1db01a3f5891b98700ef\n";

/// What `bench/seed` has above its base image, in bytes; see docs/benchmarks.md.
const SEED: u64 = 396_000_000;

/// Where `xtask.toml` has the build arguments of the emulator's environment.
const ARGS: &str = "[env.local.args]";

#[test]
fn changes_push_little_and_the_same_sources_give_the_same_bytes() {
    let copy = Copy::of_this_repository();
    copy.run(&["local", "up"]).code(0);
    let tracked = copy.bytes();

    let first = build(&copy, &["--no-cache"]);
    let layers = layers(&copy, &first);
    let above: u64 = layers.iter().skip(1).map(|layer| layer.size).sum();
    assert!(above < SEED * 30 / 100, "{above} bytes above the base image: {layers:?}");
    assert!(layers.iter().all(|layer| layer.media_type.ends_with("tar+zstd")), "{layers:?}");
    let context = first["build"]["context-bytes"].as_u64().unwrap();
    assert!(context < 100_000 && context < tracked / 20, "{context} bytes of {tracked} are sent");

    // Other times in the sources, and nothing of the first build is used.
    let code = copy.read("api/loppestars/main.py");
    copy.write("api/loppestars/main.py", &code);
    let again = build(&copy, &["--no-cache"]);
    assert_eq!(again["digest"], first["digest"], "the same sources, the same bytes");

    copy.append("api/loppestars/main.py", &unique_comment());
    let code = build(&copy, &[]);
    assert_eq!(changed(&code, "application"), ["api/loppestars/main.py"]);
    let pushed = new_bytes(&layers, &self::layers(&copy, &code));
    assert!((1..100_000).contains(&pushed), "a change of the code pushes {pushed} bytes");
    assert_eq!(code["new-bytes"], pushed, "the report says the same");

    copy.append("api/requirements/light.txt", &(SMALL.to_owned() + &unique_comment()));
    let requirement = build(&copy, &[]);
    assert_eq!(changed(&requirement, "dependencies-light"), ["api/requirements/light.txt"]);
    let pushed = new_bytes(&self::layers(&copy, &code), &self::layers(&copy, &requirement));
    assert!((1..5_000_000).contains(&pushed), "a small requirement pushes {pushed} bytes");

    // Installed by Debian's tools, which write the time in many places. Twice, both times anew.
    let config = copy.read("xtask.toml");
    copy.write(
        "xtask.toml",
        &config.replacen(ARGS, &format!("{ARGS}\nSYSTEM_PACKAGES = \"tini\""), 1),
    );
    let package = build(&copy, &["--no-cache"]);
    let tini = new_bytes(&self::layers(&copy, &requirement), &self::layers(&copy, &package));
    assert!((10_000..5_000_000).contains(&tini), "one more Debian package pushes {tini} bytes");
    let again = build(&copy, &["--no-cache"]);
    assert_eq!(again["digest"], package["digest"], "the same packages, the same bytes");

    copy.run(&["local", "down"]).code(0);
}

fn build(copy: &Copy, options: &[&str]) -> Value {
    let mut args = vec!["build", "--push", "--format", "json"];
    args.extend(options);
    copy.run(&args).code(0).json()
}

/// The files that are named as what the first step of a stage was run for; nothing else is.
fn changed(report: &Value, stage: &str) -> Vec<String> {
    let stages = report["build"]["stages"].as_array().unwrap();
    let first = &stages.iter().find(|of| of["name"] == stage).unwrap()["first-run"];
    assert_eq!(first["not-compared"], serde_json::json!([]), "{first}");
    let changed = first["changed"].as_array().unwrap();
    changed.iter().map(|change| change["path"].as_str().unwrap().to_owned()).collect()
}

#[derive(Debug)]
struct Layer {
    digest: String,
    /// Compressed, in bytes.
    size: u64,
    media_type: String,
}

/// The layers of a build's image, that of the base image first: from its manifest.
fn layers(copy: &Copy, report: &Value) -> Vec<Layer> {
    let name = copy.pushed(report["digest"].as_str().unwrap());
    let output = Command::new("docker")
        .args(["buildx", "imagetools", "inspect", "--raw", &name])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let manifest: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |layer: &Value, key: &str| layer[key].as_str().unwrap().to_owned();
    let layer = |layer: &Value| Layer {
        digest: text(layer, "digest"),
        size: layer["size"].as_u64().unwrap(),
        media_type: text(layer, "mediaType"),
    };
    manifest["layers"].as_array().unwrap().iter().map(layer).collect()
}

/// The bytes of layers that a registry with the first image has to be sent for the second.
fn new_bytes(before: &[Layer], after: &[Layer]) -> u64 {
    let new = |layer: &&Layer| !before.iter().any(|old| old.digest == layer.digest);
    after.iter().filter(new).map(|layer| layer.size).sum()
}
