//! The file of what single tenants may take of a store gateway, in place of what the flags say for everybody.
//!
//! ```yaml
//! tenants:
//!   team-a:
//!     request-series: 100000     # as --store.limits.request-series
//!     request-samples: 50000000  # as --store.limits.request-samples
//!     request-bytes: 2GB         # as --store.grpc.downloaded-bytes-limit
//!     series-concurrency: 4      # as --store.limits.tenant-series-concurrency
//! ```
//!
//! What an entry leaves out is as the flags say; 0 is no bound. Who names no tenant in a request has the flags' limits. Unknown keys are faults.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::content::yaml_fault;
use super::values::size_or_number;
use crate::store::{GatewayLimits, TenantLimits};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    tenants: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    request_series: Option<u64>,
    request_samples: Option<u64>,
    request_bytes: Option<String>,
    series_concurrency: Option<u64>,
}

/// Reads the text of the file; the reason names the line or the tenant. `usual` is what the flags say.
pub(super) fn parse(text: &str, usual: &GatewayLimits) -> Result<BTreeMap<String, TenantLimits>, String> {
    if text.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    let file: File = serde_saphyr::from_str(text).map_err(|why| yaml_fault(&why.to_string()))?;
    let read = |(tenant, entry): (String, Entry)| match entry.read(usual.of_all) {
        Ok(limits) => Ok((tenant, limits)),
        Err(why) => Err(format!("tenant {tenant}: request-bytes: {why}")),
    };
    file.tenants.into_iter().map(read).collect()
}

impl Entry {
    fn read(self, usual: TenantLimits) -> Result<TenantLimits, String> {
        let bytes = self.request_bytes.as_deref().map(size_or_number).transpose()?;
        Ok(TenantLimits {
            series: self.request_series.unwrap_or(usual.series),
            samples: self.request_samples.unwrap_or(usual.samples),
            bytes: bytes.unwrap_or(usual.bytes),
            concurrency: self.series_concurrency.unwrap_or(usual.concurrency),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_faults() {
        let of_all = TenantLimits { series: 7, samples: 8, bytes: 9, concurrency: 10 };
        let usual = GatewayLimits { of_all, ..GatewayLimits::default() };
        let text = "tenants:\n  a: {request-series: 1, request-bytes: 2KB}\n  b: {request-samples: 0, series-concurrency: 3}\n";
        let read = parse(text, &usual).unwrap();
        assert_eq!(read["a"], TenantLimits { series: 1, bytes: 2048, ..of_all });
        assert_eq!(read["b"], TenantLimits { samples: 0, concurrency: 3, ..of_all });
        assert!(parse("", &usual).unwrap().is_empty() && parse("tenants: {}", &usual).unwrap().is_empty());
        for (text, part) in [
            ("tenants:\n  a:\n    colour: red\n", "line 3"),
            ("tenants:\n  a: {request-bytes: much}\n", "tenant a: request-bytes"),
            ("tenants:\n  a: {request-series: -1}\n", "line 2"),
            ("teams: {}\n", "teams"),
        ] {
            let fault = parse(text, &usual).unwrap_err();
            assert!(fault.contains(part), "{text}: {fault}");
        }
    }
}
