//! Files and directories of the simulated disk, each in two states: as everybody sees it, and as it is on the disk.
//!
//! What lies between the two is kept as a list of changes: per file for bytes, one list in order for names. A change
//! of names is a group of edits that happen together (the two halves of a rename). Syncing a directory makes durable
//! all groups that touch it, and the earlier ones that those depend on.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};

use super::super::Entry;
use super::{Chance, Survival};

const ROOT: u64 = 0;
/// The unit in which an unsynced write survives or not.
const SECTOR: usize = 512;

#[derive(Debug, Clone, Default)]
struct FileNode {
    data: Vec<u8>,
    durable: Vec<u8>,
    changes: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Cut(usize),
}

#[derive(Debug, Clone, Default)]
struct DirNode {
    names: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
}

#[derive(Debug, Clone)]
struct Edit {
    dir: u64,
    name: String,
    to: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    files: BTreeMap<u64, FileNode>,
    dirs: BTreeMap<u64, DirNode>,
    unsynced: Vec<Vec<Edit>>,
    next: u64,
}

fn parts(path: &Path) -> Vec<&str> {
    path.components()
        .filter_map(|part| if let Component::Normal(name) = part { name.to_str() } else { None })
        .collect()
}

fn write(data: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if data.len() < end {
        data.resize(end, 0);
    }
    data[offset..end].copy_from_slice(bytes);
}

