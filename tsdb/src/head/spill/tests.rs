//! Chains of pieces against plain lists of chunks.

use std::path::Path;

use proptest::prelude::*;
use sarsen_block::{Encoding, SeriesNo};
use sarsen_wal::{Disk, Fault, Operation, SimDisk};

use super::*;

const RANGE: Timestamp = 1000;

fn spill(disk: &SimDisk) -> Spill {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Spill::new(SpillFiles::begin(&disk, Path::new("/db")).unwrap(), RANGE, 1 << 10)
}

/// One series: its chunks as bytes, and its newest piece.
#[derive(Default)]
struct Model {
    chunks: Vec<(TimeRange, u16, Vec<u8>)>,
    newest: SpillRef,
    clock: Timestamp,
}

impl Model {
    /// Puts a chunk in pieces of `lengths` bytes.
    fn put(&mut self, spill: &mut Spill, no: u32, lengths: &[usize], step: Timestamp) {
        // A chunk of a head does not cross a multiple of the block range.
        let first = self.clock + step;
        let range = TimeRange::new(first, (first + 40).min(first / RANGE * RANGE + RANGE - 1));
        let (mut bytes, samples) = (Vec::new(), lengths.len() as u16);
        for (at, &length) in lengths.iter().enumerate() {
            let piece: Vec<u8> = (0..length).map(|i| (i + at) as u8).collect();
            let is_last = at + 1 == lengths.len();
            let before = bytes.len() as u32;
            let head =
                PieceHead { series: SeriesNo(no), encoding: Encoding::Xor, is_last, before, samples, range };
            self.newest = spill.put(self.newest, &head, &piece).unwrap();
            bytes.extend(piece);
        }
        self.clock = range.max;
        self.chunks.push((range, samples, [&samples.to_be_bytes()[..], &bytes].concat()));
    }

    fn check(&self, spill: &Spill, range: TimeRange) {
        let pieces = spill.pieces(range, None, self.newest).unwrap();
        let found = pieces.read(spill.files(), &mut Vec::new()).unwrap();
        let expected: Vec<_> = self.chunks.iter().filter(|(chunk, ..)| chunk.overlaps(range)).collect();
        assert_eq!(found.len(), expected.len());
        for (found, (range, _, bytes)) in found.iter().zip(expected) {
            assert_eq!((found.range, &found.chunk.data[..]), (*range, &bytes[..]));
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Chunk(u32, Vec<usize>, Timestamp),
    Seal,
    Write,
    Drop(Timestamp),
}

fn step() -> impl Strategy<Value = Step> {
    let lengths = prop::collection::vec(1usize..400, 1..5);
    prop_oneof![
        8 => (0u32..4, lengths, 1..500i64).prop_map(|(no, lengths, step)| Step::Chunk(no, lengths, step)),
        1 => Just(Step::Seal),
        1 => Just(Step::Write),
        1 => (0..20i64).prop_map(|ranges| Step::Drop(ranges * RANGE)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is gathered, handed over, written or let go of: what lies behind the last cut is read.
    #[test]
    fn chains_are_lists_of_chunks(
        steps in prop::collection::vec(step(), 1..80),
        (from, length) in (0i64..10_000, 0i64..5000),
    ) {
        let disk = SimDisk::new(1);
        let mut spill = spill(&disk);
        let mut models: [Model; 4] = std::array::from_fn(|_| Model::default());
        let mut floor = 0;
        for step in steps {
            match step {
                Step::Chunk(no, lengths, step) => {
                    let model = &mut models[no as usize];
                    model.clock = model.clock.max(floor);
                    model.put(&mut spill, no, &lengths, step);
                }
                Step::Seal => spill.seal(),
                Step::Write => spill.files().write_some().unwrap(),
                Step::Drop(from) => {
                    floor = floor.max(from);
                    spill.drop_before(from);
                    spill.files().remove_dead().unwrap();
                    for model in &mut models {
                        model.chunks.retain(|(range, ..)| range.max >= floor);
                    }
                }
            }
            let window = TimeRange::new(from.max(floor), from.max(floor) + length);
            models.iter().for_each(|model| model.check(&spill, window));
        }
        let oldest = models.iter().flat_map(|model| &model.chunks).map(|(range, ..)| range.min).min();
        prop_assert_eq!(spill.oldest(), oldest.unwrap_or(Timestamp::MAX));
    }
}

#[test]
fn files_roll_with_the_block_range_and_go_with_it() {
    let disk = SimDisk::new(1);
    let mut spill = spill(&disk);
    let mut model = Model::default();
    for _ in 0..40 {
        model.put(&mut spill, 0, &[300, 200], 100);
    }
    spill.seal();
    spill.files().write().unwrap();
    let (files, bytes, waiting) = spill.files().sizes();
    assert!(files > 3 && bytes > 40 * 500 && waiting == 0);
    assert_eq!(disk.read_dir(Path::new("/db/spill")).unwrap().len() as u64, files);
    assert!(spill.drop_before(model.clock / RANGE * RANGE) > 20);
    spill.files().remove_dead().unwrap();
    assert_eq!(disk.read_dir(Path::new("/db/spill")).unwrap().len(), 1);
    assert_eq!(
        spill.drop_before(Timestamp::MAX) + 20,
        spill.files().sizes().0
            + 20
            + model.chunks.iter().filter(|(range, ..)| range.max >= model.clock / RANGE * RANGE).count()
                as u64
    );
    assert_eq!(spill.oldest(), Timestamp::MAX);
}

#[test]
fn what_cannot_be_written_is_still_read_and_latches() {
    let disk = SimDisk::new(1);
    let mut spill = spill(&disk);
    let mut model = Model::default();
    model.put(&mut spill, 0, &[100, 50], 10);
    spill.seal();
    disk.fail_after(Operation::Append, 0, Fault::Error(std::io::ErrorKind::StorageFull));
    assert!(spill.files().write_some().unwrap_err().is_full());
    disk.heal();
    assert!(spill.files().write_some().is_err() && spill.files().check().is_err());
    model.put(&mut spill, 0, &[70], 10);
    model.check(&spill, TimeRange::ALL);
}

#[test]
fn a_damaged_piece_is_told_with_its_place() {
    let disk = SimDisk::new(1);
    let mut spill = spill(&disk);
    let mut model = Model::default();
    model.put(&mut spill, 0, &[100, 50], 10);
    spill.seal();
    spill.files().write().unwrap();
    disk.damage(Path::new("/db/spill/00000001"), |bytes| bytes[40] ^= 1).unwrap();
    let pieces = spill.pieces(TimeRange::ALL, None, model.newest).unwrap();
    let error = pieces.read(spill.files(), &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("spill file 1 at offset 0"), "{error}");
}
