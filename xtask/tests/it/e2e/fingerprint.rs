//! What changes the fingerprint and what does not, file by file, as the engine sees it; and
//! beside it the digest of the image that BuildKit really makes of the same.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use crate::support::{NOWHERE, Project};

const DOCKERFILE: &str =
    "FROM scratch\nARG GREETING=hello\nLABEL greeting=$GREETING\nCOPY . /app/\n";

/// A small project whose image can be built in no time.
struct Small {
    project: Project,
    config: String,
    /// What else `docker buildx build` is told than what is in every project.
    flags: Vec<String>,
}

impl Small {
    fn new() -> Self {
        let config = NOWHERE.replace("127.0.0.1:9", &aws()).replace(
            "name = \"app\"\n",
            "name = \"app\"\nsource-date-epoch = 1735689600\ncommit-arg = \"GIT_COMMIT\"\n",
        );
        let mut project = Project::new(&config);
        // The project's `docker` is that of the machine.
        let home = std::env::var_os("HOME").unwrap();
        project.set("HOME", home);
        let small = Self { project, config, flags: Vec::new() };
        small.write("Dockerfile", DOCKERFILE);
        small.write(".dockerignore", "bin\nhome\ntarget\nxtask.toml\nignored*\n**/*.md\n.git\n");
        small.write("one", "1");
        small.write("two", "2");
        small.write("ignored", "");
        small.write("docs.md", "");
        std::fs::create_dir_all(small.project.path("folder/deep")).unwrap();
        small.write("folder/deep/three", "3");
        symlink("one", small.project.path("link")).unwrap();
        small
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.project.path(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.project.path(name)).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.project.path(from), self.project.path(to)).unwrap();
    }

    fn mode(&self, name: &str, mode: u32) {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.project.path(name), permissions).unwrap();
    }

    /// Changes `xtask.toml`; and what `docker buildx build` is told to the same effect.
    fn configure(&mut self, was: &str, is: &str, flags: &[&str]) {
        assert!(self.config.contains(was), "{}", self.config);
        self.config = self.config.replacen(was, is, 1);
        self.write("xtask.toml", &self.config);
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
    }

    /// The fingerprint, as a dry run names it.
    fn fingerprint(&self) -> String {
        let args = ["build", "--push", "--env", "test", "--dry-run", "--format", "json", "-v"];
        let run = self.project.run(&args).code(0);
        let json = run.json();
        let steps = json["steps"].as_array().unwrap();
        let words = steps.iter().flat_map(|step| step.as_str().unwrap().split([' ', ',']));
        let found: Vec<&str> =
            words.filter(|word| word.starts_with("in-") && word.len() == 43).collect();
        assert_eq!(found.len(), 1, "{run}");
        found[0].to_owned()
    }

    /// The image's digest. Two equal ones are the same layers with the same configuration.
    fn digest(&self) -> String {
        let metadata = self.project.path("target/metadata.json");
        std::fs::create_dir_all(self.project.path("target")).unwrap();
        let output = Command::new("docker")
            .args(["buildx", "build", "--quiet", "--provenance=false", "--metadata-file"])
            .arg(&metadata)
            .args(&self.flags)
            .args(["--output", "type=image,name=xtask-e2e-fingerprint,store=true"])
            .arg(self.project.path("."))
            .env("SOURCE_DATE_EPOCH", "1735689600")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = std::fs::read(metadata).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        json["containerimage.digest"].as_str().unwrap().to_owned()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["image", "rm", "xtask-e2e-fingerprint"]).output();
    }
}

/// An AWS that has a repository and nothing in it, for what a dry run asks. Its address.
fn aws() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut length, mut target) = (0, String::new());
                let lines = reader.by_ref().lines().map_while(Result::ok);
                for line in lines.take_while(|line| !line.is_empty()) {
                    let (name, value) = line.split_once(": ").unwrap_or_default();
                    match name.to_ascii_lowercase().as_str() {
                        "content-length" => length = value.parse().unwrap(),
                        "x-amz-target" => target = value.to_owned(),
                        _ => {}
                    }
                }
                reader.read_exact(&mut vec![0; length]).unwrap();
                let (status, body) = match target.rsplit('.').next().unwrap_or_default() {
                    "DescribeRepositories" => {
                        (200, r#"{"repositories":[{"repositoryName":"app"}]}"#)
                    }
                    "" => (
                        200,
                        "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>000000000000\
                         </Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
                    ),
                    _ => (400, r#"{"__type":"ImageNotFoundException","message":"not there"}"#),
                };
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = (&stream).write_all(format!("{head}{body}").as_bytes());
            });
        }
    });
    address
}

