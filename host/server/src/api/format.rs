//! The form of a capture.

use utoipa::ToSchema;

use super::query::parameters;
use crate::{
    error::{ApiError, Kind},
    fields::clip,
};

/// How a capture is sent: as JSON with numbers in base64, or as a safetensors file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(as = CaptureFormat)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Numbers in base64.
    Json,
    /// The file itself.
    Safetensors,
}

impl Format {
    /// Reads the URL's `format`.
    pub(crate) fn read(query: Option<&str>) -> Result<Self, ApiError> {
        let mut format = Self::Json;
        for (_, value) in parameters(query, &["format"])? {
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
        assert_eq!(Format::read(None), Ok(Format::Json));
        assert_eq!(Format::read(Some("format=json")), Ok(Format::Json));
        assert_eq!(Format::read(Some("format=safetensors")), Ok(Format::Safetensors));
        for (query, kind, param) in [
            ("format=npz", Kind::UnsupportedValue, "format"),
            ("format", Kind::UnsupportedValue, "format"),
            ("fmt=json", Kind::UnknownParameter, "fmt"),
        ] {
            let error = Format::read(Some(query)).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{query}");
        }
    }
}
