//! How numbers are written.

use half::{bf16, f16};
use utoipa::ToSchema;

use crate::{
    error::{ApiError, Kind},
    fields::{Fields, clip},
};

/// How captured numbers are written, little-endian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ToSchema)]
#[schema(as = CaptureDtype)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dtype {
    /// As the model computed them.
    #[default]
    Float32,
    /// Rounded to the nearest, ties to even; what is too large becomes infinite.
    Float16,
    /// Rounded to the nearest, ties to even.
    Bfloat16,
}

const ALL: [Dtype; 3] = [Dtype::Float32, Dtype::Float16, Dtype::Bfloat16];

impl Dtype {
    /// Reads `dtype`.
    pub(crate) fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let Some(name) = fields.string("dtype")? else { return Ok(Self::default()) };
        ALL.into_iter().find(|dtype| dtype.as_str() == name).ok_or_else(|| {
            let known = ALL.map(Self::as_str);
            let message = format!(
                "Unsupported value: 'dtype' does not support '{}'. Supported values are: '{}'.",
                clip(&name),
                known.join("', '")
            );
            let error = ApiError::at(Kind::UnsupportedValue, "dtype", message);
            error.with("expected", known.to_vec()).with("found", clip(&name))
        })
    }

    /// The name in requests and answers.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Bfloat16 => "bfloat16",
        }
    }

    /// Bytes of a number.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::Float16 | Self::Bfloat16 => 2,
        }
    }

    /// The name in files.
    pub(crate) fn in_safetensors(self) -> safetensors::Dtype {
        match self {
            Self::Float32 => safetensors::Dtype::F32,
            Self::Float16 => safetensors::Dtype::F16,
            Self::Bfloat16 => safetensors::Dtype::BF16,
        }
    }

    /// Appends `values` to `out`.
    pub(crate) fn write(self, values: &[f32], out: &mut Vec<u8>) {
        match self {
            Self::Float32 => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::Float16 => out.extend(values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes())),
            Self::Bfloat16 => out.extend(values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<Dtype, ApiError> {
        Dtype::read(&mut Fields::of(json!({ "dtype": value }), String::new())?)
    }

    #[test]
    fn three_dtypes_have_names() {
        assert_eq!(read(json!(null)), Ok(Dtype::Float32));
        for dtype in ALL {
            assert_eq!(read(json!(dtype.as_str())), Ok(dtype));
        }
        assert_eq!(read(json!("float64")).unwrap_err().kind, Kind::UnsupportedValue);
        assert_eq!(read(json!(32)).unwrap_err().kind, Kind::InvalidType);
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest_even() {
        let bytes = |dtype: Dtype, values: &[f32]| {
            let mut out = Vec::new();
            dtype.write(values, &mut out);
            assert_eq!(out.len(), values.len() * dtype.size());
            out
        };
        assert_eq!(bytes(Dtype::Float32, &[1.0, f32::NEG_INFINITY]), [0, 0, 0x80, 0x3f, 0, 0, 0x80, 0xff]);
        // Half way between two neighbours: 1 + 2⁻⁸ for bf16, 1 + 2⁻¹¹ for f16; and three halves of a step.
        let (half, three) = (f32::from_bits(0x3f80_8000), f32::from_bits(0x3f81_8000));
        assert_eq!(bytes(Dtype::Bfloat16, &[half, three]), [0x80, 0x3f, 0x82, 0x3f]);
        let (half, three) = (f32::from_bits(0x3f80_1000), f32::from_bits(0x3f80_3000));
        assert_eq!(bytes(Dtype::Float16, &[half, three, 1e6]), [0x00, 0x3c, 0x02, 0x3c, 0x00, 0x7c]);
    }
}
