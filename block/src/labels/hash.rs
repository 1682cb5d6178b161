//! The hash under which the head finds a series.
//!
//! 128 bits of XXH3 under a secret that is drawn anew for each process, over the byte form of the labels. Nobody who
//! does not know the secret can make two sets meet; two honest sets meet with a chance of 2^-128 for a pair, so a hit is taken
//! as equality. The hash never leaves the process: what goes over a wire or a ring uses Thanos' own.

use twox_hash::XxHash3_128;
use twox_hash::xxhash3_128::SECRET_MINIMUM_LENGTH;

use super::LabelsRef;

/// The hash of a label set under one process' secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesHash(pub u128);

/// Hashes label sets under a secret.
#[derive(Clone)]
pub struct SeriesHasher {
    secret: Box<[u8; SECRET_LENGTH]>,
}

const SECRET_LENGTH: usize = 192;
const _: () = assert!(SECRET_LENGTH >= SECRET_MINIMUM_LENGTH);

impl SeriesHasher {
    /// A hasher with a secret grown from `seed`, which the caller draws at random (or fixes, in a test).
    pub fn new(seed: [u64; 4]) -> Self {
        let mut secret = Box::new([0; SECRET_LENGTH]);
        let mut counter = 0u64;
        for (piece, word) in secret.chunks_exact_mut(8).zip(seed.iter().cycle()) {
            counter = counter.wrapping_add(0x9E37_79B9_7F4A_7C15);
            piece.copy_from_slice(&mix(word ^ mix(counter)).to_le_bytes());
        }
        Self { secret }
    }

    /// The hash of `labels`.
    pub fn hash(&self, labels: LabelsRef<'_>) -> SeriesHash {
        match XxHash3_128::oneshot_with_secret(self.secret.as_slice(), labels.as_bytes()) {
            Ok(hash) => SeriesHash(hash),
            // The length of the secret is checked above, at compile time.
            Err(_) => SeriesHash(0),
        }
    }
}

impl std::fmt::Debug for SeriesHasher {
    /// The secret stays secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SeriesHasher")
    }
}

/// The finaliser of SplitMix64.
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
