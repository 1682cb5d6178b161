//! What an evaluation may use, and how its caller stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::Error;

/// Why a query is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Its time is over.
    Timeout,
    /// Nobody waits for it.
    Canceled,
}

/// Bounds of one evaluation. Clones share the flag.
#[derive(Debug, Clone)]
pub struct Budget {
    /// How many samples may be in memory, counted as Prometheus does; 0: as many as there are.
    pub max_samples: u64,
    /// How many bytes results and windows may take; 0: as many as there are.
    pub max_bytes: u64,
    /// How many threads may work, at least 1.
    pub workers: usize,
    flag: Arc<AtomicU8>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { max_samples: 50_000_000, max_bytes: 0, workers: 1, flag: Arc::default() }
    }
}

impl Budget {
    /// Makes the evaluation end with an error at its next look.
    pub fn stop(&self, why: Stop) {
        let _first = self.flag.compare_exchange(0, 1 + why as u8, Ordering::AcqRel, Ordering::Acquire);
    }

    /// # Errors
    /// The reason, if somebody stopped it.
    pub fn check(&self) -> Result<(), Error> {
        match self.flag.load(Ordering::Acquire) {
            0 => Ok(()),
            1 => Err(Error::Timeout),
            _ => Err(Error::Canceled),
        }
    }
}
