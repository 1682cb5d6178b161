//! The simulated disk forgets exactly what it may forget.

use super::*;

fn path(text: &str) -> &Path {
    Path::new(text)
}

fn contents(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    super::super::read_file(disk, path(name)).ok().map(|bytes| bytes.to_vec())
}

#[test]
fn synced_bytes_under_a_synced_name_stay() {
    let disk = SimDisk::new(1);
    disk.create_dir_all(path("/db")).unwrap();
    disk.sync_dir(path("/")).unwrap();
    let file = disk.create(path("/db/a")).unwrap();
    file.append(b"one").unwrap();
    file.sync().unwrap();
    assert_eq!(contents(&disk.survivor(Survival::Nothing), "/db/a"), None, "the name was not synced");
    disk.sync_dir(path("/db")).unwrap();
    file.append(b"two").unwrap();
    assert_eq!(contents(&disk.survivor(Survival::Nothing), "/db/a").unwrap(), b"one");
    assert_eq!(contents(&disk.survivor(Survival::Everything), "/db/a").unwrap(), b"onetwo");
    for seed in 0..50 {
        let left = contents(&disk.survivor(Survival::Some(seed)), "/db/a").unwrap();
        assert!(left.starts_with(b"one") && left.len() <= 6);
    }
}

#[test]
fn a_directory_without_its_own_name_is_gone() {
    let disk = SimDisk::new(1);
    disk.create_dir_all(path("/db")).unwrap();
    let file = disk.create(path("/db/a")).unwrap();
    file.append(b"one").unwrap();
    file.sync().unwrap();
    disk.sync_dir(path("/db")).unwrap();
    assert_eq!(contents(&disk.survivor(Survival::Nothing), "/db/a"), None);
}

#[test]
fn a_rename_shows_one_of_two_states() {
    let disk = SimDisk::new(1);
    super::super::replace_file(&disk, path("/a"), b"old").unwrap();
    for call in 0..8 {
        let disk = disk.survivor(Survival::Everything);
        disk.fail_call(call, Fault::PowerCut);
        let done = super::super::replace_file(&disk, path("/a"), b"newer").is_ok();
        for seed in 0..20 {
            let found = contents(&disk.survivor(Survival::Some(seed)), "/a").unwrap();
            assert!(found == b"newer" || (found == b"old" && !done), "call {call} seed {seed}: {found:?}");
        }
    }
}

#[test]
fn a_failed_sync_loses_bytes_that_reads_still_show() {
    let disk = SimDisk::new(3);
    let file = disk.create(path("/a")).unwrap();
    disk.sync_dir(path("/")).unwrap();
    let mut lost = false;
    for _ in 0..20 {
        file.append(&[1; 100]).unwrap();
        disk.fail_after(Operation::Sync, 0, Fault::Error(io::ErrorKind::Other));
        assert!(file.sync().is_err());
        assert!(file.sync().is_ok(), "the next sync succeeds");
        lost |= contents(&disk.survivor(Survival::Everything), "/a") != contents(&disk, "/a");
    }
    assert!(lost);
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = SimDisk::new(3);
    let file = disk.create(path("/a")).unwrap();
    disk.set_capacity(Some(10));
    file.append(&[1; 8]).unwrap();
    assert_eq!(file.append(&[1; 8]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.size().unwrap(), 10);
    assert_eq!(disk.space(path("/")).unwrap().available, 0);
    disk.remove_file(path("/a")).unwrap();
    assert_eq!(disk.space(path("/")).unwrap().available, 10);
}