/// A change, and what it is.
type Change = (&'static str, fn(&mut Small));

#[test]
fn what_changes_the_image_changes_the_fingerprint() {
    let changes: [Change; 22] = [
        ("a file's content", |s| s.write("one", "I")),
        ("a file's content, as long as before", |s| s.write("folder/deep/three", "4")),
        ("content that moves to another file", |s| {
            s.write("one", "12");
            s.write("two", "");
        }),
        ("an added file", |s| s.write("added", "")),
        ("an added folder", |s| std::fs::create_dir(s.project.path("empty")).unwrap()),
        ("a removed file", |s| s.remove("two")),
        ("a renamed file", |s| s.rename("two", "second")),
        ("a moved file", |s| s.rename("two", "folder/two")),
        ("a file that may be executed", |s| s.mode("one", 0o755)),
        ("a folder's permissions", |s| s.mode("folder", 0o700)),
        ("a link's target", |s| {
            s.remove("link");
            symlink("two", s.project.path("link")).unwrap();
        }),
        ("a file in place of a link", |s| {
            s.remove("link");
            s.write("link", "1");
        }),
        ("a build argument", |s| {
            let flags = ["--build-arg", "GREETING=hi"];
            s.configure("[env.test]", "args = { GREETING = \"hi\" }\n[env.test]", &flags);
        }),
        ("the platform", |s| {
            let is = "platforms = [\"linux/arm64\"]\n[env.test]";
            s.configure("[env.test]", is, &["--platform", "linux/arm64"]);
        }),
        ("the stage", |s| {
            s.write("Dockerfile", &format!("{DOCKERFILE}FROM scratch\nCOPY one /\n"));
        }),
        ("the date that timestamps are clamped to", |s| {
            s.configure("1735689600", "1735689601", &[])
        }),
        ("the compression", |s| {
            s.configure("[env.test]", "compression = \"zstd\"\n[env.test]", &[])
        }),
        ("the Dockerfile", |s| s.write("Dockerfile", &format!("{DOCKERFILE}USER 1\n"))),
        ("a comment in the Dockerfile, to be on the safe side", |s| {
            s.write("Dockerfile", &format!("# x\n{DOCKERFILE}"));
        }),
        ("an ignore file that lets more in", |s| {
            s.write(
                ".dockerignore",
                "bin\nhome\ntarget\nxtask.toml\nignored*\n**/*.md\n!docs.md\n.git\n",
            );
        }),
        ("an ignore file that leaves more out", |s| {
            s.write(
                ".dockerignore",
                "bin\nhome\ntarget\nxtask.toml\nignored*\n**/*.md\n.git\ntwo\n",
            );
        }),
        ("an ignore file of this Dockerfile's own", |s| {
            s.write("Dockerfile.dockerignore", "*\n!one\n");
        }),
    ];
    let first = Small::new();
    let mut seen = vec![("nothing", first.fingerprint(), first.digest())];
    for (what, change) in changes {
        let mut small = Small::new();
        change(&mut small);
        let (fingerprint, digest) = (small.fingerprint(), small.digest());
        for (other, earlier, _) in &seen {
            assert_ne!(&fingerprint, earlier, "{what} and {other} look the same");
        }
        // These are no other image to `docker buildx build` as this test runs it.
        if !["to be on the safe side", "clamped", "compression"].iter().any(|w| what.contains(w)) {
            assert_ne!(digest, seen[0].2, "{what} does not change the image");
        }
        seen.push((what, fingerprint, digest));
    }
}

#[test]
fn what_does_not_change_the_image_does_not_change_the_fingerprint() {
    let git = |small: &Small, args: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(small.project.path(".")).args([
            "-c",
            "user.name=e",
            "-c",
            "user.email=e@e",
        ]);
        assert!(command.args(args).output().unwrap().status.success(), "git {args:?}");
    };
    let small = Small::new();
    let (fingerprint, digest) = (small.fingerprint(), small.digest());
    let same = |what: &str| {
        assert_eq!(small.fingerprint(), fingerprint, "{what}");
        assert_eq!(small.digest(), digest, "{what}");
    };
    small.write("ignored", "other");
    small.write("ignored-too", "");
    small.write("folder/deep/notes.md", "notes");
    same("files that the ignore file leaves out");

    let year_2001 = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    std::fs::File::open(small.project.path("one")).unwrap().set_modified(year_2001).unwrap();
    small.remove("two");
    small.write("two", "2");
    same("times, and the order in which files were made");

    git(&small, &["init", "--quiet"]);
    git(&small, &["add", "--all"]);
    git(&small, &["commit", "-qm", "one"]);
    same("a commit");
    git(&small, &["commit", "-qm", "two", "--allow-empty"]);
    same("another commit");

    // In another folder, by another name, for another repository.
    let mut other = Small::new();
    other.configure("name = \"app\"", "name = \"another\"", &[]);
    other.configure("repository = \"app\"", "repository = \"another/app\"", &[]);
    assert_eq!(other.fingerprint(), fingerprint, "another project with the same inputs");
    assert_eq!(other.digest(), digest, "another project with the same inputs");
}

