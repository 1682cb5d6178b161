//! The file of overrides: other retentions for blocks of some external labels.
//!
//! ```yaml
//! retention:
//!   - match: '{tenant_id="team-a"}'
//!     raw: 3d
//!     5m: 60d
//!     1h: 0d      # for ever
//! ```
//!
//! The first entry whose selector fits counts; what it leaves out is as the flags say. Unknown keys are faults.

use sarsen_block::parse_selector;
use sarsen_compactor::RetentionOverride;
use serde::Deserialize;

use super::content::yaml_fault;
use super::values::model_duration;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    retention: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(rename = "match")]
    selector: String,
    raw: Option<String>,
    #[serde(rename = "5m")]
    five_minutes: Option<String>,
    #[serde(rename = "1h")]
    one_hour: Option<String>,
}

/// Reads the text of the file; the reason names the line or the entry.
pub(super) fn parse(text: &str) -> Result<Vec<RetentionOverride>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let file: File = serde_saphyr::from_str(text).map_err(|why| yaml_fault(&why.to_string()))?;
    file.retention.into_iter().map(Entry::read).collect()
}

impl Entry {
    fn read(self) -> Result<RetentionOverride, String> {
        let fault = |why: String| format!("retention of {}: {why}", self.selector);
        let duration = |text: &Option<String>| text.as_deref().map(model_duration).transpose().map_err(fault);
        Ok(RetentionOverride {
            matchers: parse_selector(&self.selector).map_err(|why| fault(why.to_string()))?,
            raw_ms: duration(&self.raw)?,
            five_minutes_ms: duration(&self.five_minutes)?,
            one_hour_ms: duration(&self.one_hour)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_faults() {
        let text = "retention:\n  - match: '{tenant_id=\"a\"}'\n    raw: 3d\n    1h: 0d\n  - match: '{tenant_id=~\"b.*\"}'\n    5m: 60d\n";
        let read = parse(text).unwrap();
        let day = 86_400_000;
        assert_eq!(
            (read[0].raw_ms, read[0].five_minutes_ms, read[0].one_hour_ms),
            (Some(3 * day), None, Some(0))
        );
        assert_eq!((read[1].raw_ms, read[1].five_minutes_ms), (None, Some(60 * day)));
        assert_eq!(read[1].matchers.len(), 1);
        assert!(parse("").unwrap().is_empty());
        for (text, part) in [
            ("retention:\n  - match: '{a=\"b\"}'\n    colour: red\n", "line 3"),
            ("retention:\n  - match: '{a'\n", "{a"),
            ("retention:\n  - match: '{a=\"b\"}'\n    raw: soon\n", "soon"),
            ("compaction: {}\n", "compaction"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.contains(part), "{text}: {fault}");
        }
    }
}
