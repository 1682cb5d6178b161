//! The folder for work under way: one process at a time, a name for that process that stays, and nothing left over.
//!
//! The name is drawn once and kept in the folder, so that a process that was killed and started again is known to be the
//! same one. It is locked by the kernel, so that two processes never go by one name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::clock;

/// The file with the name; locked while the process runs.
const NAME: &str = "sarsen-compactor.id";
/// Where work under way lies; Thanos leaves its own there.
const WORK: &str = "compact";
/// What only Thanos leaves, and would fill the volume.
const LEFT_BY_THANOS: &str = "downsample";

/// The folder, locked.
#[derive(Debug)]
pub(super) struct Scratch {
    /// Where work under way lies. Empty at the start.
    pub(super) work: PathBuf,
    /// Who we are, in the bucket's lease.
    pub(super) holder: String,
    _lock: File,
}

impl Scratch {
    /// Takes the folder, and clears what was left of earlier work. The fault names the path.
    pub(super) fn open(folder: &Path) -> Result<Self, String> {
        let fault = |path: &Path, why: std::io::Error| format!("{}: {why}", path.display());
        std::fs::create_dir_all(folder).map_err(|why| fault(folder, why))?;
        let path = folder.join(NAME);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|why| fault(&path, why))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!("{}: another compactor works in this directory", folder.display()));
            }
            Err(TryLockError::Error(why)) => return Err(fault(&path, why)),
        }
        let mut name = String::new();
        file.read_to_string(&mut name).map_err(|why| fault(&path, why))?;
        if name.trim().is_empty() {
            name = format!("{:016x}", clock::seed()[0]);
            file.write_all(name.as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(|why| fault(&path, why))?;
        }
        for left in [WORK, LEFT_BY_THANOS].map(|name| folder.join(name)) {
            match std::fs::remove_dir_all(&left) {
                Err(why) if why.kind() != std::io::ErrorKind::NotFound => return Err(fault(&left, why)),
                _ => {}
            }
        }
        let work = folder.join(WORK);
        std::fs::create_dir(&work).map_err(|why| fault(&work, why))?;
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = Some(host.trim()).filter(|host| !host.is_empty()).unwrap_or("unknown");
        Ok(Self { work, holder: format!("{host}/{}", name.trim()), _lock: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_under_the_same_name_with_nothing_left() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("deep/data");
        let first = Scratch::open(&folder).unwrap();
        assert!(Scratch::open(&folder).unwrap_err().contains("another compactor"));
        let name = first.holder.clone();
        std::fs::write(first.work.join("left"), "x").unwrap();
        std::fs::create_dir_all(folder.join("downsample/01ABC")).unwrap();
        drop(first);
        let again = Scratch::open(&folder).unwrap();
        assert_eq!(again.holder, name);
        assert!(!again.work.join("left").exists() && !folder.join("downsample").exists());
        let other = Scratch::open(&dir.path().join("other")).unwrap();
        assert_ne!(other.holder, name);
    }
}
