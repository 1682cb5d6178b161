//! Which blocks one of several processes looks at, by their external labels: Thanos' `--selector.relabel-config`.
//!
//! A list of rules of Prometheus' relabelling, of which only `keep`, `drop` and `hashmod` are of use here. They see the external
//! labels without replica labels, and the id of the block as `__block_id`. `hashmod` is Prometheus': the last eight bytes of the MD5
//! of the values, modulo a number.

use std::collections::BTreeMap;

use sarsen_block::{BlockId, MatchOp, Matcher};
use serde::Deserialize;

use crate::error::{Error, Place};
use crate::filter::Excluded;
use crate::md5::md5;
use crate::view::View;

/// The label that holds the id of the block.
const BLOCK_ID: &str = "__block_id";

/// Rules that blocks must pass. Without a rule every block does.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    sources: Vec<String>,
    separator: String,
    action: Action,
}

#[derive(Debug, Clone)]
enum Action {
    Keep(Matcher),
    Drop(Matcher),
    HashMod { modulus: u64, target: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleYaml {
    #[serde(default)]
    source_labels: Vec<String>,
    #[serde(default = "semicolon")]
    separator: String,
    #[serde(default = "anything")]
    regex: String,
    #[serde(default)]
    modulus: u64,
    #[serde(default)]
    target_label: String,
    /// No action of ours replaces anything.
    #[serde(default, rename = "replacement")]
    _replacement: Option<String>,
    #[serde(default = "replace")]
    action: String,
}

fn semicolon() -> String {
    ";".to_owned()
}

fn anything() -> String {
    "(.*)".to_owned()
}

fn replace() -> String {
    "replace".to_owned()
}

impl Selector {
    /// Reads the YAML text of a list of rules. An empty text has none.
    ///
    /// # Errors
    /// `Config` for text that is none, a key or an action that has no place here, a bad regular expression, or `hashmod` without
    /// `modulus` or `target_label`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let options = serde_saphyr::options! { with_snippet: false };
        let read: Result<Option<Vec<RuleYaml>>, _> = serde_saphyr::from_str_with_options(text, options);
        let rules = read.map_err(|error| {
            let place = error.location().map(|at| Place { line: at.line(), column: at.column() });
            let why = error.to_string().lines().next().unwrap_or_default().to_owned();
            Error::Config { place: place.unwrap_or_default(), why }
        })?;
        let rules = rules.unwrap_or_default().into_iter().map(Rule::new).collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// Whether a block with these external labels is one of ours.
    pub fn takes(&self, id: BlockId, labels: &BTreeMap<String, String>) -> bool {
        let mut labels = labels.clone();
        labels.insert(BLOCK_ID.to_owned(), id.to_string());
        self.rules.iter().all(|rule| rule.passes(&mut labels))
    }

    /// Takes out of the view what is not one of ours; the blocks taken out, with the reason.
    pub fn apply(&self, view: &mut View, replica_labels: &[String]) -> Vec<(BlockId, Excluded)> {
        let foreign = |id: BlockId, labels: &BTreeMap<String, String>| {
            let mut labels = labels.clone();
            labels.retain(|name, _| !replica_labels.contains(name));
            !self.takes(id, &labels)
        };
        let none = BTreeMap::new();
        let metas = view.blocks.values();
        let labels = metas.map(|meta| (meta.id, meta.thanos.as_ref().map_or(&none, |thanos| &thanos.labels)));
        let gone: Vec<BlockId> =
            labels.filter(|(id, labels)| foreign(*id, labels)).map(|(id, _)| id).collect();
        for id in &gone {
            view.blocks.remove(id);
        }
        gone.into_iter().map(|id| (id, Excluded::Labels)).collect()
    }
}

impl Rule {
    fn new(yaml: RuleYaml) -> Result<Self, Error> {
        let RuleYaml { source_labels: sources, separator, regex, modulus, target_label, action, .. } = yaml;
        let matcher = || {
            let matcher = Matcher::new(MatchOp::Regex, "", &regex);
            matcher.map_err(|why| Error::config(format!("regex: {why}")))
        };
        let action = match action.to_ascii_lowercase().as_str() {
            "keep" => Action::Keep(matcher()?),
            "drop" => Action::Drop(matcher()?),
            "hashmod" if modulus == 0 => return Err(Error::config("hashmod needs a modulus above 0")),
            "hashmod" if target_label.is_empty() => {
                return Err(Error::config("hashmod needs a target_label"));
            }
            "hashmod" => Action::HashMod { modulus, target: target_label },
            _ => {
                let why = format!("action {action:?}: blocks are selected by keep, drop and hashmod only");
                return Err(Error::config(why));
            }
        };
        Ok(Self { sources, separator, action })
    }

    /// Whether the block goes on to the next rule.
    fn passes(&self, labels: &mut BTreeMap<String, String>) -> bool {
        let values: Vec<&str> =
            self.sources.iter().map(|name| labels.get(name).map_or("", String::as_str)).collect();
        let value = values.join(&self.separator);
        match &self.action {
            Action::Keep(matcher) => matcher.matches(value.as_bytes()),
            Action::Drop(matcher) => !matcher.matches(value.as_bytes()),
            Action::HashMod { modulus, target } => {
                let digest = md5(value.as_bytes());
                let hash = digest.iter().skip(8).fold(0u64, |hash, byte| hash << 8 | u64::from(*byte));
                labels.insert(target.clone(), (hash % modulus).to_string());
                true
            }
        }
    }
}
