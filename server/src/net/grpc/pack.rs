//! The compressions of gRPC messages: snappy (as Thanos' programs register it: the framed form), gzip, zstd.

use std::io::{self, Read as _, Write as _};

/// A way to compress messages, by its name in `grpc-encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Snappy,
    Zstd,
}

/// The largest message, packed or not: what Thanos allows.
pub(super) const MAX_MESSAGE: usize = i32::MAX as usize;

/// What we take, for `grpc-accept-encoding`.
pub(super) const ACCEPTED: &str = "identity,snappy,gzip,zstd";

/// A level that costs little time; chunks are dense as they are.
const ZSTD_LEVEL: i32 = 1;

impl Packing {
    /// By its name; `None` for `identity`.
    ///
    /// # Errors
    /// If nobody knows it.
    pub(super) fn of_name(name: &str) -> Result<Option<Self>, ()> {
        match name {
            "identity" => Ok(None),
            "gzip" => Ok(Some(Self::Gzip)),
            "snappy" => Ok(Some(Self::Snappy)),
            "zstd" => Ok(Some(Self::Zstd)),
            _ => Err(()),
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Zstd => "zstd",
        }
    }

    /// Writes `message`, packed, at the end of `out`.
    pub(super) fn pack(self, message: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Gzip => {
                let mut writer = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
                writer.write_all(message)?;
                writer.finish().map(drop)
            }
            Self::Snappy => {
                let mut writer = snap::write::FrameEncoder::new(out);
                writer.write_all(message)?;
                writer.into_inner().map(drop).map_err(|why| io::Error::other(why.to_string()))
            }
            Self::Zstd => {
                let mut writer = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                writer.write_all(message)?;
                writer.finish().map(drop)
            }
        }
    }

    /// The message that was packed into `packed`; memory grows with what is really unpacked.
    ///
    /// # Errors
    /// If it is damaged or larger than `limit`.
    pub(super) fn unpack(self, packed: &[u8], limit: usize) -> io::Result<Vec<u8>> {
        let mut message = Vec::new();
        let most = (limit as u64).saturating_add(1);
        match self {
            Self::Gzip => flate2::read::MultiGzDecoder::new(packed).take(most).read_to_end(&mut message)?,
            Self::Snappy => snap::read::FrameDecoder::new(packed).take(most).read_to_end(&mut message)?,
            Self::Zstd => zstd::stream::read::Decoder::new(packed)?.take(most).read_to_end(&mut message)?,
        };
        if message.len() > limit {
            return Err(io::Error::other(format!("the message is larger than {limit} bytes")));
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const ALL: [Packing; 3] = [Packing::Gzip, Packing::Snappy, Packing::Zstd];

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(message in vec(any::<u8>(), 0..5000), repeat in 1usize..40) {
            let message = message.repeat(repeat);
            for packing in ALL {
                prop_assert_eq!(Packing::of_name(packing.name()), Ok(Some(packing)));
                let mut packed = b"before".to_vec();
                packing.pack(&message, &mut packed).unwrap();
                let packed = packed.strip_prefix(b"before").unwrap();
                prop_assert_eq!(&packing.unpack(packed, message.len()).unwrap(), &message);
                if !message.is_empty() {
                    prop_assert!(packing.unpack(packed, message.len() - 1).is_err());
                }
            }
        }

        #[test]
        fn damage_is_an_error_or_other_bytes_but_no_panic(bytes in vec(any::<u8>(), 0..500)) {
            for packing in ALL {
                if let Ok(message) = packing.unpack(&bytes, 1000) {
                    prop_assert!(message.len() <= 1000);
                }
            }
        }
    }

    #[test]
    fn names_nobody_knows() {
        assert_eq!(Packing::of_name("identity"), Ok(None));
        assert_eq!(Packing::of_name("lzma"), Err(()));
    }
}
