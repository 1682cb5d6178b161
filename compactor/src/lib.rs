//! Plan, merge, deduplicate, downsample, retain: jobs over a bucket of blocks.

#![forbid(unsafe_code)]
