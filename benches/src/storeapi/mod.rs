//! The StoreAPI as a client sees it: its messages, written down a second time, and a client that counts bytes before it reads them.
//!
//! The server has its own code for the same bytes. That these agree is what a test over a real socket shows, so nothing here
//! comes from there: field numbers are Thanos' (`pkg/store/storepb`, `pkg/info/infopb`).

mod client;
mod message;

pub use client::{Answer, StoreClient};
pub use message::{
    AggrChunk, Any, ChunkPart, Exemplar, ExemplarData, ExemplarsAnswer, ExemplarsFrame, ExemplarsRequest,
    Frame, HintedBlock, InfoResponse, Label, LabelMatcher, LabelNamesRequest, LabelNamesResponse, LabelSet,
    LabelValuesRequest, LabelValuesResponse, Nothing, QueriedBlocks, SeriesBatch, SeriesHints, SeriesRequest,
    SeriesResponse, ShardInfo, StoreInfo, StoreSeries, TimeSpan, TsdbInfo,
};
