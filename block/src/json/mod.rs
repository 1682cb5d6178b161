//! JSON as Go reads and writes it: the form of every small file beside a block.
//!
//! Meta files, marks and the shipper's note are compared byte for byte with what Prometheus and Thanos write, so this
//! room keeps Go's habits: fields stay in the order in which they were put; `<`, `>`, `&`, U+2028 and U+2029 are
//! escaped; bytes that are not UTF-8 become U+FFFD, one each; empty lists and objects are `[]` and `{}`; names of fields
//! are found without regard to ASCII case, the last one counts, `null` counts as absent; what follows the first value
//! is ignored. Numbers keep their text, so that no digit is lost on the way through.
//!
//! ```
//! use sarsen_block::json::Json;
//!
//! let mark = Json::object([("id", Json::text("01HF")), ("version", Json::from(1u64))]);
//! assert_eq!(mark.compact(), r#"{"id":"01HF","version":1}"#);
//! let read = Json::parse("mark.json", mark.compact().as_bytes())?;
//! assert_eq!(read.fields("mark.json")?.u64("Version")?, 1);
//! # Ok::<(), sarsen_block::Error>(())
//! ```

mod fields;
mod parse;
mod write;

pub use fields::Fields;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as its text.
    Number(String),
    /// A string, unescaped.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object: names and values in the order of the text; a name may stand twice.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A list.
    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Self::List(items.into_iter().collect())
    }

    /// An object with its fields in this order.
    pub fn object<N: Into<String>>(fields: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Object(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Self {
        Self::Number(value.to_string())
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Self::Number(value.to_string())
    }
}

/// Bytes as text: each byte that is not part of UTF-8 becomes U+FFFD, as Go's encoder and decoder do it.
pub fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

#[cfg(test)]
mod tests;
