//! The caches of a gateway: `--index-cache-size`, `--index-cache.config` and `--store.caching-bucket.config`, each as text or file.
//!
//! The keys are Thanos'. An unknown key is a fault, and so is a kind of cache that is not there: nothing that somebody asked for is left
//! out silently. A fault names the line where there is one, and the key.

use std::fmt;
use std::time::Duration;

use sarsen_bucket::{
    BreakerOptions, BucketCacheOptions, CacheOptions, CacheStore, IndexCacheOptions, Item, MemcachedOptions,
    MemoryOptions,
};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_saphyr::Spanned;

use super::content::{Content, yaml_fault};
use super::flags::{Fault, Given};
use super::values;

/// What the flags ask to be kept.
pub(super) fn read(given: &Given) -> Result<CacheOptions, Fault> {
    let of = |name| -> Result<Option<(Content, String)>, Fault> {
        let Some(content) = Content::of(given, name)? else { return Ok(None) };
        let text = content.read_expanded()?;
        Ok(Some((content, text)))
    };
    let index = match of("index-cache.config")? {
        Some((content, text)) => index_cache(&text).map_err(|why| format!("{}: {why}", content.place()))?,
        None => {
            let store = CacheStore::Memory(MemoryOptions::of_size(given.bytes("index-cache-size")?));
            IndexCacheOptions { store, ..IndexCacheOptions::default() }
        }
    };
    let bucket = match of("store.caching-bucket.config")? {
        Some((content, text)) => {
            Some(bucket_cache(&text).map_err(|why| format!("{}: {why}", content.place()))?)
        }
        None => None,
    };
    Ok(CacheOptions { index, bucket })
}

