//! Chance for the names of blocks: numbers that follow from a seed the owner gave.

use std::path::Path;

use sarsen_block::{BlockId, Timestamp};
use sarsen_wal::Disk;

use crate::error::Error;

/// SplitMix64.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// An id that no block in `directory` has.
    pub(crate) fn block_id(
        &mut self,
        disk: &dyn Disk,
        directory: &Path,
        now: Timestamp,
    ) -> Result<BlockId, Error> {
        loop {
            let random = u128::from(self.next()) << 64 | u128::from(self.next());
            let id = BlockId::from_parts(u64::try_from(now).unwrap_or_default(), random);
            let path = directory.join(id.to_string());
            let found =
                disk.stat(&path).map_err(|e| Error::io(format!("looking for {}", path.display()), e))?;
            if found.is_none() {
                return Ok(id);
            }
        }
    }
}
