//! Parameters in the URL.

use crate::{
    error::{ApiError, Kind},
    fields::clip,
};

/// The parameters of a URL, each of which must be `known`. Nothing is decoded: no name or value of ours needs that.
///
/// # Errors
///
/// Another parameter.
pub(crate) fn parameters<'a>(query: Option<&'a str>, known: &[&str]) -> Result<Vec<(&'a str, &'a str)>, ApiError> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let parameter = |pair: &'a str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if known.contains(&key) {
            return Ok((key, value));
        }
        let key = clip(key);
        let there = if known.is_empty() { "none".into() } else { known.join(", ") };
        let message = format!("Unknown parameter: '{key}' in the URL. There are: {there}.");
        Err(ApiError::at(Kind::UnknownParameter, key, message))
    };
    pairs.map(parameter).collect()
}

/// The parameter `name` has another value than `expected` says.
pub(crate) fn invalid(name: &str, expected: &str) -> ApiError {
    ApiError::at(Kind::InvalidValue, name, format!("Invalid '{name}' in the URL: {expected}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_that_nobody_knows_are_refused() {
        assert_eq!(parameters(None, &[]), Ok(vec![]));
        assert_eq!(parameters(Some("a=1&&b"), &["a", "b"]), Ok(vec![("a", "1"), ("b", "")]));
        for (known, mention) in [(&[][..], "There are: none."), (&["a", "c"], "There are: a, c.")] {
            let error = parameters(Some("b=1"), known).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (Kind::UnknownParameter, Some("b")));
            assert!(error.message.contains(mention), "{}", error.message);
        }
    }
}
