use std::iter;

use serde_json::json;

use super::asked::Encoding;
use crate::api::{Piece, dtype::Dtype};

/// The answer, `{"object": "list", "data": [{"object": "embedding", "index", "embedding"}], "model", "usage"}`, a vector at
/// a time.
pub(super) fn pieces(
    model: String,
    vectors: Vec<Vec<f32>>,
    encoding: Encoding,
    prompt_tokens: usize,
) -> impl Iterator<Item = Piece> + Send {
    let items = vectors.into_iter().enumerate().flat_map(move |(index, vector)| {
        let comma = if index == 0 { "" } else { "," };
        let head = format!(r#"{comma}{{"object":"embedding","index":{index},"embedding":"#);
        let [head, vector, tail] = match encoding {
            // Not by way of `Value`, so that f32 keep their short spelling. All are finite.
            Encoding::Float => {
                let numbers = serde_json::to_string(&vector).unwrap_or_default();
                [Piece::text(head), Piece::text(numbers), Piece::text("}")]
            }
            Encoding::Base64 => [Piece::text(head + "\""), Piece::Base64(vector, Dtype::Float32), Piece::text("\"}")],
        };
        [head, vector, tail]
    });
    let usage = json!({ "prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens });
    let tail = format!(r#"],"model":{},"usage":{usage}}}"#, json!(model));
    iter::once(Piece::text(r#"{"object":"list","data":["#)).chain(items).chain([Piece::text(tail)])
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde_json::Value;

    use super::*;
    use crate::api::{Budget, body};

    async fn answer(encoding: Encoding) -> Value {
        let vectors = vec![vec![0.1, -2.5], vec![1.0, 0.0]];
        let pieces = pieces("org/\"name\"".into(), vectors, encoding, 7);
        let body = body(pieces, Budget::new(1).reserve(1).unwrap());
        serde_json::from_slice(&axum::body::to_bytes(body, usize::MAX).await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn numbers_are_a_list_or_their_bytes_in_base64() {
        let expected = json!({
            "object": "list",
            "data": [
                { "object": "embedding", "index": 0, "embedding": [0.1, -2.5] },
                { "object": "embedding", "index": 1, "embedding": [1.0, 0.0] },
            ],
            "model": "org/\"name\"",
            "usage": { "prompt_tokens": 7, "total_tokens": 7 },
        });
        assert_eq!(answer(Encoding::Float).await, expected);
        let encoded = answer(Encoding::Base64).await;
        let bytes = STANDARD.decode(encoded["data"][0]["embedding"].as_str().unwrap()).unwrap();
        assert_eq!(bytes, [0.1_f32.to_le_bytes(), (-2.5_f32).to_le_bytes()].concat());
        assert_eq!(encoded["data"][1]["index"], 1);
    }
}
