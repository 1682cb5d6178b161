//! Five little chunks in one: count, sum, min, max, counter.
//!
//! The container of a downsampled block (encoding 0xFF), drawn in `FORMAT.md`. Parts may be missing; those that are there are float or
//! float histogram chunks with chunk encodings of their own. Times within a part need not rise: the counter part ends with a time
//! twice. Reading takes slices of the container and copies nothing; bytes behind the last part are refused.

use bytes::Bytes;
use sarsen_block::codec::{Reader, put_uvarint, uvarint_len};
use sarsen_block::{Chunk, Encoding, Error};

/// What a part says about the samples of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Aggregate {
    /// How many there are.
    Count = 0,
    /// Their sum.
    Sum = 1,
    /// The least of them.
    Min = 2,
    /// The greatest of them.
    Max = 3,
    /// What a counter has gained since the chunk began, resets taken out.
    Counter = 4,
}

impl Aggregate {
    /// Every aggregate, in the order in which they lie in a chunk.
    pub const ALL: [Self; 5] = [Self::Count, Self::Sum, Self::Min, Self::Max, Self::Counter];

    /// Its name: `count`, `sum`, `min`, `max`, `counter`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Counter => "counter",
        }
    }

    /// The aggregate of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|aggregate| aggregate.name() == name)
    }
}

/// The parts of an aggregate chunk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AggrChunk {
    parts: [Option<Chunk>; 5],
}

impl AggrChunk {
    /// Of these parts, in the order of [`Aggregate::ALL`]. A part without bytes counts as missing.
    pub fn new(parts: [Option<Chunk>; 5]) -> Self {
        Self { parts: parts.map(|part| part.filter(|chunk| !chunk.data.is_empty())) }
    }

    /// The parts of `chunk`, which share its bytes.
    ///
    /// # Errors
    /// `Invalid` if the chunk is not one of aggregates, `Corrupt` if a part ends behind the chunk, has an encoding that is not one of
    /// samples, or bytes are left over.
    pub fn parse(chunk: &Chunk) -> Result<Self, Error> {
        if chunk.encoding != Encoding::Aggregate {
            return Err(Error::invalid("chunk", format!("{:?} is not one of aggregates", chunk.encoding)));
        }
        let mut reader = Reader::new("aggregate chunk", &chunk.data);
        let mut parts = [const { None }; 5];
        for part in &mut parts {
            *part = read_part(&mut reader, &chunk.data)?;
        }
        if reader.remaining() != 0 {
            return Err(reader.corrupt(format!("{} bytes behind the last part", reader.remaining())));
        }
        Ok(Self { parts })
    }

    /// The part that holds `aggregate`, if there is one.
    pub fn get(&self, aggregate: Aggregate) -> Option<&Chunk> {
        self.parts.get(aggregate as usize)?.as_ref()
    }

    /// Whether it aggregates histograms: its counter part is one of histograms.
    pub fn is_of_histograms(&self) -> bool {
        self.get(Aggregate::Counter)
            .is_some_and(|part| !matches!(part.encoding, Encoding::Xor | Encoding::Xor2))
    }

    /// How many windows there are: the samples of the count part.
    ///
    /// # Errors
    /// `Corrupt` if its header is cut off.
    pub fn num_windows(&self) -> Result<u16, Error> {
        self.get(Aggregate::Count).map_or(Ok(0), Chunk::num_samples)
    }

    /// The chunk that [`parse`](Self::parse) reads.
    pub fn to_chunk(&self) -> Chunk {
        let length = |part: &Option<Chunk>| match part {
            Some(chunk) => uvarint_len(chunk.data.len() as u64) + 1 + chunk.data.len(),
            None => 1,
        };
        let mut data = Vec::with_capacity(self.parts.iter().map(length).sum());
        for part in &self.parts {
            match part {
                Some(chunk) => {
                    put_part_head(&mut data, chunk.encoding, chunk.data.len());
                    data.extend_from_slice(&chunk.data);
                }
                None => data.push(0),
            }
        }
        Chunk { encoding: Encoding::Aggregate, data: data.into() }
    }
}

/// What stands before the `len` bytes of a part.
pub(crate) fn put_part_head(data: &mut Vec<u8>, encoding: Encoding, len: usize) {
    put_uvarint(data, len as u64);
    data.push(encoding.byte());
}

fn read_part(reader: &mut Reader<'_>, data: &Bytes) -> Result<Option<Chunk>, Error> {
    let length = reader.uvarint("length of a part")?;
    if length == 0 {
        return Ok(None);
    }
    let byte = reader.u8("encoding of a part")?;
    let Some(encoding) = Encoding::from_byte(byte).filter(|&encoding| encoding != Encoding::Aggregate) else {
        return Err(reader.corrupt(format!("a part of encoding {byte}")));
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let start = reader.position();
    let taken = reader.take(length, "a part")?.len();
    Ok(Some(Chunk { encoding, data: data.slice(start..start + taken) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(bytes: &'static [u8]) -> Option<Chunk> {
        Some(Chunk::xor(bytes))
    }

    #[test]
    fn parts_are_found_again() {
        let parts = AggrChunk::new([part(&[0, 1, 2]), None, part(&[7; 200]), part(&[]), part(&[9, 9])]);
        let chunk = parts.to_chunk();
        assert_eq!(AggrChunk::parse(&chunk).unwrap(), parts);
        assert_eq!(parts.get(Aggregate::Max), None);
        assert_eq!(parts.num_windows().unwrap(), 1);
        assert_eq!(chunk.num_samples().unwrap(), 1);
        assert_eq!(AggrChunk::default().to_chunk().data[..], [0; 5]);
    }

    #[test]
    fn damage_is_named() {
        let whole = AggrChunk::new([part(&[0, 1, 2]), None, None, None, part(&[9, 9])]).to_chunk().data;
        let parse = |data: &[u8]| {
            AggrChunk::parse(&Chunk { encoding: Encoding::Aggregate, data: data.to_vec().into() })
        };
        for len in 0..whole.len() {
            assert!(parse(&whole[..len]).is_err(), "{len}");
        }
        assert!(parse(&[&whole[..], &[0]].concat()).is_err());
        assert!(parse(&[1, 255, 0, 0, 0, 0, 0]).is_err());
        assert!(parse(&[1, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(AggrChunk::parse(&Chunk::xor(whole)).is_err());
    }

    #[test]
    fn names_are_those_of_the_flags() {
        for aggregate in Aggregate::ALL {
            assert_eq!(Aggregate::of_name(aggregate.name()), Some(aggregate));
        }
        assert_eq!(Aggregate::of_name("avg"), None);
    }
}
