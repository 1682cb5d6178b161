//! What a disk promises, held against every disk that we have.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

use sarsen_block::Source;
use sarsen_wal::{Disk, File, FileSource, SimDisk, read_file, real_disk, replace_file};

/// Runs a test on each disk, in an empty directory.
fn on_each(test: impl Fn(&dyn Disk, &Path)) {
    let dir = tempfile::tempdir().unwrap();
    test(real_disk().as_ref(), dir.path());
    let sim: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    sim.create_dir_all(Path::new("/some/where")).unwrap();
    test(sim.as_ref(), Path::new("/some/where"));
}

fn kind<T: std::fmt::Debug>(result: std::io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn files_are_appended_read_cut_and_opened_again() {
    on_each(|disk, dir| {
        let path = dir.join("a");
        let file = disk.create(&path).unwrap();
        file.append(b"hello").unwrap();
        file.append(b" world").unwrap();
        assert_eq!(file.size().unwrap(), 11);
        file.sync().unwrap();
        disk.sync_dir(dir).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(file.read_at(&mut buffer, 6).unwrap(), 5);
        assert_eq!(&buffer[..5], b"world");
        assert_eq!(file.read_at(&mut buffer, 50).unwrap(), 0);
        file.cut(5).unwrap();
        file.append(b"!").unwrap();
        drop(file);
        let file = disk.open_append(&path).unwrap();
        file.append(b"?").unwrap();
        let mut file = disk.open_append(&path).unwrap();
        file.write_all(b".").unwrap();
        assert_eq!(read_file(disk, &path).unwrap(), &b"hello!?."[..]);
        assert_eq!(disk.map(&path).unwrap(), &b"hello!?."[..]);
    });
}

#[test]
fn names_that_are_missing_or_taken_are_told() {
    on_each(|disk, dir| {
        let (a, b) = (dir.join("a"), dir.join("b"));
        assert_eq!(kind(disk.open(&a)), ErrorKind::NotFound);
        assert_eq!(kind(disk.open_append(&a)), ErrorKind::NotFound);
        assert_eq!(kind(disk.remove_file(&a)), ErrorKind::NotFound);
        assert_eq!(kind(disk.rename(&a, &b)), ErrorKind::NotFound);
        assert_eq!(kind(disk.read_dir(&a)), ErrorKind::NotFound);
        assert_eq!(kind(disk.create(&dir.join("no/such/dir"))), ErrorKind::NotFound);
        assert!(disk.stat(&a).unwrap().is_none());
        drop(disk.create(&a).unwrap());
        assert_eq!(kind(disk.create(&a)), ErrorKind::AlreadyExists);
        disk.hard_link(&a, &b).unwrap();
        assert_eq!(kind(disk.hard_link(&a, &b)), ErrorKind::AlreadyExists);
    });
}

#[test]
fn directories_are_made_listed_renamed_and_removed() {
    on_each(|disk, dir| {
        disk.create_dir_all(&dir.join("x/y")).unwrap();
        disk.create_dir_all(&dir.join("x/y")).unwrap();
        disk.create(&dir.join("x/file")).unwrap().append(b"123").unwrap();
        let listed: Vec<_> = disk
            .read_dir(&dir.join("x"))
            .unwrap()
            .into_iter()
            .map(|entry| (entry.name, entry.is_dir, entry.len))
            .collect();
        assert_eq!(listed, [("file".to_owned(), false, 3), ("y".to_owned(), true, 0)]);
        disk.rename(&dir.join("x"), &dir.join("z")).unwrap();
        assert!(disk.stat(&dir.join("x")).unwrap().is_none());
        let entry = disk.stat(&dir.join("z/file")).unwrap().unwrap();
        assert_eq!((entry.name.as_str(), entry.len), ("file", 3));
        disk.remove_dir_all(&dir.join("z")).unwrap();
        assert!(disk.read_dir(dir).unwrap().is_empty());
    });
}

#[test]
fn a_rename_replaces_and_open_files_live_on() {
    on_each(|disk, dir| {
        let path = dir.join("f");
        replace_file(disk, &path, b"old").unwrap();
        let (old, map) = (disk.open(&path).unwrap(), disk.map(&path).unwrap());
        replace_file(disk, &path, b"new!").unwrap();
        assert_eq!(old.read_range(0..3).unwrap(), &b"old"[..]);
        assert_eq!(map, &b"old"[..]);
        assert_eq!(read_file(disk, &path).unwrap(), &b"new!"[..]);
        assert_eq!(disk.read_dir(dir).unwrap().len(), 1, "no temporary name is left");
    });
}

#[test]
fn a_lock_has_one_holder() {
    on_each(|disk, dir| {
        let path = dir.join("lock");
        let held = disk.lock(&path).unwrap().unwrap();
        assert!(disk.lock(&path).unwrap().is_none());
        drop(held);
        assert!(disk.lock(&path).unwrap().is_some());
    });
}

#[test]
fn a_source_gives_exact_ranges_or_an_end_of_file() {
    on_each(|disk, dir| {
        let path = dir.join("f");
        replace_file(disk, &path, b"0123456789").unwrap();
        let source = FileSource::open(disk, &path).unwrap();
        assert_eq!(source.len(), 10);
        assert_eq!(source.read(3..7).unwrap(), &b"3456"[..]);
        assert_eq!(source.read(10..10).unwrap(), &b""[..]);
        for range in [(5, 11), (11, 12), (0, u64::MAX)] {
            assert_eq!(kind(source.read(range.0..range.1)), ErrorKind::UnexpectedEof);
        }
        let file: Box<dyn File> = disk.open(&path).unwrap();
        assert_eq!(kind(file.read_range(0..u64::MAX)), ErrorKind::UnexpectedEof);
        assert!(disk.space(dir).unwrap().available > 0);
    });
}

/// A program that another thread is starting holds copies of all descriptors for a moment; a lock given back must not live
/// on in them.
#[test]
fn a_lock_is_given_back_at_once_while_programs_are_started() {
    let dir = tempfile::tempdir().unwrap();
    let disk = real_disk();
    let path = dir.path().join("lock");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    assert!(std::process::Command::new("true").status().unwrap().success());
                }
            });
        }
        for round in 0..2000 {
            let held = disk.lock(&path).unwrap();
            if held.is_none() {
                done.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            assert!(held.is_some(), "round {round}: somebody still has it");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
