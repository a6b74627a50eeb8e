use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use super::part::Part;

/// A call as models write it. Other keys mean nothing.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, alias = "parameters")]
    arguments: Option<&'a RawValue>,
}

/// Reads the call of a function among `names`. Some models write the arguments as a text with JSON in it, or leave out those
/// of a function that has none.
pub(super) fn read(object: &str, names: &[String]) -> Option<Part> {
    let Written { name, arguments } = serde_json::from_str(object).ok()?;
    let arguments = match arguments.map(RawValue::get) {
        None => "{}".to_owned(),
        Some(text) if text.starts_with('"') => {
            serde_json::from_str::<String>(text).ok().filter(|text| is_object(text))?
        }
        Some(text) => Some(text.to_owned()).filter(|text| is_object(text))?,
    };
    names.iter().any(|known| *known == name).then(|| Part::Call { name: name.into_owned(), arguments })
}

fn is_object(text: &str) -> bool {
    serde_json::from_str::<Map<String, Value>>(text).is_ok()
}
