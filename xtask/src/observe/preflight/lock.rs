//! Whether the deploy locks can be read, and whether somebody holds one.

use super::check::Check;
use crate::aws::Aws;
use crate::observe::lock::holders;
use xtask_core::config::Environment;

/// Asks for the deploy lock of every service.
pub async fn for_lock(aws: &Aws, environment: &Environment) -> Check {
    if !environment.lock {
        return Check::note(
            "deploy lock",
            "off: two deploys at once supersede one another",
            "let only one run at a time, or set `lock = true` in xtask.toml",
        );
    }
    match holders(aws, environment).await {
        Ok(held) if held.is_empty() => Check::ok("deploy lock", "free"),
        Ok(held) => Check::note(
            "deploy lock",
            held.iter()
                .map(|(service, holder)| format!("{service} is being deployed by {holder}"))
                .collect::<Vec<_>>()
                .join("; "),
            "a deploy waits for it; `--if-busy supersede` takes its place, `--if-busy abort` stops",
        ),
        Err(error) => Check::wrong("deploy lock", error),
    }
}
