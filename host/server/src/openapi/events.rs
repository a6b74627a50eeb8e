//! Server-sent events, which OpenAPI 3.1 has no words for: each is an object whose `data` is a text, and that text is JSON.

use serde_json::{Map, Value, json};

/// Replaces what is said of the data of events by what is said of the events.
pub(super) fn describe(document: &mut Value) {
    let items = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    let operations = items.filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    let responses = operations.filter_map(|operation| operation.get_mut("responses")?.as_object_mut());
    for response in responses.flat_map(Map::values_mut) {
        let Some(content) = response.get_mut("content").and_then(|content| content.get_mut("text/event-stream")) else {
            continue;
        };
        let schema = content["schema"].take();
        // Which of them end so is OpenAI's choice.
        let ends = ["ChatChunk", "CompletionAnswer"]
            .iter()
            .any(|name| schema["$ref"].as_str().is_some_and(|path| path.ends_with(&format!("/{name}"))));
        let data = json!({ "type": "string", "contentMediaType": "application/json", "contentSchema": schema });
        let data = if ends { json!({ "anyOf": [data, { "const": "[DONE]" }] }) } else { data };
        content["schema"] = json!({ "type": "object", "required": ["data"], "properties": { "data": data } });
    }
}
