//! Files of a build context that hold secrets more often than not: `COPY . .` puts them into the
//! image.

use crate::plan::secret::{secret_in, secret_looking};

/// In bytes. The files that are meant are short.
pub const LONGEST: u64 = 64 * 1024;

/// Names of files in which tools keep credentials, as ends of paths.
const FILES: [&str; 9] = [
    ".aws/credentials",
    ".docker/config.json",
    ".git/config",
    ".git-credentials",
    ".netrc",
    ".npmrc",
    ".pgpass",
    ".pypirc",
    ".yarnrc.yml",
];

/// Ends of the names of files that show what one has to write into a `.env`.
const EXAMPLES: [&str; 5] = ["example", "sample", "template", "dist", "defaults"];

/// Whether a file of this name may hold secrets, so that it is worth a look.
pub fn may_tell(path: &str) -> bool {
    let ends = |name: &str| path == name || path.ends_with(&format!("/{name}"));
    let name = path.rsplit('/').next().unwrap_or(path);
    let dotenv = name == ".env" || name.starts_with(".env.");
    let example = EXAMPLES.iter().any(|end| name.ends_with(end));
    FILES.iter().any(|file| ends(file)) || (dotenv && !example)
}

/// Whether the text of such a file holds what looks like a secret.
pub fn tells(path: &str, text: &str) -> bool {
    let words = [".netrc", ".git-credentials", ".pgpass"];
    if words.iter().any(|name| path.ends_with(name)) {
        return text.lines().any(|line| {
            let line = line.trim();
            !line.is_empty()
                && !line.starts_with('#')
                && (line.contains("password ") || line.contains(':'))
        });
    }
    text.lines().any(|line| {
        let line = line.trim().trim_start_matches("export ");
        if line.starts_with(['#', ';']) {
            return false;
        }
        let said = line.split_once('=').or_else(|| line.split_once(':'));
        let named = said.is_some_and(|(name, value)| {
            let value = value.trim().trim_matches(['"', '\'', ',']);
            let name = name.trim().trim_matches('"');
            let reference = value.is_empty() || value.starts_with(['$', '{', '[']);
            !reference && (secret_looking(name) || name == "extraheader")
        });
        named || secret_in(line).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_with_secrets_are_found() {
        for (path, text) in [
            (".env", "A=1\nAPI_KEY=hunter2\n"),
            ("api/.env", "DATABASE_URL=postgres://app:hunter2@db/x\n"),
            (".env.production", "export SESSION_SECRET='hunter2'\n"),
            (".git/config", "[remote \"origin\"]\n\turl = https://x:hunter2@github.com/a/b\n"),
            (
                ".git/config",
                "[http \"https://github.com/\"]\n\textraheader = AUTHORIZATION: basic eA\n",
            ),
            (".npmrc", "//npm.example/:_authToken=hunter2\n"),
            (".netrc", "machine h login maria password hunter2\n"),
            (".pypirc", "[pypi]\nusername = __token__\npassword = hunter2\n"),
            (".aws/credentials", "[default]\naws_secret_access_key = hunter2\n"),
            (".docker/config.json", "{\"auths\":{\n\"h\":{\n\"auth\": \"bTpo\"\n}}}"),
        ] {
            assert!(may_tell(path) && tells(path, text), "{path}: {text}");
        }
    }

    #[test]
    fn others_are_not() {
        for path in [".env.example", "env", "src/config", ".gitconfig", ".envrc.md", "a.npmrc.txt"]
        {
            assert!(!may_tell(path), "{path}");
        }
        for (path, text) in [
            (".env", ""),
            (
                ".env",
                "# API_KEY=x\nAPI_KEY=\nTOKEN=$OTHER\nVITE_TITLE=Stalls\nTOKEN_URL=https://h/t\n",
            ),
            (".git/config", "[remote \"origin\"]\n\turl = git@github.com:a/b.git\n"),
            (".npmrc", "//npm.example/:_authToken=${NPM_TOKEN}\nengine-strict=true\n"),
            (".docker/config.json", "{\"auths\":{}}"),
        ] {
            assert!(may_tell(path) && !tells(path, text), "{path}: {text}");
        }
    }
}
