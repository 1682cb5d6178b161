//! The directory behind a bucket as a directory: files are moved into it, and objects are read as the files that they are.
//!
//! What is moved in is on the disk before it has its name, and its name before the move is told as done: the same order as that in
//! which the store itself writes. A name that could mean another path than the object's is none of a file. These calls wait for the
//! disk, but for those that say `at_hand`.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use rustix::buffer::spare_capacity;

/// A folder may be removed, because it is empty, while a file is on its way into it; so often it is made again.
const FOLDER_TRIES: u32 = 3;

/// Where the object `path` lies below `directory`; `None` if the store might write the name in another way.
pub(crate) fn in_directory(directory: &Path, path: &ObjectPath) -> Option<PathBuf> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    let is_plain = path.as_ref().bytes().all(plain);
    is_plain.then(|| path.parts().fold(directory.to_owned(), |place, part| place.join(part.as_ref())))
}

/// Moves the file `from` to `to`, over what may be there, and says how many bytes it has. `None`, and the file stays, if the two lie on
/// different file systems.
pub(crate) fn move_file(from: &Path, to: &Path) -> io::Result<Option<u64>> {
    let folder = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let file = File::open(from)?;
    let known = file.metadata()?;
    for left in (0..FOLDER_TRIES).rev() {
        make_folder(folder)?;
        match fs::metadata(folder) {
            Ok(there) if there.dev() != known.dev() => return Ok(None),
            Ok(_) => file.sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && left > 0 => continue,
            Err(error) => return Err(error),
        }
        match fs::rename(from, to) {
            Ok(()) => break,
            // Two mounts of one file system look alike.
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound && left > 0 => {}
            Err(error) => return Err(error),
        }
    }
    File::open(folder)?.sync_all()?;
    Ok(Some(known.len()))
}

/// Makes a folder and those above it, each on the disk before the next.
fn make_folder(folder: &Path) -> io::Result<()> {
    let Some(above) = folder.parent() else { return Ok(()) };
    match fs::create_dir(folder) {
        Ok(()) => File::open(above)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_folder(above)?;
            match fs::create_dir(folder) {
                Ok(()) => File::open(above)?.sync_all(),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// `size` bytes from `offset`, fewer if the file ends before. The place of the file itself is not moved.
pub(crate) fn read_at(file: &File, offset: u64, size: u64) -> io::Result<Bytes> {
    let room = usize::try_from(size).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut bytes = Vec::with_capacity(room);
    while bytes.len() < room {
        let at = offset.saturating_add(bytes.len() as u64);
        match rustix::io::pread(file, spare_capacity(&mut bytes), at) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // The room may be a little larger than was asked for.
    bytes.truncate(room);
    Ok(bytes.into())
}

/// The file at `path`, if the system knows where it lies without asking a disk or a server.
#[cfg(target_os = "linux")]
pub(crate) fn open_at_hand(path: &Path) -> Option<File> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).ok().map(File::from)
}

/// Nobody can say here what is at hand.
#[cfg(not(target_os = "linux"))]
pub(crate) fn open_at_hand(_path: &Path) -> Option<File> {
    None
}

/// `size` bytes from `offset`, if all of them are in the system's memory: this never waits for a disk.
#[cfg(target_os = "linux")]
pub(crate) fn read_at_hand(file: &File, offset: u64, size: u64) -> Option<Bytes> {
    use rustix::io::{ReadWriteFlags, preadv2};
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    let mut room = [io::IoSliceMut::new(&mut bytes)];
    let read = preadv2(file, &mut room, offset, ReadWriteFlags::NOWAIT).ok()?;
    (read == bytes.len()).then(|| bytes.into())
}

/// Nobody can say here what is at hand.
#[cfg(not(target_os = "linux"))]
pub(crate) fn read_at_hand(_file: &File, _offset: u64, _size: u64) -> Option<Bytes> {
    None
}

/// Appends `size` bytes from `offset` to `into`, fewer if the file ends before. Moves the place of the file.
pub(crate) fn append(mut file: &File, offset: u64, size: u64, into: &mut Vec<u8>) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.take(size).read_to_end(into).map(|_| ())
}

/// An error of the disk as the store would tell it.
pub(crate) fn failed(name: &str, error: io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "LocalFileSystem", source: format!("{name}: {error}").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_paths() {
        let place = |name: &str| in_directory(Path::new("/bucket"), &ObjectPath::parse(name).unwrap());
        assert_eq!(place("a/01H/chunks/000001"), Some(PathBuf::from("/bucket/a/01H/chunks/000001")));
        assert_eq!(place("team one/index"), None);
        assert_eq!(place("index#1"), None);
        assert_eq!(place("50%/index"), None);
    }

    #[test]
    fn a_moved_file_is_in_its_new_place_alone() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("deep/down/to"));
        for body in ["first", "second over it"] {
            fs::write(&from, body).unwrap();
            assert_eq!(move_file(&from, &to).unwrap(), Some(body.len() as u64));
            assert_eq!(fs::read_to_string(&to).unwrap(), body);
            assert!(!from.exists());
        }
        assert!(move_file(&from, &to).is_err(), "there is nothing to move");
        assert_eq!(fs::read_to_string(&to).unwrap(), "second over it");
    }

    #[test]
    fn what_is_at_hand_is_what_lies_there() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        let body: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        fs::write(&path, &body).unwrap();
        assert!(open_at_hand(&root.path().join("none")).is_none());
        // Not every system knows what it has in memory; what it gives is right.
        let Some(file) = open_at_hand(&path) else { return };
        for (offset, size) in [(0, 100_000), (99_990, 10), (5, 70_000)] {
            if let Some(read) = read_at_hand(&file, offset, size) {
                assert!(read == body[offset as usize..][..size as usize], "{offset}, {size}");
            }
        }
        assert_eq!(read_at_hand(&file, 99_990, 50), None, "the file ends");
    }

    #[test]
    fn bytes_are_read_from_their_place() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        let body: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        fs::write(&path, &body).unwrap();
        let file = File::open(&path).unwrap();
        for (offset, size) in [(0, 100_000), (99_990, 10), (5, 0), (5, 70_000)] {
            let read = read_at(&file, offset, size).unwrap();
            assert!(read == body[offset as usize..][..size as usize], "{offset}, {size}");
        }
        assert_eq!(read_at(&file, 99_990, 50).unwrap(), body[99_990..], "the file ends");
        let mut room = Vec::with_capacity(1000);
        room.extend_from_slice(b"abc");
        append(&file, 7, 5, &mut room).unwrap();
        assert_eq!(room, [b"abc", &body[7..12]].concat());
    }
}
