//! What is round the querier of this process: itself as its one store, and what senders say of their metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use sarsen_block::{METRIC_NAME, Matcher};
use sarsen_tsdb::SeriesMetadata;

use crate::clock;
use crate::metrics::Registry;
use crate::query::{Found, Metadata, StoreStatus, Surroundings};
use crate::receive::Receiver;
use crate::store::Store;

/// Ends of the names of a histogram's or a summary's series.
const PARTS: [&str; 3] = ["_bucket", "_count", "_sum"];

/// This process, for those who ask it.
pub(crate) struct Around {
    receiver: Receiver,
    store: Arc<dyn Store>,
    registry: Registry,
    address: String,
}

impl Around {
    /// Round a querier over `store`, which listens at `address`.
    pub(crate) fn new(
        receiver: Receiver,
        store: Arc<dyn Store>,
        registry: Registry,
        address: String,
    ) -> Self {
        Self { receiver, store, registry, address }
    }
}

#[async_trait]
impl Surroundings for Around {
    fn stores(&self) -> Vec<StoreStatus> {
        let info = self.store.info();
        vec![StoreStatus {
            name: self.address.clone(),
            component: info.component.to_owned(),
            last_check: clock::now(),
            last_error: (!info.ready).then(|| "not ready".to_owned()),
            label_sets: info.label_sets,
            range: info.range,
        }]
    }

    async fn metadata(
        &self,
        metric: Option<&str>,
        _partial: bool,
    ) -> Result<Found<BTreeMap<String, Vec<Metadata>>>, String> {
        let (receiver, registry, wanted) =
            (self.receiver.clone(), self.registry.clone(), metric.map(str::to_owned));
        let read = tokio::task::spawn_blocking(move || {
            let mut found: BTreeMap<String, BTreeSet<Metadata>> = BTreeMap::new();
            let mut warnings = Vec::new();
            for tenant in receiver.readable().unwrap_or_default() {
                let Ok(db) = tenant.db else { continue };
                match db.metadata(&[] as &[Matcher]) {
                    Ok(said) => said.into_iter().for_each(|said| note(&mut found, &said)),
                    Err(why) => warnings.push(format!("metadata of {}: {why}", tenant.name)),
                }
            }
            note_page(&mut found, &registry.page(false).1);
            if let Some(wanted) = wanted {
                found.retain(|name, _| *name == wanted);
            }
            let data = found.into_iter().map(|(name, said)| (name, said.into_iter().collect())).collect();
            Found { data, warnings }
        });
        read.await.map_err(|why| why.to_string())
    }
}

/// Adds what a sender said of the metric of a series.
fn note(found: &mut BTreeMap<String, BTreeSet<Metadata>>, said: &SeriesMetadata) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let Some(name) = said.labels.as_ref().get(METRIC_NAME).map(text) else { return };
    let kind = said.metadata.kind.as_str().to_owned();
    let in_parts = matches!(kind.as_str(), "histogram" | "summary" | "gaugehistogram");
    let family = PARTS.iter().find_map(|part| name.strip_suffix(part).filter(|_| in_parts)).unwrap_or(&name);
    let metadata = Metadata { kind, help: text(&said.metadata.help), unit: text(&said.metadata.unit) };
    found.entry(family.to_owned()).or_default().insert(metadata);
}

/// Adds what this process' own page says of its metrics.
fn note_page(found: &mut BTreeMap<String, BTreeSet<Metadata>>, page: &str) {
    let mut help = ("", "");
    for line in page.lines() {
        if let Some((name, text)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
            help = (name, text);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' '))
        {
            let text = if help.0 == name { help.1 } else { "" };
            let metadata = Metadata { kind: kind.to_owned(), help: text.to_owned(), unit: String::new() };
            found.entry(name.to_owned()).or_default().insert(metadata);
        }
    }
}
