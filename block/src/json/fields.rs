//! The fields of a JSON object, read as Go fills a struct from them.

use super::Json;
use crate::error::Error;

/// The fields of an object. A missing field and a `null` read as the zero of their type; a value of another type is an
/// error; names are compared without regard to ASCII case, and the last one that is there counts.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    object: &'a str,
    fields: &'a [(String, Json)],
}

impl Json {
    /// The fields of this object; `null` has none. `object` is what errors call the text.
    ///
    /// # Errors
    /// `Corrupt` if this is neither an object nor `null`.
    pub fn fields<'a>(&'a self, object: &'a str) -> Result<Fields<'a>, Error> {
        match self {
            Self::Null => Ok(Fields { object, fields: &[] }),
            Self::Object(fields) => Ok(Fields { object, fields }),
            _ => Err(Error::corrupt(object, 0, "expected an object")),
        }
    }
}

impl<'a> Fields<'a> {
    /// The value of a field, unless it is missing or `null`.
    pub fn get(&self, name: &str) -> Option<&'a Json> {
        let named = |(n, v): &&(String, Json)| n.eq_ignore_ascii_case(name) && *v != Json::Null;
        self.fields.iter().rev().find(named).map(|(_, value)| value)
    }

    /// All names and values, in the order of the text.
    pub fn all(&self) -> impl Iterator<Item = (&'a str, &'a Json)> + use<'a> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The error "this field is wrong".
    pub fn fault(&self, name: &str, expected: &str) -> Error {
        Error::corrupt(self.object, 0, format!("field {name}: expected {expected}"))
    }

    fn number<N: std::str::FromStr + Default>(&self, name: &str, expected: &str) -> Result<N, Error> {
        match self.get(name) {
            None => Ok(N::default()),
            Some(Json::Number(text)) => text.parse().map_err(|_| self.fault(name, expected)),
            Some(_) => Err(self.fault(name, expected)),
        }
    }

    /// A signed whole number. As in Go, `1.0` and `1e3` are none.
    ///
    /// # Errors
    /// `Corrupt` if it is something else.
    pub fn i64(&self, name: &str) -> Result<i64, Error> {
        self.number(name, "a whole number")
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// `Corrupt` if it is something else.
    pub fn u64(&self, name: &str) -> Result<u64, Error> {
        self.number(name, "a whole number from 0 on")
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// `Corrupt` if it is something else.
    pub fn bool(&self, name: &str) -> Result<bool, Error> {
        match self.get(name) {
            None => Ok(false),
            Some(Json::Bool(value)) => Ok(*value),
            Some(_) => Err(self.fault(name, "true or false")),
        }
    }

    /// A string.
    ///
    /// # Errors
    /// `Corrupt` if it is something else.
    pub fn text(&self, name: &str) -> Result<&'a str, Error> {
        match self.get(name) {
            None => Ok(""),
            Some(Json::Text(text)) => Ok(text),
            Some(_) => Err(self.fault(name, "a string")),
        }
    }

    /// A list.
    ///
    /// # Errors
    /// `Corrupt` if it is something else.
    pub fn list(&self, name: &str) -> Result<&'a [Json], Error> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Json::List(items)) => Ok(items),
            Some(_) => Err(self.fault(name, "a list")),
        }
    }

    /// A list of strings; `null` among them is the empty string.
    ///
    /// # Errors
    /// `Corrupt` if it is something else.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, Error> {
        let text = |item: &Json| match item {
            Json::Text(text) => Ok(text.clone()),
            Json::Null => Ok(String::new()),
            _ => Err(self.fault(name, "a list of strings")),
        };
        self.list(name)?.iter().map(text).collect()
    }

    /// An object.
    ///
    /// # Errors
    /// `Corrupt` if it is something else.
    pub fn object(&self, name: &str) -> Result<Fields<'a>, Error> {
        match self.get(name) {
            None => Ok(Fields { object: self.object, fields: &[] }),
            Some(Json::Object(fields)) => Ok(Fields { object: self.object, fields }),
            Some(_) => Err(self.fault(name, "an object")),
        }
    }

    /// A list of objects.
    ///
    /// # Errors
    /// `Corrupt` if it is something else.
    pub fn objects(&self, name: &str) -> Result<Vec<Fields<'a>>, Error> {
        self.list(name)?.iter().map(|item| item.fields(self.object)).collect()
    }
}
