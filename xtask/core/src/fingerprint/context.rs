//! The build context as BuildKit sees it, from the archive that it makes of it.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::hash::{Hash, Hasher};
use super::sources::of_file;
use super::telltale;

/// What a context holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The hash of every file with its path, kind, permissions and content.
    pub hash: Hash,
    /// Files, folders and links.
    pub entries: u64,
    /// The size of all files.
    pub bytes: u64,
    /// Files that hold what looks like a secret: of the few whose names say that they may.
    pub secrets: Vec<String>,
    /// Each file, folder and link by its path, with what is kept of its hash.
    pub files: BTreeMap<String, String>,
}

/// Reads a tar archive to its end. Neither the order of the files nor their times count: to
/// BuildKit's cache they are the same files.
///
/// # Errors
/// It can not be read, or is no tar archive.
pub fn read(archive: impl Read) -> io::Result<Context> {
    let mut archive = tar::Archive::new(archive);
    let mut entries = Vec::new();
    let mut bytes = 0;
    let mut secrets = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        bytes += entry.size();
        let path = entry.path_bytes().into_owned();
        let name = String::from_utf8_lossy(&path).into_owned();
        let looked_at = entry.size() <= telltale::LONGEST && telltale::may_tell(&name);
        let mut text = looked_at.then(Vec::new);
        let hash = hash(&mut entry, text.as_mut())?;
        if text.is_some_and(|text| telltale::tells(&name, &String::from_utf8_lossy(&text))) {
            secrets.push(name);
        }
        entries.push((path, hash));
    }
    // The end of the archive is not the end of the stream: blocks of zeros follow, and who
    // writes them wants them read.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    entries.sort();
    let mut hasher = Hasher::new("context");
    hasher.number(entries.len() as u64);
    entries.iter().for_each(|(_, hash)| hasher.hash(*hash));
    secrets.sort();
    let files = entries.iter().map(|(path, hash)| {
        let path = String::from_utf8_lossy(path);
        (path.trim_end_matches('/').to_owned(), of_file(*hash))
    });
    let files = files.collect();
    Ok(Context { hash: hasher.finish(), entries: entries.len() as u64, bytes, files, secrets })
}

/// Hashes an entry, and keeps a copy of its content where one is wanted.
fn hash(entry: &mut tar::Entry<'_, impl Read>, mut copy: Option<&mut Vec<u8>>) -> io::Result<Hash> {
    let mut hasher = Hasher::new("entry");
    hasher.value(entry.path_bytes());
    hasher.maybe(entry.link_name_bytes());
    let header = entry.header();
    hasher.number(header.entry_type().as_byte().into());
    hasher.number(header.mode()?.into());
    // Those of the owner are always 0: BuildKit takes no owner from the context.
    for number in [header.uid()?, header.gid()?] {
        hasher.number(number);
    }
    let attributes = extended_attributes(entry)?;
    hasher.number(attributes.len() as u64);
    for (name, value) in &attributes {
        hasher.value(name);
        hasher.value(value);
    }
    // The content comes last, after its length.
    hasher.number(entry.size());
    let mut piece = [0; 64 * 1024];
    loop {
        match entry.read(&mut piece)? {
            0 => return Ok(hasher.finish()),
            read => {
                hasher.piece(&piece[..read]);
                if let Some(copy) = &mut copy {
                    copy.extend_from_slice(&piece[..read]);
                }
            }
        }
    }
}

