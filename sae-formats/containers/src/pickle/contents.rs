use std::{collections::BTreeMap, sync::Arc};

use super::value::{Object, Tensor, Value};
use crate::error::Reason;

/// What a file has, by name. In a dict within another, names are behind that of the dict and a dot.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Contents {
    pub(crate) tensors: BTreeMap<String, Arc<Tensor>>,
    /// Texts, unless they are long, numbers and truth values.
    pub(crate) texts: BTreeMap<String, String>,
}

/// The name of a tensor that is a file's only content.
const ONLY: &str = "tensor";
/// The deepest dict that is looked into.
const MAX_DEPTH: usize = 8;
/// The most that is looked at: a dict may be in itself, many times.
const MAX_VALUES: usize = 1 << 20;
/// The longest name, and the longest text that is kept.
const MAX_NAME_BYTES: usize = 256;
const MAX_TEXT_BYTES: usize = 4096;

impl Contents {
    pub(super) fn of(top: &Value, objects: &[Object]) -> Reason<Self> {
        let mut contents = Self::default();
        let dict = match top {
            Value::Tensor(tensor) => {
                contents.tensors.insert(ONLY.to_owned(), Arc::clone(tensor));
                return Ok(contents);
            }
            Value::Object(index) => objects.get(*index),
            _ => None,
        };
        let Some(Object::Dict(_)) = dict else {
            return Err("it has neither tensors by name nor a single tensor".to_owned());
        };
        let mut open = vec![(String::new(), top, 0_usize)];
        let mut looked_at = 0;
        while let Some((name, value, depth)) = open.pop() {
            looked_at += 1;
            if looked_at > MAX_VALUES || depth > MAX_DEPTH {
                return Err("its dicts are nested too deep, or in themselves".to_owned());
            }
            let text = match value {
                Value::Object(index) => {
                    let Some(Object::Dict(pairs)) = objects.get(*index) else { continue };
                    for (key, value) in pairs {
                        let key = match key {
                            Value::Text(key) if key.len() > MAX_NAME_BYTES => {
                                return Err(format!(
                                    "a name has {} bytes, and at most {MAX_NAME_BYTES} are read",
                                    key.len()
                                ));
                            }
                            Value::Text(key) => key.to_string(),
                            Value::Int(key) => key.to_string(),
                            _ => continue,
                        };
                        open.push((if name.is_empty() { key } else { format!("{name}.{key}") }, value, depth + 1));
                    }
                    continue;
                }
                Value::Tensor(tensor) => {
                    if contents.tensors.insert(name.clone(), Arc::clone(tensor)).is_some() {
                        return Err(format!("there are two tensors '{name}'"));
                    }
                    continue;
                }
                Value::Text(text) if text.len() > MAX_TEXT_BYTES => continue,
                Value::Text(text) => text.to_string(),
                Value::Int(number) => number.to_string(),
                Value::Float(number) => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
                Value::None | Value::Global(_) | Value::Storage(..) => continue,
            };
            contents.texts.insert(name, text);
        }
        Ok(contents)
    }
}