#[test]
fn a_base_image_counts_with_what_is_in_it_and_a_secret_with_its_id() {
    const BASE: &str = "xtask-e2e-fingerprint-base:1";
    struct Base;
    impl Drop for Base {
        fn drop(&mut self) {
            let _ = Command::new("docker").args(["image", "rm", BASE]).output();
        }
    }
    let _base = Base;
    let base = |text: &str| {
        let mut build = Command::new("docker");
        build.args([
            "buildx",
            "build",
            "--quiet",
            "--load",
            "--provenance=false",
            "--tag",
            BASE,
            "-",
        ]);
        let mut build = build.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let dockerfile = format!("FROM scratch\nLABEL base={text}\n");
        build.stdin.take().unwrap().write_all(dockerfile.as_bytes()).unwrap();
        assert!(build.wait().unwrap().success());
    };
    let mut small = Small::new();
    base("one");
    let without = small.fingerprint();
    // Only as an argument, and only to copy from.
    let from = "ARG BASE=scratch\nFROM $BASE AS base\nFROM scratch\nCOPY . /\nLABEL a=$BASE\n";
    small.write("Dockerfile", from);
    let scratch = small.fingerprint();
    assert_ne!(scratch, without);
    let copies = format!("FROM scratch\nCOPY --from={BASE} / /base/\nCOPY . /\n");
    small.write("Dockerfile", &copies);
    let one = (small.fingerprint(), small.digest());
    base("two");
    let two = (small.fingerprint(), small.digest());
    assert_ne!(one.0, two.0, "the image that it copies from is another");
    base("one");
    assert_eq!(small.fingerprint(), one.0, "it is the earlier one again");

    small.write("Dockerfile", "ARG BASE=scratch\nFROM $BASE\nCOPY . /\n");
    let flag = format!("BASE={BASE}");
    let args = format!("args = {{ BASE = \"{BASE}\" }}\n[env.test]");
    small.configure("[env.test]", &args, &["--build-arg", &flag]);
    let one = (small.fingerprint(), small.digest());
    base("two");
    let two = (small.fingerprint(), small.digest());
    assert!(one.0 != two.0 && one.1 != two.1, "the base image is another: {one:?} {two:?}");

    small.write("ignored-secret", "hunter2");
    let secret = "secrets = [{ id = \"s\", file = \"ignored-secret\" }]\n[env.test]";
    small.configure("[env.test]", secret, &[]);
    let with_secret = small.fingerprint();
    assert_ne!(with_secret, two.0, "there is a secret");
    small.write("ignored-secret", "another");
    assert_eq!(small.fingerprint(), with_secret, "its value is no input");
}