/// What the format says of a file beside its header, in order: extended attributes, and
/// whatever else is not a time and not a value that is read elsewhere.
fn extended_attributes(
    entry: &mut tar::Entry<'_, impl Read>,
) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    const ELSEWHERE: [&[u8]; 6] = [b"mtime", b"atime", b"ctime", b"path", b"linkpath", b"size"];
    let mut found = Vec::new();
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        if !ELSEWHERE.contains(&extension.key_bytes()) {
            found.push((extension.key_bytes().to_owned(), extension.value_bytes().to_owned()));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use tar::{Builder, EntryType, Header};

    use super::*;

    /// Path, kind, permissions, link target and content.
    type File<'a> = (&'a str, EntryType, u32, &'a str, &'a str);

    const FILES: [File<'_>; 5] = [
        ("a", EntryType::Regular, 0o644, "", "one"),
        ("b", EntryType::Regular, 0o644, "", "two"),
        ("d/", EntryType::Directory, 0o755, "", ""),
        ("d/l", EntryType::Symlink, 0o777, "../a", ""),
        ("d/x", EntryType::Regular, 0o755, "", ""),
    ];

    fn archive(files: &[File<'_>], mtime: u64) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (path, kind, mode, link, content) in files {
            let mut header = Header::new_ustar();
            header.set_entry_type(*kind);
            header.set_mode(*mode);
            header.set_mtime(mtime);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(content.len() as u64);
            if link.is_empty() {
                builder.append_data(&mut header, path, content.as_bytes()).unwrap();
            } else {
                builder.append_link(&mut header, path, link).unwrap();
            }
        }
        builder.into_inner().unwrap()
    }

    fn of(files: &[File<'_>]) -> Hash {
        read(archive(files, 1).as_slice()).unwrap().hash
    }

    #[test]
    fn every_property_of_a_file_counts() {
        let changes: [fn(&mut Vec<File<'_>>); 12] = [
            |files| files[0].4 = "One",
            |files| files[0].4 = "one ",
            |files| files[0].2 = 0o755,
            |files| files[0].0 = "aa",
            |files| files[3].3 = "../b",
            |files| files[2].2 = 0o700,
            |files| files[4].0 = "x",
            |files| files.truncate(4),
            |files| files.push(("e/", EntryType::Directory, 0o755, "", "")),
            |files| files.push(("e", EntryType::Regular, 0o644, "", "")),
            |files| files.push(("e", EntryType::Symlink, 0o777, "a", "")),
            // What moves from one file to the next.
            |files| (files[0].4, files[1].4) = ("onetwo", ""),
        ];
        let mut seen = vec![of(&FILES)];
        for change in changes {
            let mut files = FILES.to_vec();
            change(&mut files);
            seen.push(of(&files));
        }
        let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len());
    }

    #[test]
    fn order_and_times_do_not() {
        let mut reversed = FILES;
        reversed.reverse();
        assert_eq!(of(&reversed), of(&FILES));
        let context = read(archive(&FILES, 2).as_slice()).unwrap();
        assert_eq!(context.hash, of(&FILES));
        assert_eq!((context.entries, context.bytes), (5, 6));
    }

    #[test]
    fn extended_attributes_count_and_long_names_are_whole() {
        let with = |attribute: &[u8]| {
            let mut builder = Builder::new(Vec::new());
            let pax = [("mtime", &b"1.5"[..]), ("SCHILY.xattr.user.a", attribute)];
            builder.append_pax_extensions(pax).unwrap();
            let mut header = Header::new_ustar();
            header.set_size(0);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            builder.append_data(&mut header, "a", io::empty()).unwrap();
            read(builder.into_inner().unwrap().as_slice()).unwrap().hash
        };
        assert_ne!(with(b"1"), with(b"2"));
        let long = "n".repeat(300);
        let file = |name| [(name, EntryType::Regular, 0o644, "", "")];
        assert_ne!(of(&file(long.as_str())), of(&file(&long[1..])));
    }

    #[test]
    fn an_empty_context_has_a_hash_and_half_an_archive_has_none() {
        assert_eq!(read([0; 1024].as_slice()).unwrap().entries, 0);
        let whole = archive(&FILES, 1);
        assert!(read(&whole[..700]).is_err());
        assert!(read(b"ERROR: failed to build".repeat(30).as_slice()).is_err());
    }

    #[test]
    fn files_that_give_secrets_away_are_named() {
        let file = |path, text| (path, EntryType::Regular, 0o644, "", text);
        let files = [
            file("api/.env", "A=1\nAPI_KEY=hunter2\n"),
            file(".env", "VITE_TITLE=Stalls\n"),
            file("main.py", "API_KEY=hunter2\n"),
            file(".npmrc", "//h/:_authToken=hunter2\n"),
        ];
        let context = read(archive(&files, 1).as_slice()).unwrap();
        assert_eq!(context.secrets, [".npmrc", "api/.env"]);
    }
}
