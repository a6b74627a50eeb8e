use millm_engine::TokenLogprob;
use serde::Serialize;

use super::{
    super::{
        generation::{Choice, Outcome},
        logprobs::{self, CompletionLogprobs, PromptLogprobs},
        objects::{ChatAnswer, ChatChoice, CompletionAnswer, CompletionChoice, Usage},
        timings::Timings,
    },
    Answer, Endpoint,
};

/// The answer in one piece.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Whole {
    Chat(ChatAnswer),
    Completion(CompletionAnswer),
}

impl Answer {
    /// The answer in one piece.
    pub(crate) fn whole(mut self, outcome: Outcome, prompt_tokens: usize) -> Whole {
        let Outcome { choices, prompts, drawn } = outcome;
        let (usage, timings) = (Usage::new(prompt_tokens, drawn), Some(Timings::new(prompt_tokens, drawn)));
        let prompts: Vec<_> = prompts.iter().enumerate().map(|(prompt, found)| self.shown(prompt, found)).collect();
        let mut prompt_logprobs: Vec<_> = prompts.iter().map(|found| self.prompt_logprobs(found)).collect();
        let mut choices = choices;
        let millm = self.form.receipt.take().map(|draft| {
            let steered = (0..).zip(&mut choices).filter_map(|(index, choice)| Some((index, choice.steered.take()?)));
            draft.finish(steered.collect())
        });
        let choices = (0..).zip(choices);
        match self.form.endpoint {
            Endpoint::Chat => {
                let choices = choices.map(|(index, choice)| self.chat_choice(index, choice)).collect();
                let usage = self.complete(usage);
                // A chat is one prompt.
                let prompt_logprobs = prompt_logprobs.pop().flatten();
                Whole::Chat(ChatAnswer { head: self.head, choices, usage, timings, prompt_logprobs, millm })
            }
            Endpoint::Completions => {
                let choice = |(index, choice): (u32, Choice)| {
                    let prompt = (index / self.form.choices) as usize;
                    let begun = self.completion_choice(index, choice, prompts[prompt]);
                    CompletionChoice { prompt_logprobs: prompt_logprobs[prompt].clone(), ..begun }
                };
                let choices = choices.map(choice).collect();
                Whole::Completion(CompletionAnswer {
                    head: self.head,
                    choices,
                    usage: Some(Some(usage)),
                    timings,
                    event: None,
                    millm,
                })
            }
        }
    }

    fn prompt_logprobs(&self, found: &[TokenLogprob]) -> Option<PromptLogprobs> {
        self.form.logprobs.prompt.map(|top| logprobs::prompt(&self.tokenizer, top, found))
    }

    fn chat_choice(&mut self, index: u32, choice: Choice) -> ChatChoice {
        let message = &mut self.messages[index as usize];
        let mut parts: Vec<_> = choice.texts().flat_map(|(text, drawn)| message.push(text, drawn)).collect();
        parts.append(&mut message.finish());
        ChatChoice {
            index,
            message: message.whole(parts),
            logprobs: self.form.logprobs.answer.map(|_| logprobs::chat(&self.tokenizer, &choice.logprobs)),
            finish_reason: message.reason(choice.reason.into()),
        }
    }

    /// `prompt`: of the tokens of its prompt, if they were asked for.
    fn completion_choice(&mut self, index: u32, choice: Choice, prompt: &[TokenLogprob]) -> CompletionChoice {
        let beginning = self.beginning(index).clone();
        let echo = self.form.logprobs.echo;
        let logprobs = self.arrays.get_mut(index as usize).map(|arrays| {
            let mut of_prompt = || arrays.prompt(&beginning.text, &beginning.tokens, prompt);
            let mut logprobs = if echo { of_prompt() } else { CompletionLogprobs::default() };
            logprobs.append(arrays.drawn(&choice.logprobs));
            logprobs
        });
        let text = beginning.text + &choice.text;
        CompletionChoice { index, text, logprobs, finish_reason: Some(choice.reason.into()), prompt_logprobs: None }
    }
}

