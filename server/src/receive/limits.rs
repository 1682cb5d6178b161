//! What a tenant may send at once, from the limits file of Thanos.
//!
//! Keys are strict: an unknown one is an error that names it. A tenant inherits what it does not say from `default`; an explicit 0
//! means no limit. A file that has become unreadable leaves the old limits in force.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::Deserialize;

/// Limits of one tenant; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TenantLimits {
    /// Bytes of a request, on the wire and decoded.
    pub(crate) body_bytes: u64,
    /// Series in a request.
    pub(crate) series: u64,
    /// Float samples in a request.
    pub(crate) samples: u64,
    /// Series in the head of this node.
    pub(crate) head_series: u64,
}

/// The limits of all tenants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    /// Requests in work at once; 0 is no limit.
    pub(crate) max_concurrency: u64,
    default: TenantLimits,
    tenants: HashMap<String, TenantLimits>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    write: Option<Write>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Write {
    global: Option<Global>,
    default: Option<Tenant>,
    tenants: Option<HashMap<String, Option<Tenant>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Global {
    max_concurrency: i64,
    /// The three below concern a ring of receivers, which asks a Prometheus how many series a tenant has on all of
    /// them. One node knows it by itself.
    #[serde(rename = "meta_monitoring_url")]
    _url: Option<String>,
    #[serde(rename = "meta_monitoring_limit_query")]
    _query: Option<String>,
    #[serde(rename = "meta_monitoring_http_client")]
    _client: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tenant {
    request: Option<Request>,
    head_series_limit: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Request {
    size_bytes_limit: Option<i64>,
    series_limit: Option<i64>,
    samples_limit: Option<i64>,
}

impl Limits {
    /// Reads the YAML of a limits file.
    pub(crate) fn parse(yaml: &str) -> Result<Self, String> {
        if yaml.trim().is_empty() {
            return Ok(Self::default());
        }
        let file: File = serde_saphyr::from_str(yaml)
            .map_err(|why| crate::config::content::yaml_fault(&why.to_string()))?;
        let write = file.write.unwrap_or_default();
        let default = inherit(write.default.as_ref(), TenantLimits::default())?;
        let mut tenants = HashMap::new();
        for (name, tenant) in write.tenants.unwrap_or_default() {
            tenants.insert(name, inherit(tenant.as_ref(), default)?);
        }
        let max_concurrency = not_negative(write.global.unwrap_or_default().max_concurrency)?;
        Ok(Self { max_concurrency, default, tenants })
    }

    /// What holds for `tenant`.
    pub(crate) fn of(&self, tenant: &str) -> TenantLimits {
        self.tenants.get(tenant).copied().unwrap_or(self.default)
    }
}

fn inherit(given: Option<&Tenant>, base: TenantLimits) -> Result<TenantLimits, String> {
    let Some(given) = given else { return Ok(base) };
    let request = given.request.as_ref();
    let pick = |field: fn(&Request) -> Option<i64>, base: u64| match request.and_then(field) {
        Some(value) => not_negative(value),
        None => Ok(base),
    };
    Ok(TenantLimits {
        body_bytes: pick(|r| r.size_bytes_limit, base.body_bytes)?,
        series: pick(|r| r.series_limit, base.series)?,
        samples: pick(|r| r.samples_limit, base.samples)?,
        head_series: given.head_series_limit.unwrap_or(base.head_series),
    })
}

fn not_negative(value: i64) -> Result<u64, String> {
    u64::try_from(value).map_err(|_| format!("{value} is negative"))
}

/// The limits in force, which a reload replaces.
#[derive(Debug, Default)]
pub(crate) struct CurrentLimits(RwLock<Arc<Limits>>);

impl CurrentLimits {
    pub(crate) fn get(&self) -> Arc<Limits> {
        Arc::clone(&self.0.read())
    }

    pub(crate) fn replace(&self, limits: Limits) {
        *self.0.write() = Arc::new(limits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_inherit_what_they_do_not_say() {
        let limits = Limits::parse(
            "write:\n  global:\n    max_concurrency: 7\n  default:\n    request:\n      size_bytes_limit: 2000\n      \
             series_limit: 5\n      samples_limit: 10\n    head_series_limit: 9\n  tenants:\n    roomy:\n      request:\n        \
             series_limit: 0\n    same:\n",
        )
        .unwrap();
        assert_eq!(limits.max_concurrency, 7);
        let default = TenantLimits { body_bytes: 2000, series: 5, samples: 10, head_series: 9 };
        assert_eq!(limits.of("any"), default);
        assert_eq!(limits.of("same"), default);
        assert_eq!(limits.of("roomy"), TenantLimits { series: 0, ..default });
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = Limits::parse("write:\n  default:\n    request:\n      size_limit: 1\n").unwrap_err();
        assert!(error.contains("size_limit"), "{error}");
        assert!(Limits::parse("write: {default: {request: {series_limit: -1}}}").is_err());
        assert_eq!(Limits::parse("").unwrap(), Limits::default());
    }
}
