//! The names and values of labels, of all series of a block or of those that matchers find.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt;
use sarsen_block::{Listed, Matcher, SymbolTexts, read_series_entry};

use super::{Budget, RemoteBlock};
use crate::error::Error;

impl RemoteBlock {
    /// The names of the labels of the series that all `matchers` accept, rising; without matchers, of all.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    pub async fn label_names(&self, matchers: &[Matcher], budget: &Budget) -> Result<Vec<Vec<u8>>, Error> {
        self.heed(self.names(matchers, budget).await).await
    }

    async fn names(&self, matchers: &[Matcher], budget: &Budget) -> Result<Vec<Vec<u8>>, Error> {
        if self.pass_all(matchers)? {
            return Ok(self.header().label_names().map(<[u8]>::to_vec).collect());
        }
        let mut names = BTreeSet::new();
        self.each_pair(matchers, budget, |name, _| {
            names.insert(name);
        })
        .await?;
        let texts = self.texts(names.into_iter().collect())?;
        Ok(texts.into_values().collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// The values of a label in the series that all `matchers` accept, rising; without matchers, in all. Where all matchers ask for this
    /// label, no series is read.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    pub async fn label_values(
        &self,
        label: &[u8],
        matchers: &[Matcher],
        budget: &Budget,
    ) -> Result<Vec<Vec<u8>>, Error> {
        self.heed(self.values(label, matchers, budget).await).await
    }

    async fn values(
        &self,
        label: &[u8],
        matchers: &[Matcher],
        budget: &Budget,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let (own, others): (Vec<_>, Vec<_>) = matchers.iter().partition(|matcher| matcher.name() == label);
        let others: Vec<Matcher> = others.into_iter().cloned().collect();
        if self.pass_all(&others)? {
            let prefix = own.iter().filter(|matcher| !matcher.op().is_negative()).map(|m| m.prefix());
            let prefix = prefix.max_by_key(|prefix| prefix.len()).unwrap_or_default();
            let mut values = Vec::new();
            let damage = self.damage();
            self.header()
                .label_values(label, prefix, &mut |value| {
                    if own.iter().all(|matcher| matcher.matches(value)) {
                        values.push(value.to_vec());
                    }
                    value.starts_with(prefix)
                })
                .map_err(damage)?;
            return Ok(values);
        }
        let mut of_name: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        self.each_pair(matchers, budget, |name, value| {
            of_name.entry(name).or_default().insert(value);
        })
        .await?;
        let names = self.texts(of_name.keys().copied().collect())?;
        let wanted =
            of_name.into_iter().filter(|(name, _)| names.get(name).is_some_and(|text| text == label));
        let wanted: BTreeSet<u32> = wanted.flat_map(|(_, values)| values).collect();
        let values = self.texts(wanted.into_iter().collect())?;
        Ok(values
            .into_values()
            .filter(|value| !value.is_empty())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect())
    }

    /// Whether the header knows that all series pass all `matchers`.
    fn pass_all(&self, matchers: &[Matcher]) -> Result<bool, Error> {
        for matcher in matchers {
            if self.header().lists_of(matcher).map_err(self.damage())? != Listed::Every {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Shows the symbols of the names and values of all series that `matchers` accept.
    async fn each_pair(
        &self,
        matchers: &[Matcher],
        budget: &Budget,
        mut show: impl FnMut(u32, u32),
    ) -> Result<(), Error> {
        let found = self.find(matchers, budget).await?;
        let ask: Vec<&Matcher> = found.ask.iter().filter_map(|&number| matchers.get(number)).collect();
        let damage = self.damage();
        let mut texts = SymbolTexts::default();
        let mut fetched = self.entries_of(&found.series, budget);
        while let Some(raw) = fetched.try_next().await? {
            let (mut symbols, mut ends, mut chunks) = (Vec::new(), Vec::new(), Vec::new());
            self.read_entries(&raw, |_, bytes, at| {
                chunks.clear();
                read_series_entry(bytes, at, &mut symbols, &mut chunks)?;
                ends.push(symbols.len());
                Ok(())
            })?;
            if !ask.is_empty() {
                self.header().look_up(&mut symbols.clone(), &mut texts).map_err(damage)?;
            }
            let mut start = 0;
            for end in ends {
                let pairs = symbols.get(start..end).unwrap_or_default();
                start = end;
                if ask.iter().all(|matcher| super::series::accepts(matcher, pairs, &texts)) {
                    pairs.as_chunks::<2>().0.iter().for_each(|[name, value]| show(*name, *value));
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The texts of symbols.
    fn texts(&self, numbers: Vec<u32>) -> Result<BTreeMap<u32, Vec<u8>>, Error> {
        let mut texts = SymbolTexts::default();
        self.header().look_up(&mut numbers.clone(), &mut texts).map_err(self.damage())?;
        let text = |number: u32| (number, texts.get(number).unwrap_or_default().to_vec());
        Ok(numbers.into_iter().map(text).collect())
    }
}
