//! Whether an image fits what its tasks run on: their processor, and their space.

use super::needs::Needs;
use crate::exit::{Exit, Failure};
use crate::registry::manifest::Platform;
use crate::units::format_size;

/// Reads a platform as `--platform` takes it, such as `linux/arm64/v8`.
pub fn platform(text: &str) -> Platform {
    let mut parts = text.split('/').map(str::to_ascii_lowercase);
    let (os, architecture) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    // Other names that BuildKit takes for the same.
    let architecture = match architecture.as_str() {
        "x86_64" | "x86-64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        _ => architecture,
    };
    Platform { os, architecture, variant: parts.next() }
}

/// What is wrong when an image for these platforms is to run as a task definition says.
pub fn architecture(needs: &Needs, image: &[Platform]) -> Option<Failure> {
    let wanted = needs.platform.as_ref()?;
    let runs = |platform: &Platform| {
        platform.os == wanted.os && platform.architecture == wanted.architecture
    };
    if image.iter().any(runs) {
        return None;
    }
    let cpu = if wanted.architecture == "arm64" { "ARM64" } else { "X86_64" };
    let other = if cpu == "ARM64" { "X86_64" } else { "ARM64" };
    Some(
        Failure::new(
            Exit::Prerequisite,
            format!("the image is for {}, and {} runs on {wanted} ({cpu})", list(image), needs.of),
        )
        .hint(format!(
            "build it for that: `platforms = [\"{wanted}\"]` in [image] of xtask.toml; or change \
             `runtimePlatform.cpuArchitecture` of the task definition to {other}"
        )),
    )
}

/// Platforms, for messages.
pub fn list(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "no platform".to_owned();
    }
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether an image fits into a task's space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// With the usual compression.
    Enough,
    /// Only if it is compressed less than usual.
    Tight,
    /// In no case.
    TooSmall,
}

/// How much larger layers usually are when they are unpacked. Those of packages and programs
/// come to between two and three times; a model's weights, which hardly compress, to less.
const USUALLY: f64 = 2.5;

/// Whether an image of so many compressed bytes fits into so many GiB: on Fargate, what was
/// pulled stays beside what was unpacked from it, which is never smaller.
///
/// Source: Amazon ECS developer guide, "Fargate task ephemeral storage for Amazon ECS".
pub fn space(compressed: u64, storage_gib: u64) -> Space {
    let storage = storage_gib.saturating_mul(1 << 30);
    #[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
    let usually = compressed as f64 * (1.0 + USUALLY);
    #[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
    let limit = storage as f64;
    if compressed.saturating_mul(2) > storage {
        Space::TooSmall
    } else if usually > limit {
        Space::Tight
    } else {
        Space::Enough
    }
}

/// What is said of an image that does not fit, or hardly.
pub fn space_text(what: &str, compressed: u64, storage_gib: u64) -> String {
    let usually = space(compressed, storage_gib) == Space::Tight;
    let unpacked = if usually { ", and usually two to three times that unpacked," } else { "" };
    let not = if usually { "may not fit" } else { "does not fit, packed and unpacked," };
    format!(
        "{what} has {} compressed{unpacked} and {not} into the {storage_gib} GiB that a task has",
        format_size(compressed)
    )
}

/// What to do about it.
pub const SPACE_FIX: &str = "raise `ephemeralStorage.sizeInGiB` in the task definition (Fargate has up to 200), or make \
     the image smaller";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn needs(cpu: &str) -> Needs {
        let definition = json!({ "requiresCompatibilities": ["FARGATE"],
            "runtimePlatform": { "cpuArchitecture": cpu } });
        Needs::of("app:7", &definition)
    }

    #[test]
    fn one_platform_of_an_image_has_to_be_that_of_the_task() {
        let image = |texts: &[&str]| texts.iter().map(|text| platform(text)).collect::<Vec<_>>();
        let fits = |cpu, texts: &[&str]| architecture(&needs(cpu), &image(texts)).is_none();
        assert!(fits("ARM64", &["linux/arm64/v8"]) && fits("ARM64", &["linux/aarch64"]));
        assert!(
            fits("X86_64", &["linux/arm64", "linux/amd64"]) && fits("X86_64", &["linux/x86_64"])
        );
        assert!(!fits("X86_64", &["linux/arm64"]) && !fits("ARM64", &["windows/arm64"]));
        let failure = architecture(&needs("ARM64"), &image(&["linux/amd64"])).unwrap();
        assert_eq!(failure.exit, Exit::Prerequisite);
        assert_eq!(
            failure.message,
            "the image is for linux/amd64, and app:7 runs on linux/arm64 (ARM64)"
        );
        assert!(failure.hint.unwrap().contains("platforms = [\"linux/arm64\"]"));
        // Nothing is said, and nothing is known.
        assert!(architecture(&Needs::of("app:7", &json!({})), &image(&["linux/arm64"])).is_none());
    }

    #[test]
    fn an_image_needs_space_packed_and_unpacked() {
        const GB: u64 = 1_000_000_000;
        assert_eq!(space(GB, 20), Space::Enough);
        assert_eq!(space(7 * GB, 20), Space::Tight);
        assert_eq!(space(11 * GB, 20), Space::TooSmall);
        assert_eq!(space(11 * GB, 40), Space::Enough);
        assert_eq!(space(u64::MAX, 20), Space::TooSmall);
        let text = space_text("the image", 11 * GB, 20);
        assert!(text.contains("11.0 GB compressed and does not fit"), "{text}");
        assert!(space_text("the image", 7 * GB, 20).contains("may not fit"));
    }
}
