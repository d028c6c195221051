//! Secrets: where they are meant, and where they would be seen.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::Place;
use crate::config::file::{self, Value};
use crate::config::{Arg, Hidden, Secret, SecretSource};
use crate::plan::secret::{secret_in, secret_looking};

/// Build arguments, none of which looks like a secret.
pub(super) fn args(
    raw: BTreeMap<String, Value>,
    place: &Place<'_>,
) -> Result<BTreeMap<String, Arg>> {
    let hint = "for the build, use [[image.secrets]] and `RUN --mount=type=secret`; \
                for the running service, [env.NAME.secrets]";
    let seen = "a build argument ends up in the image's history and provenance";
    raw.into_iter()
        .map(|(name, value)| {
            let key = format!("args.{name}");
            if secret_looking(&name) {
                let what = format!("{seen}, and this one looks like a secret");
                return Err(place.wrong(&key, &what, hint));
            }
            let arg = match &value {
                Value::LocalImage(from) if from.local_image.is_empty() => {
                    return Err(place.wrong(&key, "`local-image` is empty", "name an image"));
                }
                Value::LocalImage(from) => Arg::LocalImage(from.local_image.clone()),
                other => {
                    let text = place.text(&key, other)?;
                    place.shown(&key, &text, seen, hint)?;
                    Arg::Text(text)
                }
            };
            Ok((name, arg))
        })
        .collect()
}

/// Build secrets, as far as they are there.
pub(super) fn build_secrets(
    raw: Vec<file::BuildSecret>,
    root: &Path,
    place: &Place<'_>,
) -> Result<Vec<Secret>> {
    let mut secrets = Vec::new();
    for secret in raw {
        let key = format!("secrets `{}`", secret.id);
        let source = match (&secret.file, &secret.env) {
            (Some(value), None) => match place.text(&key, value) {
                Ok(text) => {
                    let path = root.join(text);
                    path.is_file().then(|| SecretSource::File(path.display().to_string()))
                }
                Err(_) if secret.optional => None,
                Err(error) => return Err(error),
            },
            (None, Some(name)) => {
                (place.lookup)(name).map(|value| SecretSource::Env(name.clone(), Hidden(value)))
            }
            _ => return Err(place.wrong(&key, "it needs `file` or `env`", "write one of the two")),
        };
        match source {
            Some(source) => secrets.push(Secret { id: secret.id, source }),
            None if secret.optional => {}
            None => {
                return Err(place.wrong(
                    &key,
                    "what it refers to is not there",
                    "create the file or set the variable, or write `optional = true`",
                ));
            }
        }
    }
    Ok(secrets)
}

/// Environment variables of the container, none of which looks like a secret.
pub(super) fn variables(
    raw: &file::Env,
    key: &str,
    place: &Place<'_>,
) -> Result<BTreeMap<String, String>> {
    let hint = "put it into Secrets Manager and refer to it in [env.NAME.secrets]";
    let seen = "a plain value can be read by everybody who may read the task definition";
    let variable = |(name, value): (&String, &Value)| {
        let key = format!("{key}.{name}");
        if raw.secrets.contains_key(name) {
            return Err(place.wrong(&key, "it is also in `secrets`", "keep one of the two"));
        }
        if secret_looking(name) {
            let what = format!("{seen}, and this one looks like a secret");
            return Err(place.wrong(&key, &what, hint));
        }
        let text = place.text(&key, value)?;
        place.shown(&key, &text, seen, hint)?;
        Ok((name.clone(), text))
    };
    raw.environment.iter().map(variable).collect()
}

/// Secrets of the container are named and not written down.
pub(super) fn references(raw: &file::Env, key: &str, place: &Place<'_>) -> Result<()> {
    raw.secrets.iter().try_for_each(|(name, reference)| {
        place.shown(
            &format!("{key}.{name}"),
            reference,
            "it takes the name of a secret, which everybody may read",
            "put the value into Secrets Manager, and write the secret's ARN here",
        )
    })
}

impl Place<'_> {
    /// Refuses a value that gives itself away where it would be seen.
    pub(super) fn shown(&self, key: &str, value: &str, seen: &str, hint: &str) -> Result<()> {
        match secret_in(value) {
            Some(found) => {
                Err(self.wrong(key, &format!("{seen}, and this value holds {}", found.what), hint))
            }
            None => Ok(()),
        }
    }
}
