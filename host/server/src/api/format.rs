//! The form of a capture.

use crate::{
    error::{ApiError, Kind},
    openai::fields::clip,
};

/// How a capture is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Numbers in base64.
    Json,
    /// The file itself.
    Safetensors,
}

impl Format {
    /// Reads the URL's `format`. Whatever is no name of ours is refused, so nothing here needs to be decoded.
    pub(crate) fn read(query: &str) -> Result<Self, ApiError> {
        let mut format = Self::Json;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if key != "format" {
                let key = clip(key);
                let message = format!("Unknown parameter: '{key}' in the URL. There are: format.");
                return Err(ApiError::at(Kind::UnknownParameter, key, message));
            }
            format = match value {
                "json" => Self::Json,
                "safetensors" => Self::Safetensors,
                other => {
                    let message = format!(
                        "Unsupported value: 'format' does not support '{}'. Supported values are: 'json', 'safetensors'.",
                        clip(other)
                    );
                    let error = ApiError::at(Kind::UnsupportedValue, "format", message);
                    return Err(error.with("expected", vec!["json", "safetensors"]).with("found", clip(other)));
                }
            };
        }
        Ok(format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_stands_in_the_url() {
        assert_eq!(Format::read(""), Ok(Format::Json));
        assert_eq!(Format::read("format=json"), Ok(Format::Json));
        assert_eq!(Format::read("format=safetensors"), Ok(Format::Safetensors));
        for (query, kind, param) in [
            ("format=npz", Kind::UnsupportedValue, "format"),
            ("format", Kind::UnsupportedValue, "format"),
            ("fmt=json", Kind::UnknownParameter, "fmt"),
        ] {
            let error = Format::read(query).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{query}");
        }
    }
}
