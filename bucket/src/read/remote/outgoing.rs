//! Under which labels the series of a block go out: with the block's external labels, without those of replicas.

use std::collections::BTreeSet;

use bytes::Bytes;
use sarsen_block::Labels;

/// What is done to the labels of every series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outgoing {
    external: Vec<(Bytes, Bytes)>,
    without: BTreeSet<Bytes>,
}

impl Outgoing {
    /// Labels of `external` stand in place of a series' own of the same name; labels named in `without` are taken away, wherever they come
    /// from.
    pub fn new(external: &Labels, without: impl IntoIterator<Item = Bytes>) -> Self {
        let without: BTreeSet<Bytes> = without.into_iter().collect();
        let own = external.iter().filter(|(name, _)| !without.contains(*name));
        let copy = |(name, value)| (Bytes::copy_from_slice(name), Bytes::copy_from_slice(value));
        Self { external: own.map(copy).collect(), without }
    }

    /// Whether labels go out as they stand in the block.
    pub fn is_plain(&self) -> bool {
        self.external.is_empty() && self.without.is_empty()
    }

    /// The external labels that go out, by name.
    pub(super) fn external(&self) -> &[(Bytes, Bytes)] {
        &self.external
    }

    /// What becomes of a label of the block: `None` if it is dropped, else how many external labels come before it.
    pub(super) fn place(&self, name: &[u8]) -> Option<usize> {
        let at = self.external.binary_search_by(|(own, _)| (**own).cmp(name));
        match at {
            Ok(_) => None,
            Err(_) if self.without.contains(name) => None,
            Err(before) => Some(before),
        }
    }
}
