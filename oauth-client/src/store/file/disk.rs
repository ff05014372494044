//! Files that hold secrets: opened without following links, made for their owner alone, replaced as a whole.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::failed;
use crate::store::StoreError;

/// More than any number of tokens needs; a path given by mistake may name a file of any size.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// How often a lock file is opened again because it was removed between opening and locking it.
const MAX_REOPENED: u32 = 8;

/// Reads the whole file; `None` when there is none. It is made private if its content `is_ours`.
pub(super) fn read(
    path: &Path,
    is_ours: impl FnOnce(&[u8]) -> bool,
) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    let file = match open(OpenOptions::new().read(true), path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if is_link(path) => return Err(is_a_link(path).with_source(error)),
        Err(error) => return Err(failed(path, "opened", error)),
    };
    let metadata = check(&file, path)?;
    // One byte more than it should have, so that it need not grow to find the end.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1));
    (&file).take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| failed(path, "read", error))?;
    // The path may have been given by mistake: the permissions of a file of others are theirs.
    if is_ours(&bytes) {
        make_private(&file, &metadata, path)?;
    }
    Ok(Some(bytes))
}

/// Puts these bytes in the place of the file: all of them or none, and on the disk when this returns.
pub(super) fn replace(path: &Path, temporary: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(StoreError::permanent(format!(
            "{} would be larger than the {MAX_BYTES} bytes that are read back; remove entries, or use several files",
            path.display()
        )));
    }
    // Whatever is there is left over from a crash: only the holder of the lock writes it.
    if let Err(error) = fs::remove_file(temporary)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(failed(temporary, "removed", error));
    }
    let written = open(OpenOptions::new().write(true).create_new(true), temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(temporary, path));
    if let Err(error) = written {
        // The old file is as it was; a half-written new one is of no use, and may stand in the way of nothing.
        let _ = fs::remove_file(temporary);
        return Err(failed(path, "written", error));
    }
    // The rename itself has to survive a power failure too. Where directories cannot be synced, it is up to the
    // system.
    #[cfg(unix)]
    File::open(directory(path))
        .and_then(|directory| directory.sync_all())
        .map_err(|error| failed(path, "written for good", error))?;
    Ok(())
}

/// Opens a lock file, making it and its directory if need be, and locks it if it is free.
pub(super) fn try_lock(path: &Path) -> Result<Option<File>, StoreError> {
    for _ in 0..MAX_REOPENED {
        let file = open_lock(path)?;
        match file.try_lock() {
            // A lock on a file that no longer has its name excludes no process.
            Ok(()) if is_named(&file, path) => return Ok(Some(file)),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(failed(path, "locked", error)),
        }
    }
    Ok(None)
}

/// Whether the path still names this file.
#[cfg(unix)]
pub(super) fn is_named(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (opened, named) = (file.metadata().map(identity), fs::symlink_metadata(path).map(identity));
    opened.ok().zip(named.ok()).is_some_and(|(opened, named)| opened == named)
}

/// An open file cannot be removed there.
#[cfg(not(unix))]
pub(super) fn is_named(_: &File, _: &Path) -> bool {
    true
}

/// Opens a lock file, making it and its directory if need be. It is never renamed.
pub(super) fn open_lock(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    let mut opened = open(&mut options, path);
    if opened.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        make_directory(directory(path)).map_err(|error| failed(directory(path), "made", error))?;
        opened = open(&mut options, path);
    }
    match opened {
        Ok(file) => {
            let metadata = check(&file, path)?;
            make_private(&file, &metadata, path)?;
            Ok(file)
        }
        Err(error) if is_link(path) => Err(is_a_link(path).with_source(error)),
        Err(error) => Err(failed(path, "opened", error)),
    }
}

pub(super) fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

fn is_a_link(path: &Path) -> StoreError {
    StoreError::permanent(format!(
        "{} is a symbolic link, which is not followed; give the path of the file itself",
        path.display()
    ))
}

/// Looks at what was opened, not at what the path names by now. Returns what it found.
fn check(file: &File, path: &Path) -> Result<fs::Metadata, StoreError> {
    let metadata = file.metadata().map_err(|error| failed(path, "looked at", error))?;
    let refuse = |why: &str| Err(StoreError::permanent(format!("{} {why}", path.display())));
    if !metadata.is_file() {
        return refuse("is not a regular file; give another path");
    }
    if metadata.len() > MAX_BYTES {
        return refuse("is larger than any token file; give another path");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if metadata.nlink() > 1 {
            return refuse("has a second name (a hard link), where others may look; remove one of them");
        }
    }
    Ok(metadata)
}

/// Takes the permissions of all but the owner.
#[cfg(unix)]
fn make_private(file: &File, metadata: &fs::Metadata, path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    tracing::warn!(
        target: "oauth_client",
        path = %path.display(),
        mode = format_args!("{:o}", mode & 0o7777),
        "the token store could be read by others; it is made private now"
    );
    file.set_permissions(fs::Permissions::from_mode(0o600))
        .map_err(|error| failed(path, "made private", error))
}

/// Who may read a file is up to its directory there.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as where it can fail")]
fn make_private(_: &File, _: &fs::Metadata, _: &Path) -> Result<(), StoreError> {
    Ok(())
}

/// Opens without following a link, without waiting for the other end of a pipe, and for the owner alone.
#[cfg(unix)]
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::OFlags;
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    options.mode(0o600).custom_flags(flags.bits().cast_signed()).open(path)
}

#[cfg(not(unix))]
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    if is_link(path) {
        return Err(io::Error::other("a symbolic link"));
    }
    options.open(path)
}

fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_that_would_not_be_read_back() {
        let directory = std::env::temp_dir().join(format!("oauth-client-disk-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (path, temporary) = (directory.join("tokens.json"), directory.join("tokens.json.tmp"));
        replace(&path, &temporary, b"small").unwrap();
        let most = usize::try_from(MAX_BYTES).unwrap();
        let error = replace(&path, &temporary, &vec![b' '; most + 1]).unwrap_err();
        assert!(error.to_string().contains("read back; "), "{error}");
        assert_eq!(read(&path, |_| true).unwrap().unwrap().as_slice(), b"small");
        replace(&path, &temporary, &vec![b' '; most]).unwrap();
        assert_eq!(read(&path, |_| true).unwrap().unwrap().len(), most);
        fs::remove_dir_all(directory).unwrap();
    }
}