#[cfg(test)]
mod tests {
    use millm_engine::FinishReason;
    use serde_json::json;

    use super::{
        super::{
            super::{generation::Drawn, logprobs::Logprobs},
            tests::{answer, json},
        },
        *,
    };

    /// Two choices, of which the second has no token.
    fn outcome(answer: &Answer, text: &str) -> Outcome {
        let choice = |text: &str| Choice {
            steered: None,
            text: text.into(),
            pieces: vec![(text.len(), 1)],
            reason: FinishReason::Stop,
            logprobs: answer.found(text, -0.5),
        };
        let prompts = vec![answer.found("Hi!", -2.0)[1..].to_vec()];
        Outcome {
            choices: vec![choice(text), choice("")],
            prompts,
            drawn: Drawn { completion_tokens: 2, cached_tokens: 1, ..Drawn::default() },
        }
    }

    #[test]
    fn a_chat_completion_has_every_key_that_the_schema_requires() {
        let answer = answer(Endpoint::Chat, false, Logprobs::default());
        let outcome = outcome(&answer, "Hi");
        let choice = |index, content| {
            json!({
                "index": index,
                "message": { "role": "assistant", "content": content, "refusal": null },
                "logprobs": null,
                "finish_reason": "stop",
            })
        };
        let mut json = json(answer.whole(outcome, 3));
        assert_eq!(json["timings"].take()["prompt_n"], 2);
        let expected = json!({
            "timings": null,
            "id": "id-1", "object": "chat.completion", "created": 7, "model": "demo", "system_fingerprint": "fp_1",
            "choices": [choice(0, "Hi"), choice(1, "")],
            "usage": {
                "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
                "prompt_tokens_details": { "cached_tokens": 1 },
                "completion_tokens_details": { "reasoning_tokens": 0 },
            },
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_chat_tells_the_logprobs_of_its_prompt_beside_its_choices() {
        let answer = answer(Endpoint::Chat, false, Logprobs { answer: Some(1), prompt: Some(0), echo: false });
        let (outcome, tokens) = (outcome(&answer, "!"), answer.found("Hi!", 0.0).len());
        let json = json(answer.whole(outcome, 3));
        let told = json!({"token": "!", "logprob": -0.5, "bytes": [33]});
        let content = json!([{
            "token": "!", "logprob": -0.5, "bytes": [33], "top_logprobs": [told],
        }]);
        assert_eq!(json["choices"][0]["logprobs"], json!({"content": content, "refusal": null}));
        assert_eq!(json["choices"][1]["logprobs"]["content"], json!([]));
        assert_eq!(json["prompt_logprobs"].as_array().map(Vec::len), Some(tokens));
        assert_eq!(json["prompt_logprobs"][0], json!(null));
    }

    #[test]
    fn an_echo_puts_the_prompt_before_every_choice() {
        let answer = answer(Endpoint::Completions, false, Logprobs { answer: Some(0), prompt: None, echo: true });
        let (outcome, tokens) = (outcome(&answer, "!!"), answer.found("Hi!", 0.0).len());
        let json = json(answer.whole(outcome, 3));
        let (first, second) = (&json["choices"][0], &json["choices"][1]);
        assert_eq!((&first["text"], &second["text"]), (&json!("Hi!!!"), &json!("Hi!")));
        let length = |choice: &serde_json::Value, name: &str| choice["logprobs"][name].as_array().map(Vec::len);
        for name in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
            assert_eq!(length(second, name), Some(tokens), "{name}");
            assert!(length(first, name) > Some(tokens), "{name}");
        }
        assert_eq!(first["logprobs"]["token_logprobs"][0], json!(null));
        assert_eq!(first["logprobs"]["text_offset"][tokens], json!(3));
        assert_eq!(first.get("prompt_logprobs"), None);
    }
}
