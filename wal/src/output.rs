//! The files behind a log: the segment being written, and what of it is synced. Owned by whoever leads.
//!
//! A segment is begun only when the one before it is synced to its end, because its header says so. The first frame
//! of each write is stamped with the offset up to which the segment was synced before: a reader that finds damage
//! before that offset knows that acknowledged bytes are gone, and behind it, that a power cut is enough to explain it.
//!
//! Room is not set aside ahead (`fallocate`): on ext4, of three logs synced in turn 3,000 times, those that did so were no
//! faster (5.1 ms a sync against 5.0), and a thousand idle tenants would hold what they do not use.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::{Disk, File};
use crate::frame;
use crate::observer::WalObserver;
use crate::segment::SegmentNo;
use crate::stage::Chunk;

/// What failed, and why; the writer closes its latch with it.
pub(crate) type Failure = (String, io::Error);

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Output {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    current: Option<Segment>,
    /// The last segment of an earlier process, whose end nobody has synced yet.
    unproven: Option<SegmentNo>,
    /// Whether the name of the log's own directory is known to be durable.
    directory_synced: bool,
}

#[derive(Debug)]
struct Segment {
    number: SegmentNo,
    file: Box<dyn File>,
    written: u64,
    synced: u64,
    name_synced: bool,
}

fn failure(operation: &str, segment: SegmentNo) -> impl FnOnce(io::Error) -> Failure {
    let operation = format!("{operation} of log segment {segment}");
    move |cause| (operation, cause)
}

impl Output {
    pub(crate) fn new(disk: Arc<dyn Disk>, directory: PathBuf, unproven: Option<SegmentNo>) -> Self {
        Self { disk, directory, current: None, unproven, directory_synced: false }
    }

    /// Writes chunks in their order. Syncs only a segment that ends.
    pub(crate) fn write(&mut self, chunks: &mut [Chunk], observer: &dyn WalObserver) -> Result<(), Failure> {
        for chunk in chunks {
            let Some((frame_start, frame_position)) = chunk.first_frame() else { continue };
            let number = frame_position.segment;
            if self.current.as_ref().is_none_or(|segment| segment.number != number) {
                self.sync(observer)?;
                self.begin(number)?;
                observer.rolled(number);
            }
            let Some(segment) = self.current.as_mut() else { continue };
            let synced = u32::try_from(segment.synced).unwrap_or(u32::MAX);
            frame::stamp(&mut chunk.bytes, frame_start, frame_position, synced);
            segment.append(&chunk.bytes).map_err(failure("write", number))?;
            observer.wrote(chunk.bytes.len() as u64);
        }
        Ok(())
    }

    fn begin(&mut self, number: SegmentNo) -> Result<(), Failure> {
        let file = self.disk.create(&number.path(&self.directory)).map_err(failure("creation", number))?;
        self.current = Some(Segment { number, file, written: 0, synced: 0, name_synced: false });
        Ok(())
    }

    /// Makes everything written so far durable, names included.
    pub(crate) fn sync(&mut self, observer: &dyn WalObserver) -> Result<(), Failure> {
        let Some(number) = self.current.as_ref().map(|segment| segment.number).or(self.unproven) else {
            return Ok(());
        };
        if !self.directory_synced
            && let Some(above) = self.directory.parent()
        {
            self.disk.sync_dir(above).map_err(failure("sync of the directory", number))?;
            self.directory_synced = true;
        }
        if let Some(number) = self.unproven {
            let path = number.path(&self.directory);
            let file = self.disk.open_append(&path).map_err(failure("opening", number))?;
            file.sync().map_err(failure("sync", number))?;
            self.disk.sync_dir(&self.directory).map_err(failure("sync of the name", number))?;
            self.unproven = None;
        }
        let Some(segment) = self.current.as_mut() else { return Ok(()) };
        if segment.synced < segment.written {
            segment.file.sync().map_err(failure("sync", segment.number))?;
            segment.synced = segment.written;
            observer.synced();
        }
        if !segment.name_synced {
            self.disk.sync_dir(&self.directory).map_err(failure("sync of the name", segment.number))?;
            segment.name_synced = true;
        }
        Ok(())
    }
}

impl Segment {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.written.saturating_add(bytes.len() as u64);
        self.file.append(bytes)?;
        self.written = end;
        Ok(())
    }
}
