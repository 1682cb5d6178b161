//! Whoever wants to know what happens to requests for series.

/// What happens to requests for series.
pub(crate) trait SelectObserver: Send + Sync + 'static {
    /// A request has begun (1) or ended (-1).
    fn pending(&self, _by: i64) {}
    /// A request has ended, well or not, having sent so much.
    fn sent(&self, _series: u64, _chunks: u64) {}
    /// A request asked for more than it may: of `series` or of `chunks`.
    fn dropped(&self, _what: &'static str) {}
}
