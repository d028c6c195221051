//! Guessing from its name, and its looks, whether a value is a secret.
//!
//! It serves two ends: such values are never shown, and such build
//! arguments are refused, because a build argument stays
//! readable in the image's history and provenance. A wrong yes costs a
//! redacted line; a wrong no may cost a key. What is merely about a secret
//! (`TOKEN_URL`, `PASSWORD_FILE`) is let through.

mod mask;
mod value;

pub use mask::{Mask, hide, hide_in};
pub use value::secret_in;

/// Words that make a name secret wherever they stand.
#[rustfmt::skip]
const SECRET_WORDS: &[&str] = &[
    "APIKEY", "BEARER", "COOKIE", "CRED", "CREDENTIAL", "CREDENTIALS", "CREDS", "DSN", "JWT",
    "PASS", "PASSPHRASE", "PASSWD", "PASSWORD", "PASSWORDS", "PAT", "PSK", "PWD", "SECRET",
    "SECRETS", "TOKEN", "WEBHOOK",
];

/// Ends of words written together: `PGPASSWORD`, `CLIENTSECRET`, `APIKEY`.
#[rustfmt::skip]
const SECRET_ENDINGS: &[&str] = &[
    "ACCESSKEY", "APIKEY", "AUTHKEY", "CREDENTIAL", "CREDENTIALS", "DEPLOYKEY", "ENCRYPTIONKEY",
    "LICENSEKEY", "MASTERKEY", "PASSPHRASE", "PASSWD", "PASSWORD", "PRIVATEKEY", "ROLEKEY",
    "SECRET", "SECRETKEY", "SECRETS", "SIGNINGKEY", "SSHKEY", "TOKEN",
];

/// Last words of a name for something about a secret, not the secret.
#[rustfmt::skip]
const ABOUT: &[&str] = &[
    "ALGORITHM", "ALG", "ARN", "AUDIENCE", "COUNT", "DIR", "DIRECTORY", "ENABLED", "ENDPOINT",
    "EXPIRATION", "EXPIRES", "EXPIRY", "FIELD", "FILE", "FORMAT", "HEADER", "ISSUER", "LEN",
    "LENGTH", "LIMIT", "NAME", "PARAMETER", "PATH", "PATTERN", "POLICY", "PREFIX", "REF", "REGEX",
    "REQUIRED", "ROTATION", "SIZE", "SUFFIX", "TTL", "TYPE", "URI", "URL", "VERSION",
];

/// Words before `KEY` that make it a key of data, not of a lock.
#[rustfmt::skip]
const DATA_KEYS: &[&str] = &[
    "CACHE", "FOREIGN", "GROUP", "HASH", "INDEX", "MESSAGE", "OBJECT", "PARTITION", "PRIMARY",
    "PUBLIC", "RANGE", "ROUTING", "S3", "SORT",
];

/// What `PRIVATE` also stands before without keeping a secret.
#[rustfmt::skip]
const PRIVATE_PLACES: &[&str] = &[
    "ADDRESS", "BUCKET", "CIDR", "DNS", "ENDPOINT", "HOST", "HOSTNAME", "IP", "IPS", "LINK",
    "MODE", "NETWORK", "PORT", "REGISTRY", "REPO", "REPOSITORY", "SUBNET", "SUBNETS", "URL",
    "VPC", "ZONE",
];

/// First words of switches: `USE_AUTH`.
const SWITCHES: &[&str] = &["ALLOW", "DISABLE", "ENABLE", "HAS", "IS", "REQUIRE", "SKIP", "USE"];

/// First words of limits: `MAX_TOKENS`.
const LIMITS: &[&str] = &["MAX", "MIN", "NUM"];

/// Words for which even the URL, or the file's name, is the secret.
const WHOLE: &[&str] = &["DSN", "WEBHOOK"];

/// Whether a value of this name is likely a secret.
pub fn secret_looking(name: &str) -> bool {
    let words = words(name);
    let (Some(first), Some(last)) = (words.first(), words.last()) else { return false };
    let [first, last] = [first.as_str(), last.as_str()];
    // The shell's working directories.
    if words.len() == 1 && ["PWD", "OLDPWD"].contains(&first) {
        return false;
    }
    let about = ABOUT.contains(&last) && !words.iter().any(|word| WHOLE.contains(&word.as_str()));
    if about || SWITCHES.contains(&first) {
        return false;
    }
    words.iter().enumerate().any(|(index, word)| {
        let before = index.checked_sub(1).map(|before| words[before].as_str());
        let after = words.get(index + 1).map(String::as_str);
        match word.as_str() {
            "KEY" | "KEYS" => !is_data_key(before, after),
            "TOKENS" => index + 1 == words.len() && !LIMITS.contains(&first),
            "AUTH" => index + 1 == words.len(),
            "PRIVATE" => {
                index + 1 < words.len()
                    && !words.iter().any(|word| PRIVATE_PLACES.contains(&word.as_str()))
            }
            word => {
                SECRET_WORDS.contains(&word)
                    || SECRET_ENDINGS.iter().any(|ending| word.ends_with(ending))
            }
        }
    })
}