impl FileNode {
    fn apply(data: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Write { offset, bytes } => write(data, *offset, bytes),
            Change::Cut(size) => data.truncate(*size),
        }
    }

    /// A part of a change reaches the disk: all, none, the first bytes, or any sectors.
    fn apply_part(data: &mut Vec<u8>, change: &Change, chance: &mut Chance) {
        let Change::Write { offset, bytes } = change else {
            if chance.coin() {
                Self::apply(data, change);
            }
            return;
        };
        match chance.next() % 4 {
            0 => Self::apply(data, change),
            1 => {}
            2 => write(data, *offset, &bytes[..chance.up_to(bytes.len())]),
            _ => {
                let mut at = 0;
                while at < bytes.len() {
                    // Sectors are those of the file, not of the write.
                    let end = bytes.len().min(at + SECTOR - (offset + at) % SECTOR);
                    if chance.coin() {
                        write(data, offset + at, &bytes[at..end]);
                    }
                    at = end;
                }
            }
        }
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        let mut tree = Self { next: 1, ..Self::default() };
        tree.dirs.insert(ROOT, DirNode::default());
        tree
    }

    fn find(&self, path: &Path) -> Option<u64> {
        let mut at = ROOT;
        for name in parts(path) {
            at = *self.dirs.get(&at)?.names.get(name)?;
        }
        Some(at)
    }

    fn parent<'a>(&self, path: &'a Path) -> io::Result<(u64, &'a str)> {
        let names = parts(path);
        let (name, above) = names.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let mut at = ROOT;
        for name in above {
            let dir = self.dirs.get(&at).ok_or(io::ErrorKind::NotADirectory)?;
            at = *dir.names.get(*name).ok_or(io::ErrorKind::NotFound)?;
        }
        if self.dirs.contains_key(&at) { Ok((at, name)) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    pub(super) fn find_file(&self, path: &Path) -> io::Result<u64> {
        let ino = self.find(path).ok_or(io::ErrorKind::NotFound)?;
        if self.files.contains_key(&ino) { Ok(ino) } else { Err(io::ErrorKind::IsADirectory.into()) }
    }

    fn change_names(&mut self, group: Vec<Edit>) {
        for edit in &group {
            let names = &mut self.dirs.entry(edit.dir).or_default().names;
            match edit.to {
                Some(ino) => names.insert(edit.name.clone(), ino),
                None => names.remove(&edit.name),
            };
        }
        self.unsynced.push(group);
    }

    fn apply_durable(&mut self, group: &[Edit]) {
        for edit in group {
            let names = &mut self.dirs.entry(edit.dir).or_default().durable;
            match edit.to {
                Some(ino) => names.insert(edit.name.clone(), ino),
                None => names.remove(&edit.name),
            };
        }
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<u64> {
        let (dir, name) = self.parent(path)?;
        if self.find(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let ino = self.next;
        self.next += 1;
        self.files.insert(ino, FileNode::default());
        self.change_names(vec![Edit { dir, name: name.to_owned(), to: Some(ino) }]);
        Ok(ino)
    }

    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let mut at = ROOT;
        for name in parts(path) {
            let dir = self.dirs.get(&at).ok_or(io::ErrorKind::NotADirectory)?;
            at = match dir.names.get(name) {
                Some(ino) => *ino,
                None => {
                    let ino = self.next;
                    self.next += 1;
                    self.dirs.insert(ino, DirNode::default());
                    self.change_names(vec![Edit { dir: at, name: name.to_owned(), to: Some(ino) }]);
                    ino
                }
            };
        }
        if self.dirs.contains_key(&at) { Ok(()) } else { Err(io::ErrorKind::AlreadyExists.into()) }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let ino = self.find(from).ok_or(io::ErrorKind::NotFound)?;
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        if let Some(old) = self.find(to)
            && let Some(dir) = self.dirs.get(&old)
            && !dir.names.is_empty()
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.change_names(vec![
            Edit { dir: from_dir, name: from_name.to_owned(), to: None },
            Edit { dir: to_dir, name: to_name.to_owned(), to: Some(ino) },
        ]);
        Ok(())
    }

    pub(super) fn hard_link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let ino = self.find_file(from)?;
        let (dir, name) = self.parent(to)?;
        if self.find(to).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.change_names(vec![Edit { dir, name: name.to_owned(), to: Some(ino) }]);
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.find_file(path)?;
        let (dir, name) = self.parent(path)?;
        self.change_names(vec![Edit { dir, name: name.to_owned(), to: None }]);
        Ok(())
    }

    /// Each name is a change of its own, so that a power cut can leave any part of the directory.
    pub(super) fn remove_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let ino = self.find(path).ok_or(io::ErrorKind::NotFound)?;
        let names: Vec<String> =
            self.dirs.get(&ino).ok_or(io::ErrorKind::NotADirectory)?.names.keys().cloned().collect();
        for name in names {
            let inner = path.join(&name);
            if self.find_file(&inner).is_ok() {
                self.remove_file(&inner)?;
            } else {
                self.remove_dir_all(&inner)?;
            }
        }
        let (dir, name) = self.parent(path)?;
        self.change_names(vec![Edit { dir, name: name.to_owned(), to: None }]);
        Ok(())
    }

    fn entry(&self, name: &str, ino: u64) -> Entry {
        let file = self.files.get(&ino);
        Entry {
            name: name.to_owned(),
            is_dir: file.is_none(),
            len: file.map_or(0, |file| file.data.len() as u64),
        }
    }

    pub(super) fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let ino = self.find(path).ok_or(io::ErrorKind::NotFound)?;
        let dir = self.dirs.get(&ino).ok_or(io::ErrorKind::NotADirectory)?;
        Ok(dir.names.iter().map(|(name, ino)| self.entry(name, *ino)).collect())
    }

    pub(super) fn stat(&self, path: &Path) -> Option<Entry> {
        let ino = self.find(path)?;
        Some(self.entry(parts(path).last().copied().unwrap_or_default(), ino))
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let ino = self.find(path).ok_or(io::ErrorKind::NotFound)?;
        if !self.dirs.contains_key(&ino) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let mut touched = vec![ino];
        let mut synced = vec![false; self.unsynced.len()];
        for (group, synced) in self.unsynced.iter().zip(&mut synced).rev() {
            if group.iter().any(|edit| touched.contains(&edit.dir)) {
                *synced = true;
                touched.extend(group.iter().map(|edit| edit.dir));
            }
        }
        for (group, synced) in std::mem::take(&mut self.unsynced).into_iter().zip(synced) {
            if synced {
                self.apply_durable(&group);
            } else {
                self.unsynced.push(group);
            }
        }
        Ok(())
    }

    pub(super) fn data(&self, ino: u64) -> &[u8] {
        self.files.get(&ino).map_or(&[], |file| &file.data)
    }

    pub(super) fn append(&mut self, ino: u64, bytes: &[u8]) {
        let file = self.files.entry(ino).or_default();
        file.changes.push(Change::Write { offset: file.data.len(), bytes: bytes.to_vec() });
        file.data.extend_from_slice(bytes);
    }

    pub(super) fn cut(&mut self, ino: u64, size: usize) {
        let file = self.files.entry(ino).or_default();
        file.data.truncate(size);
        file.changes.push(Change::Cut(size));
    }

    pub(super) fn sync(&mut self, ino: u64) {
        let file = self.files.entry(ino).or_default();
        for change in file.changes.drain(..) {
            FileNode::apply(&mut file.durable, &change);
        }
    }

    /// What a failed sync leaves: parts on the disk, the rest forgotten, though reads still show it.
    pub(super) fn lose_unsynced(&mut self, ino: u64, chance: &mut Chance) {
        let file = self.files.entry(ino).or_default();
        for change in file.changes.drain(..) {
            FileNode::apply_part(&mut file.durable, &change, chance);
        }
    }

    pub(super) fn used(&self) -> u64 {
        let mut inos: Vec<u64> = self.dirs.values().flat_map(|dir| dir.names.values().copied()).collect();
        inos.sort_unstable();
        inos.dedup();
        inos.iter().map(|ino| self.data(*ino).len() as u64).sum()
    }

    pub(super) fn damage(&mut self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let ino = self.find_file(path)?;
        self.sync(ino);
        let file = self.files.entry(ino).or_default();
        change(&mut file.data);
        file.durable.clone_from(&file.data);
        Ok(())
    }

    pub(super) fn survivor(&self, survival: Survival, chance: &mut Chance) -> Self {
        let mut left = self.clone();
        let groups = std::mem::take(&mut left.unsynced);
        // Half of the time names survive in order, as with a journal; else each by itself.
        let in_order = chance.coin();
        let first = chance.up_to(groups.len());
        for (i, group) in groups.iter().enumerate() {
            let survives = match survival {
                Survival::Nothing => false,
                Survival::Everything => true,
                Survival::Some(_) if in_order => i < first,
                Survival::Some(_) => chance.coin(),
            };
            if survives {
                left.apply_durable(group);
            }
        }
        for dir in left.dirs.values_mut() {
            dir.names.clone_from(&dir.durable);
        }
        for file in left.files.values_mut() {
            // Half of the time the writes of a file survive up to a point; else each in any part.
            let in_order = chance.coin();
            let whole = chance.up_to(file.changes.len());
            for (i, change) in file.changes.drain(..).enumerate() {
                match survival {
                    Survival::Nothing => {}
                    Survival::Everything => FileNode::apply(&mut file.durable, &change),
                    Survival::Some(_) if in_order && i < whole => {
                        FileNode::apply(&mut file.durable, &change);
                    }
                    Survival::Some(_) if in_order && i > whole => {}
                    Survival::Some(_) => FileNode::apply_part(&mut file.durable, &change, chance),
                }
            }
            file.data.clone_from(&file.durable);
        }
        left
    }
}
