//! Moving in where Prometheus or Thanos Receive lived: their blocks are used as they are, their head becomes our log.
//!
//! ```text
//! <directory>/import.tmp/log/   our log in the making; without it nothing counts
//! <directory>/import.tmp/old/   what was Prometheus', after the new log counts
//! <directory>/import.old/       the same, about to be removed
//! <directory>/taken-over/       the same, kept because something in it could not be read
//! ```
//!
//! 1. Blocks come into the directory, if they are not there already: by a second name, or by moving.
//! 2. `import.tmp/log` is filled from checkpoint, log, chunks of the head and late samples, closed, and read back against a
//!    digest of what was written.
//! 3. It is renamed to `log`. **From here on it counts**, and the database is ours.
//! 4. The old files move to `import.tmp/old`, `import.tmp` becomes `import.old` and is removed.
//!
//! An interrupted takeover is begun anew before 3 and finished after it. A database that has a log of its own beside a
//! foreign one with samples is not opened: somebody has to say which of the two counts.

mod catalog;
mod report;
mod sink;
mod translate;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sarsen_block::{BlockId, Timestamp};
use sarsen_wal::foreign::{Files, Record};
use sarsen_wal::{Disk, replace_file};

use crate::blocks;
use crate::builder::{FOREIGN_LOG, head_end, make_directory};
use crate::error::Error;
use crate::lock::DirectoryLock;
use crate::snapshot::link_block;

pub use report::{Fault, ImportReport};

const STAGING: &str = "import.tmp";
const OLD: &str = "import.old";
const KEPT: &str = "taken-over";
/// In the staging directory: something could not be read, so that the old files are kept.
const KEEP: &str = "keep";
/// Which blocks are in the bucket already, as Thanos notes it.
const SHIPPED: &str = "thanos.shipper.json";
/// What makes a directory a database of ours.
const OWN: [&str; 2] = ["log", "checkpoint"];
/// What Prometheus keeps its head in.
const FOREIGN: [&str; 3] = [FOREIGN_LOG, "wbl", "chunks_head"];

/// What happens to the directory that is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nothing: blocks get second names, or are copied to another volume.
    Keep,
    /// It is emptied of what was taken over.
    Move,
}

struct Takeover<'a> {
    disk: &'a Arc<dyn Disk>,
    from: &'a Path,
    to: &'a Path,
    origin: Origin,
}

/// Takes over a data directory of Prometheus, or of a tenant of Thanos Receive, into the directory of a database that
/// does not exist yet. Neither may be in use. `None` if there is nothing to take over, or if it was before.
///
/// # Errors
/// [`Error::InUse`]; [`Error::Invalid`] if `to` is a database already; [`Error::Io`] and [`Error::Log`] if the disk fails:
/// the call may be repeated, and `from` is as it was.
pub fn import(
    disk: &Arc<dyn Disk>,
    from: &Path,
    to: &Path,
    origin: Origin,
) -> Result<Option<ImportReport>, Error> {
    make_directory(disk.as_ref(), to)?;
    let _held = DirectoryLock::take(disk.as_ref(), to)?;
    // A running Prometheus has made this file; where there is none, none is left behind.
    let lock = from.join(crate::lock::NAME);
    let locked = from != to && disk.stat(&lock).map_err(failed("reading", &lock))?.is_some();
    let _foreign = locked.then(|| DirectoryLock::take(disk.as_ref(), from)).transpose()?;
    blocks::clean(disk.as_ref(), to)?;
    Takeover { disk, from, to, origin }.run()
}

/// Takes over what Prometheus left in the directory of a database that is about to be opened and locked already.
pub(crate) fn take_over(disk: &Arc<dyn Disk>, directory: &Path) -> Result<Option<ImportReport>, Error> {
    Takeover { disk, from: directory, to: directory, origin: Origin::Move }.run()
}

