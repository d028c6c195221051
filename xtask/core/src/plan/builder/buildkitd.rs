//! BuildKit's own configuration, `buildkitd.toml`.
//!
//! Source of the keys: docs/buildkitd.toml.md of BuildKit. The limits have these names since
//! BuildKit 0.17.

use std::fmt::{self, Write as _};

use crate::config::builder::{Buildkitd, Limits, Policy, Registry, Space};
use crate::units::go_duration;

/// The file's text.
pub fn text(buildkitd: &Buildkitd) -> String {
    let mut text = String::new();
    write(&mut text, buildkitd).expect("writing into a string can not fail");
    text
}

fn write(text: &mut String, buildkitd: &Buildkitd) -> fmt::Result {
    let Buildkitd { limits, policies, max_parallelism, registries } = buildkitd;
    let collects = *limits != Limits::default() || !policies.is_empty();
    if collects || max_parallelism.is_some() {
        text.push_str("[worker.oci]\n");
        if collects {
            text.push_str("gc = true\n");
        }
        if policies.is_empty() {
            self::limits(text, limits)?;
        }
        if let Some(most) = max_parallelism {
            writeln!(text, "max-parallelism = {most}")?;
        }
    }
    for policy in policies {
        self::policy(text, policy)?;
    }
    // BuildKit reads the worker's own limits only where there is no policy.
    if !policies.is_empty() && *limits != Limits::default() {
        self::policy(text, &Policy { all: true, limits: *limits, ..Policy::default() })?;
    }
    for (host, registry) in registries {
        self::registry(text, host, registry)?;
    }
    Ok(())
}

fn limits(text: &mut String, limits: &Limits) -> fmt::Result {
    for (key, space) in [
        ("reservedSpace", limits.reserved),
        ("maxUsedSpace", limits.max_used),
        ("minFreeSpace", limits.min_free),
    ] {
        match space {
            Some(Space::Bytes(bytes)) => writeln!(text, "{key} = {bytes}")?,
            Some(Space::Percent(percent)) => writeln!(text, "{key} = \"{percent}%\"")?,
            None => {}
        }
    }
    Ok(())
}

fn policy(text: &mut String, policy: &Policy) -> fmt::Result {
    text.push_str("[[worker.oci.gcpolicy]]\n");
    if policy.all {
        text.push_str("all = true\n");
    }
    if !policy.filters.is_empty() {
        writeln!(text, "filters = {}", List(&policy.filters))?;
    }
    if let Some(duration) = policy.keep_duration {
        writeln!(text, "keepDuration = \"{}\"", go_duration(duration))?;
    }
    limits(text, &policy.limits)
}

fn registry(text: &mut String, host: &str, registry: &Registry) -> fmt::Result {
    writeln!(text, "[registry.{}]", Quoted(host))?;
    for (key, list) in [("mirrors", &registry.mirrors), ("ca", &registry.ca)] {
        if !list.is_empty() {
            writeln!(text, "{key} = {}", List(list))?;
        }
    }
    for (key, on) in [("http", registry.http), ("insecure", registry.insecure)] {
        if on {
            writeln!(text, "{key} = true")?;
        }
    }
    Ok(())
}

struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, item) in self.0.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { ", " }, Quoted(item))?;
        }
        f.write_str("]")
    }
}

/// A basic string of TOML.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\u{:04X}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    #[test]
    fn everything_is_valid_toml_with_buildkits_keys() {
        let registry = Registry {
            mirrors: vec!["mirror.internal:5000".into()],
            insecure: true,
            ca: vec!["/a \"b\"\\c\n.pem".into()],
            ..Registry::default()
        };
        let buildkitd = Buildkitd {
            limits: Limits {
                max_used: Some(Space::Bytes(3)),
                reserved: Some(Space::Percent(10)),
                min_free: Some(Space::Bytes(1)),
            },
            policies: vec![
                Policy {
                    filters: vec!["type==exec.cachemount".into()],
                    keep_duration: Some(Duration::from_secs(604_800)),
                    ..Policy::default()
                },
                Policy {
                    all: true,
                    limits: Limits { max_used: Some(Space::Bytes(2)), ..Limits::default() },
                    ..Policy::default()
                },
            ],
            max_parallelism: Some(4),
            registries: BTreeMap::from([
                ("docker.io".to_owned(), registry),
                ("r:1".to_owned(), Registry { http: true, ..Registry::default() }),
            ]),
        };
        let table: toml::Table = text(&buildkitd).parse().unwrap();
        let worker = &table["worker"]["oci"];
        assert_eq!(worker["gc"].as_bool(), Some(true));
        assert!(worker.get("maxUsedSpace").is_none(), "BuildKit would not read it");
        let last = &worker["gcpolicy"][2];
        assert_eq!(last["maxUsedSpace"].as_integer(), Some(3));
        assert_eq!(last["reservedSpace"].as_str(), Some("10%"));
        assert_eq!(last["all"].as_bool(), Some(true));
        assert_eq!(worker["max-parallelism"].as_integer(), Some(4));
        assert_eq!(worker["gcpolicy"][0]["keepDuration"].as_str(), Some("168h0m0s"));
        assert_eq!(worker["gcpolicy"][1]["all"].as_bool(), Some(true));
        let hub = &table["registry"]["docker.io"];
        assert_eq!(hub["mirrors"][0].as_str(), Some("mirror.internal:5000"));
        assert_eq!(hub["ca"][0].as_str(), Some("/a \"b\"\\c\n.pem"));
        assert_eq!(table["registry"]["r:1"]["http"].as_bool(), Some(true));
        assert_eq!(text(&Buildkitd::default()), "");
    }
}
