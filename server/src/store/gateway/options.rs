//! Settings of the gateway as plain data, filled by `config` from flags.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::sieve::Sieve;
use crate::blocks::WebOptions;

/// Everything the gateway has to know.
#[derive(Debug, Clone)]
pub(crate) struct GatewayOptions {
    /// Directory of index headers and of what was last seen of the bucket (`--data-dir`).
    pub(crate) data_dir: PathBuf,
    /// Keep them there (`--cache-index-header`).
    pub(crate) local_headers: bool,
    /// Time between looks at the bucket (`--sync-block-duration`).
    pub(crate) sync_every: Duration,
    /// Close headers that nobody asked for so long (`--store.index-header-lazy-reader-idle-timeout`).
    pub(crate) header_idle: Duration,
    /// Which blocks are served.
    pub(crate) sieve: Sieve,
    /// What requests may take.
    pub(crate) limits: GatewayLimits,
    /// What is kept of the bucket (`--index-cache-size`, `--index-cache.config`, `--store.caching-bucket.config`).
    pub(crate) caches: sarsen_bucket::CacheOptions,
    /// The page and the API; `None`: neither.
    pub(crate) web: Option<WebOptions>,
    /// Every flag with its value, for those who ask.
    pub(crate) flags: BTreeMap<String, String>,
}

/// What requests may take; zero: any number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GatewayLimits {
    /// What every tenant may take that has no limits of its own.
    pub(crate) of_all: TenantLimits,
    /// Tenants that have (`--store.limits.tenants-file`).
    pub(crate) of_tenants: BTreeMap<String, TenantLimits>,
    /// Series calls at the same time (`--store.grpc.series-max-concurrency`).
    pub(crate) concurrency: usize,
    /// Bytes that all requests together may hold (`--chunk-pool-size`).
    pub(crate) memory: u64,
}

/// What a request of a tenant may take, and how many it may make at the same time; zero: any number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TenantLimits {
    /// Series that one request may touch (`--store.limits.request-series`).
    pub(crate) series: u64,
    /// Samples that one request may fetch (`--store.limits.request-samples`).
    pub(crate) samples: u64,
    /// Bytes that one request may fetch (`--store.grpc.downloaded-bytes-limit`).
    pub(crate) bytes: u64,
    /// Series calls at the same time (`--store.limits.tenant-series-concurrency`).
    pub(crate) concurrency: u64,
}

impl GatewayLimits {
    /// What this tenant may take; those without a name are as all others.
    pub(crate) fn of(&self, tenant: Option<&str>) -> TenantLimits {
        tenant.and_then(|tenant| self.of_tenants.get(tenant)).copied().unwrap_or(self.of_all)
    }
}
