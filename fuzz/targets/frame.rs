//! Any bytes in the place of a segment, and any damage to a good log: a replay never panics and gives a beginning of
//! what was written, repairs come to an end, and the log can be written again.
//!
//! The first byte chooses: even, the rest is a segment as it is; odd, it is damage (offset, byte) to a log of two
//! segments, because a fuzzer does not guess checksums.

#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sarsen_wal::{
    Batch, Disk, Options, Position, Record, SeriesId, SimDisk, Step, Wal, repair, replay,
};

fn root() -> &'static Path {
    Path::new("/")
}

/// The times of all samples, to the end; repairs what is damaged on the way.
fn read(disk: &Arc<dyn Disk>) -> (Vec<i64>, Position) {
    for _ in 0..20 {
        let mut walk = replay(Arc::clone(disk), root(), None).unwrap();
        let (mut times, mut scratch) = (Vec::new(), Vec::new());
        let damage = loop {
            match walk.next() {
                Ok(Step::Record(logged)) => {
                    if let Ok(Record::Samples(mut samples)) = logged.record(&mut scratch) {
                        while let Ok(Some(sample)) = samples.next() {
                            times.push(sample.t);
                        }
                    }
                }
                Ok(Step::End(end)) => return (times, end.position),
                Ok(Step::Damage(damage)) => break damage,
                // A version that is not ours; nothing more to see.
                Err(_) => return (Vec::new(), Position::START),
            }
        };
        repair(disk, root(), &damage).unwrap();
    }
    panic!("repairs do not come to an end");
}

fn write(disk: &Arc<dyn Disk>, start: Position, times: std::ops::Range<i64>) -> Wal {
    let options = Options { segment_bytes: 64 << 10, ..Options::default() };
    let wal = Wal::open(Arc::clone(disk), root(), &options, start).unwrap();
    let mut batch = Batch::new();
    for t in times {
        batch.sample(SeriesId(t as u64 % 7), t, t as u64);
        wal.append(&mut batch).unwrap().wait().unwrap();
    }
    wal
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    let sim = SimDisk::new(1);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let wal = write(&disk, Position::START, 0..8);
    wal.roll().unwrap();
    if choice % 2 == 0 {
        sim.damage(Path::new("/log/00000001"), |bytes| *bytes = data.to_vec()).unwrap();
        let _ = read(&disk);
        return;
    }
    drop(wal);
    drop(write(&disk, Position { segment: sarsen_wal::SegmentNo(1), offset: sim.used() }, 8..16));
    for change in data.chunks_exact(3) {
        let path = if change[0] & 0x80 == 0 { "/log/00000001" } else { "/log/00000002" };
        sim.damage(Path::new(path), |bytes| {
            let at = usize::from(u16::from_be_bytes([change[0] & 0x7F, change[1]])) % (bytes.len() + 1);
            match (change[2], bytes.get_mut(at)) {
                (0, _) => bytes.truncate(at),
                (with, Some(byte)) => *byte ^= with,
                (with, None) => bytes.push(with),
            }
        })
        .unwrap();
    }
    let (times, end) = read(&disk);
    assert!(times.iter().copied().eq(0..times.len() as i64), "not a beginning: {times:?}");
    if end != Position::START || times.is_empty() {
        drop(write(&disk, end, 100..103));
        let (again, _) = read(&disk);
        assert_eq!(again.len(), times.len() + 3);
    }
});
