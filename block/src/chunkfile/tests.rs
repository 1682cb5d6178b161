//! Files written, walked and damaged; the cut rule against the words of the description.

use proptest::prelude::*;

use super::*;
use crate::time::TimeRange;

fn chunk(len: usize) -> TimedChunk {
    let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
    TimedChunk { range: TimeRange::new(0, 0), chunk: Chunk::xor(data) }
}

/// All files, and the references of all chunks.
fn write(limit: u64, series: &[Vec<TimedChunk>]) -> (Vec<Vec<u8>>, Vec<ChunkRef>) {
    let (mut files, mut refs) = (Vec::new(), Vec::new());
    let mut writer = ChunkFileWriter::new(limit);
    for chunks in series {
        let next_file = |full: Option<Vec<u8>>, number| {
            files.extend(full);
            assert_eq!(files.len(), number as usize);
            Ok(Vec::new())
        };
        writer.write(chunks, &mut refs, next_file).unwrap();
    }
    files.extend(writer.finish());
    (files, refs)
}

/// The lengths of the records of each file.
fn layout(limit: u64, series: &[&[usize]]) -> Vec<Vec<usize>> {
    let series: Vec<Vec<_>> =
        series.iter().map(|lens| lens.iter().map(|&len| chunk(len)).collect()).collect();
    let (files, _) = write(limit, &series);
    files
        .iter()
        .map(|file| {
            let mut walk = ChunkFileWalk::new(&file[..], 0).unwrap();
            let mut lens = Vec::new();
            while let Some((_, chunk)) = walk.next().unwrap() {
                lens.push(chunk.data.len());
            }
            lens
        })
        .collect()
}

#[test]
fn the_bytes_of_one_record() {
    let (files, refs) =
        write(100, &[vec![TimedChunk { range: TimeRange::new(0, 0), chunk: Chunk::xor(&b"ab"[..]) }]]);
    assert_eq!(refs, [ChunkRef(8)]);
    let mut expected = vec![0x85, 0xBD, 0x40, 0xDD, 1, 0, 0, 0, 2, 1, b'a', b'b'];
    expected.extend(crc32c(b"\x01ab").to_be_bytes());
    assert_eq!(files, [expected]);
    assert_eq!(files[0].len() as u64, 8 + record_size(2));
}

#[test]
fn files_end_as_in_prometheus() {
    // Charged: 10 more than the data. Header: 8.
    assert_eq!(layout(100, &[&[36, 36]]), [[36, 36]], "8 + 46 + 46 = 100");
    assert_eq!(layout(100, &[&[36, 37]]), [[36], [37]]);
    assert_eq!(
        layout(100, &[&[36], &[36]]),
        [[36, 36]],
        "the real size of the first is smaller than its charge"
    );
    assert_eq!(layout(100, &[&[36], &[42]]), [[36], [42]], "8 + 42 + 52 is too much");
    assert_eq!(
        layout(100, &[&[500], &[500, 500]]),
        [[500], [500], [500]],
        "no empty files around long chunks"
    );
    assert_eq!(
        layout(100, &[&[10], &[20, 30, 30, 40]]),
        [[10, 20, 30].to_vec(), [30, 40].to_vec()],
        "a series may straddle files"
    );
    assert_eq!(layout(100, &[&[]]), Vec::<Vec<usize>>::new(), "no chunk, no file");
}

#[test]
fn every_damaged_byte_is_noticed() {
    let (files, refs) = write(1000, &[vec![chunk(20), chunk(200), chunk(3)]]);
    for at in 0..files[0].len() {
        let mut file = files[0].clone();
        file[at] ^= 0x11;
        if (5..8).contains(&at) {
            continue;
        }
        let mut faults = 0;
        match ChunkFileWalk::new(&file[..], 6) {
            Err(_) => faults += 1,
            Ok(mut walk) => {
                let mut found = Vec::new();
                loop {
                    match walk.next() {
                        Ok(Some((at, _))) => found.push(at.offset()),
                        Ok(None) => break,
                        Err(error) => {
                            assert!(error.to_string().starts_with("chunks/000007 at offset "), "{error}");
                            faults += 1;
                        }
                    }
                }
            }
        }
        assert!(faults > 0, "byte {at}");
    }
    for at in refs {
        for end in at.offset() as usize..files[0].len() {
            let bytes = Bytes::copy_from_slice(&files[0][at.offset() as usize..end]);
            if record_len(&bytes, at).is_ok_and(|len| len <= bytes.len() as u64) {
                read_chunk(&bytes, at).unwrap();
            } else {
                read_chunk(&bytes, at).unwrap_err();
            }
        }
    }
}

#[test]
fn a_walk_goes_on_behind_a_wrong_checksum() {
    let (mut files, _) = write(1000, &[vec![chunk(20), chunk(30)]]);
    files[0][12] ^= 1;
    let mut walk = ChunkFileWalk::new(&files[0][..], 0).unwrap();
    walk.next().unwrap_err();
    assert_eq!(walk.next().unwrap().unwrap().1.data.len(), 30);
    assert!(walk.next().unwrap().is_none());
}

#[test]
fn an_unknown_encoding_is_named() {
    let record = [&[0u8, 77][..], &crc32c(&[77]).to_be_bytes()].concat();
    let error = read_chunk(&record.into(), ChunkRef::new(0, 9)).unwrap_err();
    assert_eq!(error.to_string(), "chunks/000001 at offset 9: chunk encoding 77 is unknown");
}

proptest! {
    #[test]
    fn what_is_written_is_found(
        limit in 20..2000u64,
        lens in proptest::collection::vec(proptest::collection::vec(0..300usize, 0..9), 0..9),
    ) {
        let series: Vec<Vec<_>> = lens.iter().map(|lens| lens.iter().map(|&len| chunk(len)).collect()).collect();
        let (files, refs) = write(limit, &series);
        let all: Vec<_> = series.concat();
        prop_assert_eq!(refs.len(), all.len());
        prop_assert!(refs.is_sorted());
        for (at, timed) in refs.iter().zip(&all) {
            let file = &files[at.segment() as usize];
            let bytes = Bytes::copy_from_slice(&file[at.offset() as usize..]);
            prop_assert_eq!(&read_chunk(&bytes, *at).unwrap(), &timed.chunk);
            prop_assert_eq!(record_len(&bytes, *at).unwrap(), record_size(timed.chunk.data.len()));
        }
        let mut walked = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let mut walk = ChunkFileWalk::new(&file[..], number as u32).unwrap();
            let before = walked.len();
            while let Some((at, _)) = walk.next().unwrap() {
                walked.push(at);
            }
            prop_assert!(file.len() as u64 <= limit || walked.len() == before + 1, "only one chunk makes a file too long");
            prop_assert!(walked.len() > before, "no file is empty");
        }
        prop_assert_eq!(walked, refs);
    }

    #[test]
    fn any_bytes_are_walked_to_an_end(bytes in any::<Vec<u8>>(), headed in any::<bool>()) {
        let bytes = if headed { [&HEADER[..], &bytes].concat() } else { bytes };
        if let Ok(mut walk) = ChunkFileWalk::new(&bytes[..], 0) {
            let mut steps = 0;
            while !matches!(walk.next(), Ok(None)) {
                steps += 1;
                prop_assert!(steps <= bytes.len());
            }
        }
    }
}
