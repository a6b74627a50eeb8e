//! The envelope around answers too large to be built in memory.

use std::iter;

use serde::Serialize;

use super::pieces::Piece;

/// `value` in JSON. Unlike by way of `Value`, f32 keep their short spelling.
pub(crate) fn json(value: &(impl Serialize + ?Sized)) -> String {
    // Fails for maps whose keys are no text, of which we have none.
    serde_json::to_string(value).unwrap_or_else(|_| "null".into())
}

/// The members of the object `value`, without the braces around it.
pub(crate) fn members(value: &impl Serialize) -> String {
    let json = json(value);
    json.strip_prefix('{').and_then(|json| json.strip_suffix('}')).unwrap_or_default().to_owned()
}

/// `{"success": true, "data": …, "error": null}`. Each of `items` yields the members of an object: with `many`, data is
/// `{"model": …, "items": [{…}, …]}`, else `{"model": …, …}` with the members of the one item.
pub(crate) fn pieces<I: Iterator<Item = Piece>>(
    model: String,
    many: bool,
    items: impl Iterator<Item = I>,
) -> impl Iterator<Item = Piece> {
    let (before, after) = if many { (r#","items":["#, "]") } else { (",", "") };
    let head = format!(r#"{{"success":true,"data":{{"model":{}{before}"#, json(&model));
    let tail = format!(r#"{after}}},"error":null}}"#);
    let items = items.enumerate().flat_map(move |(index, item)| {
        let (open, close) = match (many, index) {
            (false, _) => ("", ""),
            (true, 0) => ("{", "}"),
            (true, _) => (",{", "}"),
        };
        iter::once(Piece::text(open)).chain(item).chain([Piece::text(close)])
    });
    iter::once(Piece::text(head)).chain(items).chain([Piece::text(tail)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(many: bool, items: &[&str]) -> serde_json::Value {
        let items = items.iter().map(|item| iter::once(Piece::text(*item)));
        let text: Vec<u8> = pieces("a\"b".into(), many, items)
            .flat_map(|piece| match piece {
                Piece::Bytes(bytes) => bytes,
                other => panic!("{other:?}"),
            })
            .collect();
        serde_json::from_slice(&text).unwrap()
    }

    #[test]
    fn one_prompt_is_the_data_and_several_are_items() {
        let one = json!({ "success": true, "data": { "model": "a\"b", "x": 1 }, "error": null });
        assert_eq!(answer(false, &["\"x\":1"]), one);
        let data = json!({ "model": "a\"b", "items": [{ "x": 1 }, { "x": 2 }] });
        assert_eq!(answer(true, &["\"x\":1", "\"x\":2"])["data"], data);
        assert_eq!(answer(true, &["\"x\":1"])["data"]["items"], json!([{ "x": 1 }]));
    }

    #[test]
    fn members_are_an_object_without_braces() {
        assert_eq!(members(&json!({ "a": { "b": 1 } })), r#""a":{"b":1}"#);
        assert_eq!(json(&0.1_f32), "0.1");
    }
}
