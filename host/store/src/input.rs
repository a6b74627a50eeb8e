//! What goes into the database: refused where one of the two databases could not keep it, by both alike.

use serde_json::Value;

use crate::error::StoreError;

/// The longest key in bytes. PostgreSQL indexes no text of more than a third of a page of 8 KiB.
const LONGEST_KEY: usize = 2000;

/// A text that PostgreSQL can keep too.
pub(crate) fn text<'a>(what: &'static str, text: &'a str) -> Result<&'a str, StoreError> {
    if text.contains('\0') {
        return Err(StoreError::Invalid { what, reason: "has a NUL character, which cannot be stored".into() });
    }
    Ok(text)
}

/// A text that rows are found by.
pub(crate) fn key<'a>(what: &'static str, key: &'a str) -> Result<&'a str, StoreError> {
    if key.is_empty() {
        return Err(StoreError::Invalid { what, reason: "is empty".into() });
    }
    if key.len() > LONGEST_KEY {
        let reason = format!("has {} bytes; at most {LONGEST_KEY} can be stored", key.len());
        return Err(StoreError::Invalid { what, reason });
    }
    text(what, key)
}

/// A value as text from which it can be read again.
pub(crate) fn json(what: &'static str, value: &Value) -> Result<String, StoreError> {
    let text = value.to_string();
    match serde_json::from_str::<Value>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(StoreError::Invalid { what, reason: format!("cannot be stored: {error}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_too_deep_to_be_read_again_is_refused_before_it_is_written() {
        let nested = |depth| (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        assert!(json("the value", &nested(100)).is_ok());
        let error = json("the value", &nested(200)).unwrap_err().to_string();
        assert!(error.starts_with("the value cannot be stored: recursion limit"), "{error}");
    }

    #[test]
    fn a_key_is_a_text_of_reasonable_length() {
        assert!(key("the id", &"ü".repeat(1000)).is_ok());
        for (id, expected) in
            [("", "is empty"), (&*"x".repeat(2001), "has 2001 bytes"), ("a\0b", "has a NUL character")]
        {
            let error = key("the id", id).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
