//! What tokens are called.

use millm_engine::TokenLogprob;
use millm_text::Tokenizer;

use super::objects::{ById, ByText, ChatLogprob, ChatLogprobs, ChatToken, PromptLogprob, PromptLogprobs};
use crate::api::envelope::Nothing;

/// OpenAI's word for what is all but impossible. JSON has none for the logarithm of 0.
const LEAST: f32 = -9999.0;

/// A logprob as clients are told it.
pub(crate) fn told(logprob: f32) -> f32 {
    logprob.max(LEAST)
}

/// The `logprobs` of what an assistant says.
pub(crate) fn chat(tokenizer: &Tokenizer, logprobs: &[TokenLogprob]) -> ChatLogprobs {
    let token = |id: u32, logprob: f32| {
        let bytes = tokenizer.token_bytes(id);
        let token = str::from_utf8(&bytes).map_or_else(|_| escaped(&bytes), str::to_owned);
        ChatToken { token, logprob: told(logprob), bytes }
    };
    let one = |found: &TokenLogprob| ChatLogprob {
        token: token(found.token, found.logprob),
        top_logprobs: found.top.iter().map(|(id, logprob)| token(*id, *logprob)).collect(),
    };
    ChatLogprobs { content: logprobs.iter().map(one).collect(), refusal: Nothing }
}

/// The `prompt_logprobs` of a prompt, of all whose tokens but the first `logprobs` are. `top`: how many to show besides.
pub(crate) fn prompt(tokenizer: &Tokenizer, top: usize, logprobs: &[TokenLogprob]) -> PromptLogprobs {
    let named = |id: u32, logprob: f32, rank: u32| {
        let decoded_token = String::from_utf8_lossy(&tokenizer.token_bytes(id)).into_owned();
        (id, PromptLogprob { logprob: told(logprob), rank, decoded_token })
    };
    let one = |found: &TokenLogprob| {
        let own = named(found.token, found.logprob, found.rank);
        let best = (1..).zip(&found.top).take(top).filter(|(_, (id, _))| *id != found.token);
        let best = best.map(|(rank, (id, logprob))| named(*id, *logprob, rank));
        Some(ById([own].into_iter().chain(best).collect()))
    };
    [None].into_iter().chain(logprobs.iter().map(one)).collect()
}

/// What a token is called in the arrays of completions.
pub(super) fn of_completion(tokenizer: &Tokenizer, id: u32) -> String {
    let bytes = tokenizer.token_bytes(id);
    str::from_utf8(&bytes).map_or_else(|_| format!("bytes:{}", escaped(&bytes)), str::to_owned)
}

/// The `top` most probable tokens at the place of one, and that one, by what they are called in completions.
pub(super) fn by_text(tokenizer: &Tokenizer, top: usize, found: &TokenLogprob) -> ByText {
    let mut named: Vec<(String, f32)> = Vec::with_capacity(top + 1);
    // The token itself is last, as it is the least probable if it is not among the best.
    for (id, logprob) in found.top.iter().copied().take(top).chain([(found.token, found.logprob)]) {
        let name = of_completion(tokenizer, id);
        if named.iter().all(|(other, _)| *other != name) {
            named.push((name, told(logprob)));
        }
    }
    ByText(named)
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    /// The demo model's: its tokens are bytes or more.
    pub(crate) fn tokenizer() -> Tokenizer {
        Tokenizer::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/demo/model")).unwrap()
    }

    /// Of `token`, and of what is more probable.
    pub(crate) fn found(token: u32, logprob: f32, top: &[(u32, f32)]) -> TokenLogprob {
        let rank = top.iter().position(|(id, _)| *id == token).unwrap_or(top.len()) as u32 + 1;
        TokenLogprob { token, logprob, rank, top: top.to_vec() }
    }

    #[test]
    fn a_part_of_a_character_is_named_by_its_bytes() {
        let tokenizer = tokenizer();
        let ids = tokenizer.encode("é!", false).unwrap();
        assert_eq!(ids.len(), 3, "the tokenizer has a token for é");
        let chat = serde_json::to_value(chat(&tokenizer, &[found(ids[0], -0.5, &[(ids[2], -0.25)])])).unwrap();
        let expected = json!({
            "content": [{
                "token": "\\xc3", "logprob": -0.5, "bytes": [0xc3],
                "top_logprobs": [{"token": "!", "logprob": -0.25, "bytes": [33]}],
            }],
            "refusal": null,
        });
        assert_eq!(chat, expected);
        assert_eq!(of_completion(&tokenizer, ids[0]), "bytes:\\xc3");
        assert_eq!(of_completion(&tokenizer, 4), "<|end|>");
    }

    #[test]
    fn what_cannot_be_is_told_by_a_number() {
        let tokenizer = tokenizer();
        let never = [found(7, f32::NEG_INFINITY, &[(9, -0.5), (7, f32::NEG_INFINITY)])];
        let (shown, of_prompt) = (json!(chat(&tokenizer, &never).content[0]), json!(prompt(&tokenizer, 2, &never)[1]));
        assert_eq!([&shown["logprob"], &shown["top_logprobs"][1]["logprob"]], [-9999.0, -9999.0]);
        assert_eq!([&of_prompt["7"]["logprob"], &of_prompt["9"]["logprob"]], [-9999.0, -0.5]);
    }

    #[test]
    fn the_real_token_of_a_prompt_comes_first_and_once() {
        let tokenizer = tokenizer();
        let best = [(7, -0.5), (9, -1.0), (8, -1.5)];
        let json =
            serde_json::to_string(&prompt(&tokenizer, 2, &[found(9, -1.0, &best), found(5, -9.0, &best)])).unwrap();
        let ids: Vec<&str> = json.split('"').filter(|part| part.parse::<u32>().is_ok()).collect();
        assert_eq!(ids, ["9", "7", "5", "7", "9"], "{json}");
        assert!(json.starts_with(r#"[null,{"9":{"logprob":-1.0,"rank":2,"decoded_token":"#), "{json}");
    }

    #[test]
    fn the_token_itself_is_always_told_and_of_one_name_the_more_probable() {
        let tokenizer = tokenizer();
        let name = |id| of_completion(&tokenizer, id);
        let told = |token, top| by_text(&tokenizer, top, &found(token, -3.0, &[(7, -0.5), (9, -1.0)])).0;
        assert_eq!(told(8, 0), [(name(8), -3.0)]);
        assert_eq!(told(8, 2), [(name(7), -0.5), (name(9), -1.0), (name(8), -3.0)]);
        // Beyond the vocabulary tokens have no text, and so one name.
        let nameless = found(70_000, -3.0, &[(70_001, -0.5)]);
        assert_eq!(by_text(&tokenizer, 1, &nameless).0, [(String::new(), -0.5)]);
        assert_eq!(told(7, 2).len(), 2);
    }
}
