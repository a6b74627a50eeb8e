//! Activations that a request brings.

use base64::{Engine, prelude::BASE64_STANDARD};
use half::{bf16, f16};
use serde_json::Value;

use super::super::dtype::Dtype;
use crate::{
    error::{ApiError, Kind},
    fields::{Fields, integer, wrong_type},
};

/// Rows, one after another.
#[derive(Debug, PartialEq)]
pub(super) struct Rows {
    pub(super) data: Vec<f32>,
    width: usize,
}

const KEY: &str = "activations";

impl Rows {
    /// Reads `activations`: a list of rows of `width` numbers, or a tensor as `/api/capture` yields it. Every number is finite.
    pub(super) fn read(fields: &mut Fields, width: usize) -> Result<Option<Self>, ApiError> {
        let data = match fields.take(KEY) {
            None => return Ok(None),
            Some(Value::Array(list)) => of_lists(&list, width)?,
            Some(value @ Value::Object(_)) => of_tensor(Fields::of(value, KEY.to_owned())?, width)?,
            Some(other) => return Err(wrong_type(KEY, "an array of rows or a tensor", &other)),
        };
        if let Some(index) = data.iter().position(|number| !number.is_finite()) {
            return Err(wrong(&format!("row {} has a number that is not finite", index / width)));
        }
        match data.is_empty() {
            true => Err(ApiError::at(Kind::EmptyArray, KEY, format!("Invalid '{KEY}': there are no rows."))),
            false => Ok(Some(Self { data, width })),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.data.len() / self.width
    }
}

fn of_lists(list: &[Value], width: usize) -> Result<Vec<f32>, ApiError> {
    let mut data = Vec::new();
    for (index, row) in list.iter().enumerate() {
        let path = format!("{KEY}[{index}]");
        let Value::Array(row) = row else { return Err(wrong_type(&path, "an array of numbers", row)) };
        if row.len() != width {
            return Err(wrong(&format!("row {index} has {} numbers, and d_in is {width}", row.len())));
        }
        for (element, number) in row.iter().enumerate() {
            let number =
                number.as_f64().ok_or_else(|| wrong_type(&format!("{path}[{element}]"), "a decimal", number))?;
            data.push(number as f32);
        }
    }
    Ok(data)
}

fn of_tensor(mut fields: Fields, width: usize) -> Result<Vec<f32>, ApiError> {
    let shape = fields.list("shape")?;
    let shape = fields.require("shape", shape)?;
    let dtype = Dtype::read(&mut fields)?;
    let data = fields.string("data")?;
    let data = fields.require("data", data)?;
    fields.deny_rest()?;
    let axes: Option<Vec<usize>> = shape.iter().map(|axis| integer(axis)?.try_into().ok()).collect();
    let rows = match axes.as_deref() {
        Some([rows, rest @ ..]) if rest.iter().try_fold(1_usize, |a, b| a.checked_mul(*b)) == Some(width) => *rows,
        _ => return Err(wrong(&format!("its shape is not [rows, {width}]"))),
    };
    let bytes = BASE64_STANDARD.decode(data).map_err(|error| wrong(&format!("its data are not base64: {error}")))?;
    if rows.checked_mul(width).and_then(|count| count.checked_mul(dtype.size())) != Some(bytes.len()) {
        return Err(wrong(&format!("its data are {} bytes, which is not what its shape says", bytes.len())));
    }
    Ok(match dtype {
        Dtype::Float32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::Float16 => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        Dtype::Bfloat16 => bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
    })
}

fn wrong(why: &str) -> ApiError {
    ApiError::at(Kind::InvalidValue, KEY, format!("Invalid '{KEY}': {why}."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Option<Rows>, ApiError> {
        Rows::read(&mut Fields::of(json!({ "activations": value }), String::new())?, 2)
    }

    #[test]
    fn rows_are_lists_or_a_tensor() {
        let expected = Rows { data: vec![1.0, 2.0, -3.0, 0.5], width: 2 };
        assert_eq!(read(json!([[1, 2], [-3, 0.5]])).unwrap().unwrap(), expected);
        for dtype in ["float32", "float16", "bfloat16"] {
            let mut bytes = Vec::new();
            let mut fields = Fields::of(json!({ "dtype": dtype }), String::new()).unwrap();
            Dtype::read(&mut fields).unwrap().write(&expected.data, &mut bytes);
            let tensor = json!({ "shape": [2, 2], "dtype": dtype, "data": BASE64_STANDARD.encode(bytes) });
            assert_eq!(read(tensor).unwrap().unwrap(), expected, "{dtype}");
        }
        assert_eq!(read(json!(null)).unwrap(), None);
    }

    #[test]
    fn what_is_no_rows_is_refused() {
        let data = BASE64_STANDARD.encode([0; 8]);
        for (value, mention) in [
            (json!([]), "no rows"),
            (json!("x"), "an array of rows"),
            (json!([1, 2]), "an array of numbers"),
            (json!([[1, 2], [3]]), "row 1 has 1 numbers, and d_in is 2"),
            (json!([[1, "2"]]), "a decimal"),
            (json!([[1, 1e39]]), "not finite"),
            (json!({ "data": data }), "shape"),
            (json!({ "shape": [1, 3], "data": data }), "[rows, 2]"),
            (json!({ "shape": [2, 2], "data": data }), "8 bytes"),
            (json!({ "shape": [u64::MAX, 2], "data": data }), "8 bytes"),
            (json!({ "shape": [1, 2], "data": "?" }), "base64"),
            (json!({ "shape": [1, 2], "data": data, "dtype": "int8" }), "int8"),
        ] {
            let error = read(value.clone()).unwrap_err();
            assert!(error.message.contains(mention), "{value}: {}", error.message);
        }
    }
}