/// A text with the place where it stands.
type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexYaml {
    r#type: Option<Text>,
    #[serde(default, rename = "config")]
    _config: Option<IgnoredAny>,
    #[serde(default)]
    enabled_items: Option<Vec<Text>>,
    #[serde(default)]
    ttl: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BucketYaml {
    r#type: Option<Text>,
    #[serde(default, rename = "config")]
    _config: Option<IgnoredAny>,
    #[serde(default)]
    chunk_subrange_size: Option<u64>,
    #[serde(default)]
    max_chunks_get_range_requests: Option<u64>,
    #[serde(default)]
    chunk_object_attrs_ttl: Option<Text>,
    #[serde(default)]
    chunk_subrange_ttl: Option<Text>,
    #[serde(default)]
    blocks_iter_ttl: Option<Text>,
    #[serde(default)]
    metafile_exists_ttl: Option<Text>,
    #[serde(default)]
    metafile_doesnt_exist_ttl: Option<Text>,
    #[serde(default)]
    metafile_content_ttl: Option<Text>,
    #[serde(default)]
    metafile_max_size: Option<Text>,
}

/// What stands below `config`, whatever else there is.
#[derive(Deserialize)]
struct Inner<T> {
    #[serde(default = "Option::default")]
    config: Option<T>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct MemoryYaml {
    max_size: Option<Text>,
    max_item_size: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct MemcachedYaml {
    addresses: Option<Vec<Text>>,
    timeout: Option<Text>,
    max_idle_connections: Option<usize>,
    max_async_concurrency: Option<usize>,
    max_async_buffer_size: Option<usize>,
    max_get_multi_concurrency: Option<usize>,
    max_item_size: Option<Text>,
    max_get_multi_batch_size: Option<usize>,
    dns_provider_update_interval: Option<Text>,
    auto_discovery: Option<bool>,
    set_async_circuit_breaker_config: Option<BreakerYaml>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct BreakerYaml {
    enabled: Option<bool>,
    half_open_max_requests: Option<u32>,
    open_duration: Option<Text>,
    min_requests: Option<u32>,
    consecutive_failures: Option<u32>,
    failure_percent: Option<f64>,
}

fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|why| yaml_fault(&why.to_string()))
}

/// A fault of the value of `key`.
fn at(key: &str, text: &Text, why: impl fmt::Display) -> String {
    let place = text.referenced;
    match place.line() {
        0 => format!("{key}: {why}"),
        line => format!("line {line} column {}: {key}: {why}", place.column()),
    }
}

fn duration(key: &str, text: Option<&Text>, default: Duration) -> Result<Duration, String> {
    let Some(text) = text else { return Ok(default) };
    let nanos = values::go_duration(&text.value).map_err(|why| at(key, text, why))?;
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| at(key, text, "is negative"))
}

fn size(key: &str, text: Option<&Text>, default: u64) -> Result<u64, String> {
    let Some(text) = text else { return Ok(default) };
    values::size_or_number(&text.value).map_err(|why| at(key, text, why))
}

fn index_cache(text: &str) -> Result<IndexCacheOptions, String> {
    let outer: IndexYaml = yaml(text)?;
    let default = IndexCacheOptions::default();
    let mut enabled = Vec::new();
    for name in outer.enabled_items.iter().flatten() {
        let item = Item::INDEX.into_iter().find(|item| item.as_str() == name.value);
        let unknown = || {
            at(
                "enabled_items",
                name,
                format!("{:?} is none of Postings, Series, ExpandedPostings", name.value),
            )
        };
        enabled.push(item.ok_or_else(unknown)?);
    }
    // Thanos takes an empty list for all of them, and no time for a day.
    if enabled.is_empty() {
        enabled.clone_from(&default.enabled);
    }
    let ttl = match duration("ttl", outer.ttl.as_ref(), default.ttl)? {
        Duration::ZERO => default.ttl,
        ttl => ttl,
    };
    Ok(IndexCacheOptions { store: store(outer.r#type.as_ref(), text)?, enabled, ttl })
}

fn bucket_cache(text: &str) -> Result<BucketCacheOptions, String> {
    let outer: BucketYaml = yaml(text)?;
    let default = BucketCacheOptions::new(store(outer.r#type.as_ref(), text)?);
    let subrange = outer.chunk_subrange_size.unwrap_or(default.chunk_subrange_size);
    if subrange == 0 {
        return Err("chunk_subrange_size: must be greater than zero".to_owned());
    }
    let ttl = |key, text: &Option<Text>, default| duration(key, text.as_ref(), default);
    Ok(BucketCacheOptions {
        chunk_subrange_size: subrange,
        max_chunks_get_range_requests: outer
            .max_chunks_get_range_requests
            .unwrap_or(default.max_chunks_get_range_requests),
        chunk_object_attrs_ttl: ttl(
            "chunk_object_attrs_ttl",
            &outer.chunk_object_attrs_ttl,
            default.chunk_object_attrs_ttl,
        )?,
        chunk_subrange_ttl: ttl("chunk_subrange_ttl", &outer.chunk_subrange_ttl, default.chunk_subrange_ttl)?,
        blocks_iter_ttl: ttl("blocks_iter_ttl", &outer.blocks_iter_ttl, default.blocks_iter_ttl)?,
        metafile_exists_ttl: ttl(
            "metafile_exists_ttl",
            &outer.metafile_exists_ttl,
            default.metafile_exists_ttl,
        )?,
        metafile_doesnt_exist_ttl: ttl(
            "metafile_doesnt_exist_ttl",
            &outer.metafile_doesnt_exist_ttl,
            default.metafile_doesnt_exist_ttl,
        )?,
        metafile_content_ttl: ttl(
            "metafile_content_ttl",
            &outer.metafile_content_ttl,
            default.metafile_content_ttl,
        )?,
        metafile_max_size: size(
            "metafile_max_size",
            outer.metafile_max_size.as_ref(),
            default.metafile_max_size,
        )?,
        store: default.store,
    })
}

fn store(kind: Option<&Text>, text: &str) -> Result<CacheStore, String> {
    const KINDS: &str = "use IN-MEMORY or MEMCACHED";
    let Some(kind) = kind else { return Err(format!("type: is missing; {KINDS}")) };
    match kind.value.to_ascii_uppercase().as_str() {
        "IN-MEMORY" => memory(yaml::<Inner<MemoryYaml>>(text)?.config.unwrap_or_default()),
        "MEMCACHED" => memcached(&yaml::<Inner<MemcachedYaml>>(text)?.config.unwrap_or_default()),
        "REDIS" | "GROUPCACHE" => {
            Err(at("type", kind, format!("caches of type {} are not supported; {KINDS}", kind.value)))
        }
        _ => Err(at("type", kind, format!("caches of type {:?} are unknown; {KINDS}", kind.value))),
    }
}

fn memory(config: MemoryYaml) -> Result<CacheStore, String> {
    let default = MemoryOptions::default();
    let max_size = size("config.max_size", config.max_size.as_ref(), default.max_size)?;
    let usual = MemoryOptions::of_size(max_size).max_item_size;
    let max_item_size = size("config.max_item_size", config.max_item_size.as_ref(), usual)?;
    match &config.max_item_size {
        Some(text) if max_item_size > max_size => {
            let why = format!("{max_item_size} bytes are more than max_size, {max_size} bytes");
            Err(at("config.max_item_size", text, why))
        }
        _ => Ok(CacheStore::Memory(MemoryOptions { max_size, max_item_size })),
    }
}

fn memcached(config: &MemcachedYaml) -> Result<CacheStore, String> {
    let default = MemcachedOptions::default();
    let addresses = config.addresses.iter().flatten();
    let addresses = addresses.map(address).collect::<Result<Vec<_>, _>>()?;
    if addresses.is_empty() {
        return Err("config.addresses: no address is given".to_owned());
    }
    if config.auto_discovery == Some(true) {
        return Err("config.auto_discovery: is not supported; use dns+ addresses".to_owned());
    }
    let timeout = duration("config.timeout", config.timeout.as_ref(), default.timeout)?;
    let timeout = if timeout.is_zero() { default.timeout } else { timeout };
    let every = config.dns_provider_update_interval.as_ref();
    let every = duration("config.dns_provider_update_interval", every, default.dns_provider_update_interval)?;
    if every.is_zero() {
        return Err("config.dns_provider_update_interval: must be greater than zero".to_owned());
    }
    let concurrency = config.max_async_concurrency.unwrap_or(default.max_async_concurrency);
    if concurrency == 0 {
        return Err("config.max_async_concurrency: must be greater than zero".to_owned());
    }
    Ok(CacheStore::Memcached(MemcachedOptions {
        addresses,
        timeout,
        max_idle_connections: config.max_idle_connections.unwrap_or(default.max_idle_connections),
        max_async_concurrency: concurrency,
        max_async_buffer_size: config.max_async_buffer_size.unwrap_or(default.max_async_buffer_size),
        max_get_multi_concurrency: config
            .max_get_multi_concurrency
            .unwrap_or(default.max_get_multi_concurrency),
        max_item_size: size("config.max_item_size", config.max_item_size.as_ref(), default.max_item_size)?,
        max_get_multi_batch_size: config.max_get_multi_batch_size.unwrap_or(default.max_get_multi_batch_size),
        dns_provider_update_interval: every,
        breaker: breaker(config.set_async_circuit_breaker_config.as_ref(), default.breaker)?,
    }))
}

/// `host:port` with `dns+` before it or nothing.
fn address(text: &Text) -> Result<String, String> {
    const KEY: &str = "config.addresses";
    let bare = text.value.strip_prefix("dns+").unwrap_or(&text.value);
    if bare.starts_with("dnssrv+") || bare.starts_with("dnssrvnoa+") {
        return Err(at(
            KEY,
            text,
            format!("{:?}: SRV records are not looked up; use dns+host:port", text.value),
        ));
    }
    let port = bare.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    match port.map(str::parse::<u16>) {
        Some(Ok(_)) => Ok(text.value.clone()),
        _ => Err(at(KEY, text, format!("{:?} is no host:port", text.value))),
    }
}

/// A breaker that the file does not switch on has our own settings: a dead server must only slow.
fn breaker(config: Option<&BreakerYaml>, default: BreakerOptions) -> Result<BreakerOptions, String> {
    const KEY: &str = "config.set_async_circuit_breaker_config.open_duration";
    let Some(config) = config.filter(|config| config.enabled == Some(true)) else { return Ok(default) };
    Ok(BreakerOptions {
        half_open_max_requests: config.half_open_max_requests.unwrap_or(default.half_open_max_requests),
        open_duration: duration(KEY, config.open_duration.as_ref(), default.open_duration)?,
        min_requests: config.min_requests.unwrap_or(default.min_requests),
        consecutive_failures: config.consecutive_failures.unwrap_or(default.consecutive_failures),
        failure_percent: config.failure_percent.unwrap_or(0.05),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_any_size() {
        let read =
            index_cache("type: IN-MEMORY\nconfig:\n  max_size: 1GB\n  max_item_size: 1048576\n").unwrap();
        let memory = MemoryOptions { max_size: 1 << 30, max_item_size: 1 << 20 };
        assert_eq!(
            read,
            IndexCacheOptions { store: CacheStore::Memory(memory), ..IndexCacheOptions::default() }
        );
        let plain = index_cache("type: in-memory\n").unwrap();
        assert_eq!(plain.store, CacheStore::Memory(MemoryOptions::default()));
        // Smaller than the usual bound of one thing.
        let small =
            index_cache("config: {max_size: 10MiB}\ntype: IN-MEMORY\nttl: 0s\nenabled_items: []\n").unwrap();
        let memory = MemoryOptions { max_size: 10 << 20, max_item_size: 5 << 20 };
        assert_eq!(
            small,
            IndexCacheOptions { store: CacheStore::Memory(memory), ..IndexCacheOptions::default() }
        );
    }

    #[test]
    fn memcached_with_every_key() {
        let text = "
type: MEMCACHED
config:
  addresses: ['dns+memcached.cache.svc:11211', 'localhost:11212']
  timeout: 300ms
  max_idle_connections: 50
  max_async_concurrency: 10
  max_async_buffer_size: 25000
  max_get_multi_concurrency: 200
  max_item_size: 16MiB
  max_get_multi_batch_size: 1000
  dns_provider_update_interval: 30s
  auto_discovery: false
  set_async_circuit_breaker_config:
    enabled: true
    half_open_max_requests: 3
    open_duration: 7s
    min_requests: 20
    consecutive_failures: 4
    failure_percent: 0.2
enabled_items: [Postings, ExpandedPostings]
ttl: 48h
";
        let read = index_cache(text).unwrap();
        assert_eq!(read.enabled, [Item::Postings, Item::ExpandedPostings]);
        assert_eq!(read.ttl, Duration::from_secs(48 * 3600));
        let expected = MemcachedOptions {
            addresses: vec!["dns+memcached.cache.svc:11211".to_owned(), "localhost:11212".to_owned()],
            timeout: Duration::from_millis(300),
            max_idle_connections: 50,
            max_async_concurrency: 10,
            max_async_buffer_size: 25_000,
            max_get_multi_concurrency: 200,
            max_item_size: 16 << 20,
            max_get_multi_batch_size: 1000,
            dns_provider_update_interval: Duration::from_secs(30),
            breaker: BreakerOptions {
                half_open_max_requests: 3,
                open_duration: Duration::from_secs(7),
                min_requests: 20,
                consecutive_failures: 4,
                failure_percent: 0.2,
            },
        };
        assert_eq!(read.store, CacheStore::Memcached(expected));
    }

    #[test]
    fn the_caching_bucket() {
        let text = "
type: MEMCACHED
config:
  addresses: ['a:1']
chunk_subrange_size: 32000
max_chunks_get_range_requests: 5
chunk_object_attrs_ttl: 1h
chunk_subrange_ttl: 2h
blocks_iter_ttl: 10m
metafile_exists_ttl: 3h
metafile_doesnt_exist_ttl: 1m
metafile_content_ttl: 4h
metafile_max_size: 2MiB
";
        let read = bucket_cache(text).unwrap();
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert_eq!((read.chunk_subrange_size, read.max_chunks_get_range_requests), (32_000, 5));
        assert_eq!((read.chunk_object_attrs_ttl, read.chunk_subrange_ttl), (hours(1), hours(2)));
        assert_eq!((read.metafile_exists_ttl, read.metafile_content_ttl), (hours(3), hours(4)));
        assert_eq!((read.blocks_iter_ttl.as_secs(), read.metafile_doesnt_exist_ttl.as_secs()), (600, 60));
        assert_eq!(read.metafile_max_size, 2 << 20);
        let plain = bucket_cache("type: IN-MEMORY\n").unwrap();
        assert_eq!(plain, BucketCacheOptions::new(CacheStore::Memory(MemoryOptions::default())));
    }

    #[test]
    fn faults_name_line_and_key() {
        for (text, parts) in [
            ("config: {}\n", &["type"][..]),
            ("type: REDIS\nconfig:\n  addr: a:1\n", &["line 1", "REDIS", "not supported", "MEMCACHED"]),
            ("type: SOMETHING\n", &["line 1", "SOMETHING", "unknown"]),
            ("type: IN-MEMORY\nconfig:\n  max_sizes: 1GB\n", &["line 3", "max_sizes"]),
            ("type: IN-MEMORY\nconfig:\n  max_size: many\n", &["line 3", "config.max_size", "many"]),
            (
                "type: IN-MEMORY\nconfig:\n  max_size: 1MB\n  max_item_size: 2MB\n",
                &["line 4", "config.max_item_size"],
            ),
            ("type: IN-MEMORY\nenabled_items: [Chunks]\n", &["line 2", "enabled_items", "Chunks"]),
            ("type: IN-MEMORY\nttl: soon\n", &["line 2", "ttl", "soon"]),
            ("type: IN-MEMORY\ncolour: red\n", &["line 2", "colour"]),
            ("type: MEMCACHED\n", &["config.addresses"]),
            ("type: MEMCACHED\nconfig:\n  addresses: [a]\n", &["line 3", "config.addresses", "\"a\""]),
            ("type: MEMCACHED\nconfig:\n  addresses: ['dnssrv+_m._tcp.a']\n", &["line 3", "SRV", "dns+"]),
            (
                "type: MEMCACHED\nconfig:\n  addresses: ['a:1']\n  timeout: -1s\n",
                &["line 4", "config.timeout"],
            ),
            ("type: MEMCACHED\nconfig:\n  addresses: ['a:1']\n  auto_discovery: true\n", &["auto_discovery"]),
            ("type: MEMCACHED\nconfig:\n  addresses: ['a:1']\n  max_async_concurrency: x\n", &["line 4"]),
        ] {
            let fault = index_cache(text).unwrap_err();
            assert!(parts.iter().all(|part| fault.contains(part)), "{text}: {fault}");
        }
        let fault = bucket_cache("type: IN-MEMORY\nchunk_subrange_size: 0\n").unwrap_err();
        assert!(fault.contains("chunk_subrange_size"), "{fault}");
        let fault = bucket_cache("type: GROUPCACHE\n").unwrap_err();
        assert!(fault.contains("GROUPCACHE") && fault.contains("not supported"), "{fault}");
    }
}
