//! Made-up values for a secret that the stack makes with empty ones.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use crate::aws::{Aws, explain, wire};

/// The values of a secret's keys; the empty ones are made up and put in. Also returns how
/// many that were.
///
/// # Errors
/// Secrets Manager can not be asked, or the secret is not a JSON object.
pub async fn fill(
    aws: &Aws,
    arn: &str,
    keys: &[String],
) -> Result<(BTreeMap<String, String>, usize)> {
    let service = wire::Service::SecretsManager;
    let answer = wire::json(&aws.config, service, "GetSecretValue", &json!({ "SecretId": arn }))
        .await
        .map_err(|error| explain("secretsmanager:GetSecretValue", &error))?;
    let mut values: Map<String, Value> =
        serde_json::from_str(answer["SecretString"].as_str().unwrap_or("{}"))
            .with_context(|| format!("the secret {arn} is not a JSON object"))?;
    let empty: Vec<&String> = empty_keys(&values, keys);
    let count = empty.len();
    for key in empty {
        values.insert(key.clone(), make_up()?.into());
    }
    if count > 0 {
        let text = Value::Object(values.clone()).to_string();
        let body = json!({
            "SecretId": arn, "SecretString": text, "ClientRequestToken": make_up()?,
        });
        wire::json(&aws.config, service, "PutSecretValue", &body)
            .await
            .map_err(|error| explain("secretsmanager:PutSecretValue", &error))?;
    }
    let of = |key: &String| Some((key.clone(), values.get(key)?.as_str()?.to_owned()));
    Ok((keys.iter().filter_map(of).collect(), count))
}

fn empty_keys<'a>(values: &Map<String, Value>, keys: &'a [String]) -> Vec<&'a String> {
    let filled =
        |key: &&String| values.get(*key).and_then(Value::as_str).is_some_and(|v| !v.is_empty());
    keys.iter().filter(|key| !filled(key)).collect()
}

/// 256 random bits.
fn make_up() -> Result<String> {
    let mut bytes = [0_u8; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes).context("/dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_empty_is_made_up() {
        let values = json!({ "A": "x", "B": "", "D": 3 });
        let keys = ["A", "B", "C"].map(str::to_owned);
        assert_eq!(empty_keys(values.as_object().unwrap(), &keys), ["B", "C"]);
    }

    #[test]
    fn two_made_up_values_differ() {
        let (one, two) = (make_up().unwrap(), make_up().unwrap());
        assert!(one != two && one.len() == 64);
    }
}