/// Whether a command line, such as a shell's script, says a secret: `API_KEY=x app`,
/// `app --password x`, `curl -H 'Authorization: x'`.
pub fn speaks_of_secret(line: &str) -> bool {
    let quote = |c: char| "'\"`(){};".contains(c);
    let mut words = line.split_whitespace().map(|word| word.trim_matches(quote)).peekable();
    while let Some(word) = words.next() {
        let value = |name: &str, value: &str| {
            let value = value.trim_matches(quote);
            !value.is_empty() && !value.starts_with('$') && secret_looking(name)
        };
        let next = words.peek().copied().unwrap_or_default();
        let given = match word.split_once('=') {
            Some((name, given)) => value(name, given),
            None => word.starts_with('-') && value(word, next),
        };
        let header = word.strip_suffix(':').map(|name| name.trim_start_matches("-H"));
        let header = header.map(|name| name.trim_matches(quote).to_ascii_lowercase());
        let authorizes =
            header.is_some_and(|name| name.ends_with("authorization") || secret_looking(&name));
        if given || (authorizes && !next.is_empty()) {
            return true;
        }
    }
    false
}

/// `PUBLIC_KEY`, `CACHE_KEY` and `KMS_KEY_ID` lock nothing. An access key's
/// id is half of a credential, and does.
fn is_data_key(before: Option<&str>, after: Option<&str>) -> bool {
    let names_a_key = matches!(after, Some("ID" | "IDS" | "ALIAS" | "FINGERPRINT"));
    before.is_some_and(|word| DATA_KEYS.contains(&word))
        || (names_a_key && before != Some("ACCESS"))
}

/// The words of `SNAKE_CASE`, `kebab-case`, `dotted.case` and `camelCase`
/// names, in upper case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let letters: Vec<char> = name.chars().collect();
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(index + 1);
        let begins = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || (before.is_uppercase() && after.is_some_and(|after| after.is_lowercase()))
            });
        if begins || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if let (true, Some(word)) = (letter.is_alphanumeric(), words.last_mut()) {
            word.extend(letter.to_uppercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_recognised() {
        for name in [
            "API_KEY",
            "apiKey",
            "myAPIKey",
            "APIKEY",
            "x-api-key",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "SUPABASE_SERVICE_ROLE_KEY",
            "SUPABASE_ANON_KEY",
            "SECRET_KEY_BASE",
            "SSH_PRIVATE_KEY",
            "PRIVATE_PEM",
            "PGPASSWORD",
            "DB_PASS",
            "DB_PWD",
            "passwordHash",
            "GITHUB_TOKEN",
            "GITHUB_PAT",
            "NPM_TOKENS",
            "CLIENT_SECRET",
            "clientsecret",
            "SENTRY_DSN",
            "GOOGLE_CREDENTIALS",
            "REDIS_AUTH",
            "SLACK_WEBHOOK_URL",
            "splunk-token",
            "ENCRYPTION_KEYS",
            "NEXT_PUBLIC_API_TOKEN",
            "NO_REPLY_SMTP_PASSWORD",
            "MIN_API_KEY",
        ] {
            assert!(secret_looking(name), "{name} should look like a secret");
        }
    }

    #[test]
    fn other_names_are_let_through() {
        for name in [
            "",
            "_",
            "KEYBOARD",
            "KEYBOARD_LAYOUT",
            "KEYCLOAK_URL",
            "MONKEY",
            "HOTKEY",
            "PUBLIC_KEY",
            "PUBLIC_KEY_ID",
            "KMS_KEY_ID",
            "CACHE_KEY",
            "SORT_KEY",
            "TOKENIZER",
            "TOKENIZERS_PARALLELISM",
            "MAX_TOKENS",
            "TOKEN_URL",
            "TOKEN_TTL",
            "SECRET_ARN",
            "PASSWORD_FILE",
            "PASSWORD_MIN_LENGTH",
            "SECRETARY",
            "BYPASS",
            "COMPASS",
            "PASSENGER_COUNT",
            "PATH",
            "PWD",
            "OLDPWD",
            "PRIVATE_SUBNET_IDS",
            "IS_PRIVATE",
            "USE_AUTH",
            "AUTH_URL",
            "AUTHOR",
            "GIT_COMMIT",
            "SUPABASE_URL",
            "STORAGE_BUCKET",
            "BASE_IMAGE",
            "MODEL_DIR",
        ] {
            assert!(!secret_looking(name), "{name} should not look like a secret");
        }
    }

    #[test]
    fn a_command_line_that_says_a_secret_is_recognised() {
        for line in [
            "API_KEY=hunter2 app",
            "sh -c 'export API_KEY=hunter2; app'",
            "env -u A \"DB_PASSWORD=hunter2\" app",
            "app --password hunter2",
            "app --password=hunter2 --port 80",
            "curl -H 'Authorization: Bearer hunter2' http://h",
            "curl -H \"X-Api-Key=hunter2\" http://h",
            "curl -H 'X-Api-Key: hunter2' http://h",
            "curl --header 'Proxy-Authorization: Basic x' http://h",
        ] {
            assert!(speaks_of_secret(line), "{line}");
        }
        for line in [
            "",
            "python3 -m app --port 8080",
            "API_KEY=$(cat /run/secrets/key) app",
            "app --password \"$PASSWORD\"",
            "app --password-file /run/secrets/x",
            "curl -f http://localhost:8080/health || exit 1",
            "max_tokens=3 app",
            "the authorization: ",
        ] {
            assert!(!speaks_of_secret(line), "{line}");
        }
    }
}