impl Takeover<'_> {
    fn run(&self) -> Result<Option<ImportReport>, Error> {
        let disk = self.disk.as_ref();
        self.remove(&self.to.join(OLD))?;
        let staging = self.to.join(STAGING);
        let has_log = self.has_log()?;
        if self.exists(&staging)? {
            if has_log {
                self.put_away()?;
                return Ok(None);
            }
            self.remove(&staging)?;
        }
        let files = Files::find(disk, self.from)?;
        if has_log {
            return match self.first_sample(&files)? {
                None => Ok(None),
                Some(path) => {
                    let why =
                        "has samples of Prometheus, and this database a log of its own: one of them must go";
                    Err(Error::invalid("directory", format!("{} {why}", path.display())))
                }
            };
        }
        let mut report = ImportReport { blocks: self.bring_blocks()?, ..ImportReport::default() };
        if files.is_empty() || self.first_sample(&files)?.is_none() {
            return Ok((!report.blocks.is_empty() && self.from != self.to).then_some(report));
        }
        self.fill(&files, &staging, &mut report)?;
        // From here on the new log counts.
        self.remove(&self.to.join("log"))?;
        self.rename(&staging.join("log"), &self.to.join("log"))?;
        report.kept = self.put_away()?;
        Ok(Some(report))
    }

    /// Makes the new log under its temporary name, durable and verified.
    fn fill(&self, files: &Files, staging: &Path, report: &mut ImportReport) -> Result<(), Error> {
        let disk = self.disk.as_ref();
        disk.create_dir_all(staging).map_err(failed("making", staging))?;
        disk.sync_dir(self.to).map_err(failed("syncing", self.to))?;
        let mut sink = sink::Sink::create(self.disk, staging)?;
        translate::translate(self.disk, files, self.floor()?, &mut sink, report)?;
        let written = sink.finish()?;
        sink::verify(self.disk, staging, &written)?;
        (report.series, report.samples, report.late, report.exemplars) = written.counts();
        if !report.faults.is_empty() {
            let path = staging.join(KEEP);
            replace_file(disk, &path, b"").map_err(failed("writing", &path))?;
        }
        disk.sync_dir(staging).map_err(failed("syncing", staging))?;
        disk.sync_dir(self.to).map_err(failed("syncing", self.to))
    }

    /// Where the head begins behind the blocks.
    fn floor(&self) -> Result<Timestamp, Error> {
        let found = blocks::load(self.disk.as_ref(), self.to, &[])?;
        Ok(found.blocks.iter().filter_map(|local| head_end(local)).max().unwrap_or(Timestamp::MIN))
    }

    /// Gives the blocks of `from` to `to`. A directory of the name is there already if an earlier call came so far.
    fn bring_blocks(&self) -> Result<Vec<BlockId>, Error> {
        let disk = self.disk.as_ref();
        let mut found = Vec::new();
        for entry in disk.read_dir(self.from).map_err(failed("listing", self.from))? {
            let Some(id) = entry.name.parse::<BlockId>().ok().filter(|_| entry.is_dir) else { continue };
            found.push(id);
            let (old, new) = (self.from.join(&entry.name), self.to.join(&entry.name));
            if self.from == self.to || self.exists(&new)? {
                continue;
            }
            match self.origin {
                Origin::Move => self.rename(&old, &new)?,
                Origin::Keep => {
                    let temporary = self.to.join(format!("{id}{}", blocks::FOR_CREATION));
                    self.remove(&temporary)?;
                    link_block(disk, &old, &temporary).map_err(failed("linking", &old))?;
                    self.rename(&temporary, &new)?;
                }
            }
        }
        let (old, new) = (self.from.join(SHIPPED), self.to.join(SHIPPED));
        if self.from != self.to && self.exists(&old)? && !self.exists(&new)? {
            let bytes = sarsen_wal::read_file(disk, &old).map_err(failed("reading", &old))?;
            replace_file(disk, &new, &bytes).map_err(failed("writing", &new))?;
        }
        found.sort_unstable();
        Ok(found)
    }

    /// A file with samples. A log without any was left by a program that only looked.
    fn first_sample(&self, files: &Files) -> Result<Option<PathBuf>, Error> {
        let disk = self.disk.as_ref();
        for path in files.checkpoint.iter().chain(&files.segments).chain(&files.out_of_order) {
            let mut found = false;
            catalog::each_record(disk, path, |record| {
                found |= matches!(record, Record::Samples(_));
                Ok(())
            })?;
            if found {
                return Ok(Some(path.clone()));
            }
        }
        Ok(files.head_chunks.first().map(|(_, path)| path.clone()))
    }

    /// The last step, also after an interruption: the old files go, or are kept aside.
    fn put_away(&self) -> Result<Option<PathBuf>, Error> {
        let disk = self.disk.as_ref();
        let staging = self.to.join(STAGING);
        if self.origin == Origin::Move {
            let old = staging.join("old");
            disk.create_dir_all(&old).map_err(failed("making", &old))?;
            let named = FOREIGN.iter().map(|name| self.from.join(name));
            for path in named.chain(catalog::extra(disk, self.from)?) {
                let Some(name) = path.file_name() else { continue };
                if self.exists(&path)? && !self.exists(&old.join(name))? {
                    self.rename(&path, &old.join(name))?;
                }
            }
        }
        let kept = self.exists(&staging.join(KEEP))? && self.origin == Origin::Move;
        let target = self.to.join(if kept { KEPT } else { OLD });
        if self.exists(&target)? {
            let why = "is in the way: what was kept of an earlier takeover has to be put elsewhere";
            return Err(Error::invalid("directory", format!("{} {why}", target.display())));
        }
        self.rename(&staging, &target)?;
        if !kept {
            self.remove(&target)?;
        }
        // Tools of Prometheus do not open a directory without it.
        let empty = self.to.join(FOREIGN_LOG);
        disk.create_dir_all(&empty).map_err(failed("making", &empty))?;
        disk.sync_dir(self.to).map_err(failed("syncing", self.to))?;
        Ok(kept.then_some(target))
    }

    fn has_log(&self) -> Result<bool, Error> {
        for name in OWN {
            let path = self.to.join(name);
            match self.disk.read_dir(&path) {
                Ok(entries) if entries.is_empty() => {}
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("listing", &path)(error)),
            }
        }
        Ok(false)
    }

    fn exists(&self, path: &Path) -> Result<bool, Error> {
        Ok(self.disk.stat(path).map_err(failed("reading", path))?.is_some())
    }

    /// Removes a directory that may not be there.
    fn remove(&self, path: &Path) -> Result<(), Error> {
        if self.exists(path)? {
            self.disk.remove_dir_all(path).map_err(failed("removing", path))?;
        }
        Ok(())
    }

    /// Renames, durable.
    fn rename(&self, old: &Path, new: &Path) -> Result<(), Error> {
        self.disk.rename(old, new).map_err(failed("renaming", old))?;
        for directory in [new.parent(), old.parent()].into_iter().flatten() {
            self.disk.sync_dir(directory).map_err(failed("syncing", directory))?;
        }
        Ok(())
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let what = format!("{what} {}", path.display());
    move |error| Error::io(what, error)
}
