//! Takes a JSON object apart, field by field, with OpenAI's errors. The management API does it in the same way.
//!
//! `serde` stops at the first wrong type with a message about Rust; clients rely on `param` and `code`.

mod value;

use std::{cell::RefCell, ops::RangeInclusive};

use serde_json::{Map, Value};

pub(crate) use self::value::{clip, integer, missing, wrong_type};
use self::value::{name_of, out_of_range};
use crate::error::{ApiError, Kind};

/// The fields of an object that have not been taken yet.
#[derive(Debug)]
pub(crate) struct Fields {
    values: Map<String, Value>,
    /// Where the object is, such as `steering.vectors[0]`. Empty for the body itself.
    path: String,
    /// The names that were asked for: what a misspelt one is compared with.
    known: RefCell<Vec<&'static str>>,
}

impl Fields {
    /// The fields of a request's body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let value = serde_json::from_slice(body).map_err(|error| {
            let message = format!("We could not parse the JSON body of your request: {error}.");
            ApiError::new(Kind::InvalidBody, message)
        })?;
        match value {
            Value::Object(values) => Ok(Self { values, path: String::new(), known: RefCell::default() }),
            other => {
                let message = format!("The body of the request must be an object, but got {}.", name_of(&other));
                Err(ApiError::new(Kind::InvalidBody, message))
            }
        }
    }

    /// The fields of the object `value`, found at `path`.
    pub(crate) fn of(value: Value, path: String) -> Result<Self, ApiError> {
        match value {
            Value::Object(values) => Ok(Self { values, path, known: RefCell::default() }),
            other => Err(wrong_type(&path, "an object", &other)),
        }
    }

    /// The full name of the field `key`.
    pub(crate) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// A field of any type. Null is the same as absent, as clients send it for what is not set.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.borrow_mut().push(key);
        self.values.remove(key).filter(|value| !value.is_null())
    }

    /// All that has not been taken, but these.
    pub(crate) fn without(&self, keys: &[&str]) -> impl Iterator<Item = (&String, &Value)> {
        self.values.iter().filter(|(name, _)| !keys.contains(&name.as_str()))
    }

    /// A field that stays where it is.
    pub(crate) fn peek(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// Adds a field, or replaces it.
    pub(crate) fn put(&mut self, key: &str, value: Value) {
        self.values.insert(key.to_owned(), value);
    }

    /// Whether a field is there and not null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(|value| !value.is_null())
    }

    /// `value`, or the error that `key` is missing.
    pub(crate) fn require<T>(&self, key: &str, value: Option<T>) -> Result<T, ApiError> {
        value.ok_or_else(|| missing(&self.path(key)))
    }

    pub(crate) fn bool(&mut self, key: &'static str) -> Result<Option<bool>, ApiError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(wrong_type(&self.path(key), "a boolean", &other)),
        }
    }

    /// A switch, which is off unless it is turned on.
    pub(crate) fn flag(&mut self, key: &'static str) -> Result<bool, ApiError> {
        Ok(self.bool(key)?.unwrap_or(false))
    }

    pub(crate) fn string(&mut self, key: &'static str) -> Result<Option<String>, ApiError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(other) => Err(wrong_type(&self.path(key), "a string", &other)),
        }
    }

    pub(crate) fn list(&mut self, key: &'static str) -> Result<Option<Vec<Value>>, ApiError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(other) => Err(wrong_type(&self.path(key), "an array", &other)),
        }
    }

    pub(crate) fn object(&mut self, key: &'static str) -> Result<Option<Self>, ApiError> {
        let path = self.path(key);
        self.take(key).map(|value| Self::of(value, path)).transpose()
    }

    /// A number. JSON has no NaN and no infinity, so neither can come out of here.
    pub(crate) fn decimal(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let path = self.path(key);
        let Some(number) = value.as_f64() else {
            return Err(wrong_type(&path, "a decimal", &value));
        };
        let (min, max) = range.into_inner();
        if number > max {
            return Err(out_of_range(Kind::DecimalAboveMax, &path, "decimal above maximum", "<=", max, &value));
        }
        if number < min {
            return Err(out_of_range(Kind::DecimalBelowMin, &path, "decimal below minimum", ">=", min, &value));
        }
        Ok(Some(number))
    }

    /// A whole number. `3.0` is one: some languages write integers so.
    pub(crate) fn integer(&mut self, key: &'static str, range: RangeInclusive<i128>) -> Result<Option<i128>, ApiError> {
        self.take(key).map(|value| self.integer_in(key, &value, range)).transpose()
    }

    /// The whole number that `value`, taken from `key`, has to be.
    pub(crate) fn integer_in(&self, key: &str, value: &Value, range: RangeInclusive<i128>) -> Result<i128, ApiError> {
        let path = self.path(key);
        let Some(number) = integer(value) else {
            return Err(wrong_type(&path, "an integer", value));
        };
        let (min, max) = range.into_inner();
        if number > max {
            return Err(out_of_range(Kind::IntegerAboveMax, &path, "integer above maximum", "<=", max, value));
        }
        if number < min {
            return Err(out_of_range(Kind::IntegerBelowMin, &path, "integer below minimum", ">=", min, value));
        }
        Ok(number)
    }

    /// The names of what was not taken, in alphabetical order.
    pub(crate) fn into_rest(self) -> Vec<String> {
        let mut names: Vec<String> = self.values.into_iter().map(|(name, _)| name).collect();
        names.sort();
        names
    }

    /// Refuses what was not taken, for objects that are ours alone.
    pub(crate) fn deny_rest(&self) -> Result<(), ApiError> {
        self.values.keys().min().map_or(Ok(()), |name| Err(self.unknown(name, &self.known.borrow())))
    }

    /// Refuses what is not among `known`: at the beginning, before a misspelt name makes another seem to be missing.
    pub(crate) fn deny_others(&self, known: &[&str]) -> Result<(), ApiError> {
        let others = self.values.keys().filter(|name| !known.contains(&name.as_str()));
        others.min().map_or(Ok(()), |name| Err(self.unknown(name, known)))
    }

    fn unknown(&self, name: &str, known: &[&str]) -> ApiError {
        let similar = known.iter().map(|known| (strsim::damerau_levenshtein(&clip(name), known), *known));
        let hint = match similar.min().filter(|(distance, _)| *distance <= 2) {
            Some((_, nearest)) => format!("Did you mean '{nearest}'?"),
            None => format!("There are: {}.", known.join(", ")),
        };
        let path = self.path(&clip(name));
        ApiError::at(Kind::UnknownParameter, path.clone(), format!("Unknown parameter: '{path}'. {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::of(value, String::new()).unwrap()
    }

    #[test]
    fn numbers_have_types_and_ranges() {
        let mut given = fields(json!({ "a": 1, "b": 0.5, "c": 3.0, "d": null, "e": u64::MAX }));
        assert_eq!(given.decimal("a", 0.0..=2.0), Ok(Some(1.0)));
        assert_eq!(given.decimal("b", 0.0..=2.0), Ok(Some(0.5)));
        assert_eq!(given.integer("c", 0..=9), Ok(Some(3)));
        assert_eq!(given.integer("d", 0..=9), Ok(None));
        assert_eq!(given.integer("e", 0..=u64::MAX.into()), Ok(Some(u64::MAX.into())));
        assert_eq!(given.integer("absent", 0..=9), Ok(None));
    }

    #[test]
    fn wrong_numbers_get_openai_codes() {
        use Kind::*;
        for (value, decimal, integer) in [
            (json!(3), DecimalAboveMax, IntegerAboveMax),
            (json!(-1), DecimalBelowMin, IntegerBelowMin),
            (json!("1"), InvalidType, InvalidType),
            (json!([1]), InvalidType, InvalidType),
            (json!(true), InvalidType, InvalidType),
            (json!(2.5), DecimalAboveMax, InvalidType),
            (json!(1e300), DecimalAboveMax, InvalidType),
        ] {
            let error = fields(json!({ "x": value })).decimal("x", 0.0..=2.0).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (decimal, Some("x")), "{value}");
            let error = fields(json!({ "x": value })).integer("x", 0..=2).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (integer, Some("x")), "{value}");
        }
        let error = fields(json!({ "top_p": 3 })).decimal("top_p", 0.0..=1.0).unwrap_err();
        let expected = "Invalid 'top_p': decimal above maximum value. Expected a value <= 1, but got 3 instead.";
        assert_eq!(error.message, expected);
    }

    #[test]
    fn errors_name_the_whole_path() {
        let mut outer = fields(json!({ "steering": { "a": 1 } }));
        let mut inner = outer.object("steering").unwrap().unwrap();
        assert_eq!(inner.string("a").unwrap_err().param.as_deref(), Some("steering.a"));
        assert_eq!(inner.require::<()>("b", None).unwrap_err().param.as_deref(), Some("steering.b"));
    }

    #[test]
    fn what_nobody_took_is_left_over() {
        let mut given = fields(json!({ "z": 1, "strenght": 2, "strength": 3, "a": null }));
        assert!(given.take("strength").is_some());
        let error = given.deny_rest().unwrap_err();
        assert_eq!(error.message, "Unknown parameter: 'a'. There are: strength.");
        assert_eq!(given.into_rest(), ["a", "strenght", "z"]);
        let mut given = fields(json!({ "strenght": 2 }));
        assert!(given.take("strength").is_none());
        assert_eq!(given.deny_rest().unwrap_err().message, "Unknown parameter: 'strenght'. Did you mean 'strength'?");
        assert_eq!(fields(json!({})).deny_rest(), Ok(()));
        assert_eq!(given.deny_others(&["strength"]).unwrap_err(), given.deny_rest().unwrap_err());
        assert_eq!(given.deny_others(&["strenght", "x"]), Ok(()));
    }

    #[test]
    fn of_a_key_given_twice_the_last_counts() {
        let mut given = Fields::parse(b"{\"n\": 1, \"n\": 2}").unwrap();
        assert_eq!(given.integer("n", 0..=9), Ok(Some(2)));
    }
}
