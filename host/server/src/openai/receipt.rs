//! What was done to a steered answer: enough to publish, and to do it again.

use std::collections::BTreeMap;

use millm_engine::{Effects, Tally};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::steering::{Edit, Steering};
use crate::{fields::Fields, models::Model};

/// What a steered answer says of itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Told {
    pub(crate) receipt: Receipt,
}

/// What was done to a steered answer. `POST /api/replay` does it again and compares.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Receipt {
    /// Of this form: 1.
    pub(crate) version: u32,
    /// Where the request went.
    pub(crate) endpoint: &'static str,
    /// Of the request's body, but how it is delivered: as JSON with the keys in order.
    pub(crate) request_sha256: String,
    pub(crate) model: ReceiptModel,
    /// Of each prompt.
    pub(crate) seeds: Vec<u64>,
    /// The profile that steered it.
    #[schema(required)]
    pub(crate) profile: Option<String>,
    /// In the order in which they applied.
    pub(crate) interventions: Vec<ReceiptIntervention>,
    pub(crate) choices: Vec<ReceiptChoice>,
}

/// Which model it was.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ReceiptModel {
    pub(crate) id: String,
    /// Of the weights, the tokenizer, the plugin and the vectors.
    pub(crate) system_fingerprint: String,
    /// Of the library that computed it.
    pub(crate) plugin_sha256: String,
}

/// What an intervention was, and did.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ReceiptIntervention {
    /// As the request has it, with `hook_points`, the `direction_sha256` of the vector's numbers (f32, little-endian) and what
    /// the request left out.
    #[serde(flatten)]
    #[schema(value_type = BTreeMap<String, Value>)]
    pub(crate) said: Map<String, Value>,
    /// Rows that it was to touch, over all choices and hook points: chosen, and with their condition met. Those of a prompt
    /// count once.
    pub(crate) rows: u64,
    /// Rows of these that it changed.
    pub(crate) rows_changed: u64,
    /// The mean of `‖Δ‖ / ‖x‖` over these; null if there are none.
    #[schema(required)]
    pub(crate) mean_relative_norm: Option<f64>,
}

/// A choice.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ReceiptChoice {
    pub(crate) index: u32,
    /// Drawn, that which ended it included.
    pub(crate) token_ids: Vec<u32>,
}

/// A receipt of which the end is not known yet.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    receipt: Receipt,
    edits: Vec<Edit>,
    choices_per_prompt: u32,
}

/// What became of a steered choice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Steered {
    pub(crate) effects: Effects,
    /// Drawn.
    pub(crate) token_ids: Vec<u32>,
}

/// What of a body says how an answer is delivered, and not what it is.
pub(crate) const DELIVERY: [&str; 3] = ["stream", "stream_options", "cache_prompt"];

/// The hash of a request that has not been taken apart yet.
pub(crate) fn request_sha256(fields: &Fields) -> String {
    let mut hasher = Sha256::new();
    members(fields.without(&DELIVERY), &mut hasher);
    hex(hasher)
}

fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As JSON without spaces, with the keys of objects in the order of the alphabet.
fn hash(value: &Value, hasher: &mut Sha256) {
    match value {
        Value::Array(list) => {
            hasher.update("[");
            for (index, value) in list.iter().enumerate() {
                hasher.update(if index == 0 { "" } else { "," });
                hash(value, hasher);
            }
            hasher.update("]");
        }
        Value::Object(map) => members(map.iter(), hasher),
        other => hasher.update(other.to_string()),
    }
}

fn members<'a>(members: impl Iterator<Item = (&'a String, &'a Value)>, hasher: &mut Sha256) {
    let sorted: BTreeMap<_, _> = members.collect();
    hasher.update("{");
    for (index, (key, value)) in sorted.into_iter().enumerate() {
        hasher.update(if index == 0 { "" } else { "," });
        hasher.update(Value::from(key.as_str()).to_string());
        hasher.update(":");
        hash(value, hasher);
    }
    hasher.update("}");
}

impl Draft {
    /// Of a request that `steering` does something to; `None` of any other.
    pub(crate) fn new(
        endpoint: &'static str,
        request_sha256: String,
        model: &Model,
        system_fingerprint: &str,
        steering: Steering,
        choices_per_prompt: u32,
    ) -> Option<Self> {
        let Steering { interventions, edits, profile, .. } = steering;
        (!interventions.is_empty()).then(|| {
            let model = ReceiptModel {
                id: model.id.clone(),
                system_fingerprint: system_fingerprint.to_owned(),
                plugin_sha256: model.plugin.sha256.clone(),
            };
            let (seeds, interventions, choices) = (Vec::new(), Vec::new(), Vec::new());
            let receipt =
                Receipt { version: 1, endpoint, request_sha256, model, seeds, profile, interventions, choices };
            Self { receipt, edits, choices_per_prompt }
        })
    }

    /// The hash of the request.
    pub(crate) fn request_sha256(&self) -> &str {
        &self.receipt.request_sha256
    }

    /// With the seeds of its prompts.
    pub(crate) fn seeded(mut self, seeds: Vec<u64>) -> Self {
        self.receipt.seeds = seeds;
        self
    }

    /// Sent elsewhere first.
    pub(crate) fn sent_to(mut self, endpoint: &'static str) -> Self {
        self.receipt.endpoint = endpoint;
        self
    }

    /// The receipt, now that it is known what became of the choices, by their index.
    pub(crate) fn finish(self, choices: BTreeMap<u32, Steered>) -> Told {
        let Self { mut receipt, edits, choices_per_prompt } = self;
        let mut tallies: Vec<Tally> = Vec::new();
        let mut count = |found: &[Tally]| {
            tallies.resize(found.len().max(tallies.len()), Tally::default());
            tallies.iter_mut().zip(found).for_each(|(sum, tally)| sum.add(tally));
        };
        for (index, Steered { effects, .. }) in &choices {
            // The choices of a prompt have it in common.
            if index % choices_per_prompt == 0 {
                count(&effects.prompt);
            }
            count(&effects.generation);
        }
        let mut tallies = tallies.into_iter();
        let of_edit = |Edit { said, points }: Edit| {
            let mut sum = Tally::default();
            tallies.by_ref().take(points).for_each(|tally| sum.add(&tally));
            let mean = (sum.changed > 0).then(|| sum.relative / sum.changed as f64);
            ReceiptIntervention { said, rows: sum.rows, rows_changed: sum.changed, mean_relative_norm: mean }
        };
        receipt.interventions = edits.into_iter().map(of_edit).collect();
        let choice = |(index, Steered { token_ids, .. })| ReceiptChoice { index, token_ids };
        receipt.choices = choices.into_iter().map(choice).collect();
        Told { receipt }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_has_one_hash_however_it_is_written_and_delivered() {
        let sha256 = |body: Value| request_sha256(&Fields::of(body, String::new()).unwrap());
        let one = sha256(json!({ "a": [1, { "c": 2, "b": [] }], "b": "x", "stream": true }));
        assert_eq!(one, sha256(json!({ "b": "x", "stream_options": {}, "a": [1, { "b": [], "c": 2 }] })));
        assert_ne!(one, sha256(json!({ "b": "x", "a": [{ "b": [], "c": 2 }, 1] })));
        assert_ne!(one, sha256(json!({ "b": "x", "a": [1, { "b": {}, "c": 2 }] })));
        let mut hasher = Sha256::new();
        hasher.update("{\"a\":[1,{\"b\":[],\"c\":2}],\"b\":\"x\"}");
        assert_eq!(one, hex(hasher));
    }

    #[test]
    fn what_was_done_to_a_prompt_counts_once_for_all_its_choices() {
        let tally = |rows| Tally { rows, changed: rows, relative: rows as f64 / 2.0 };
        let steered = |prompt, generation| Steered {
            effects: Effects { prompt: vec![tally(prompt); 3], generation: vec![tally(generation); 3] },
            token_ids: vec![7],
        };
        let model = ReceiptModel { id: "m".into(), system_fingerprint: "f".into(), plugin_sha256: "p".into() };
        let receipt = Receipt {
            version: 1,
            endpoint: "e",
            request_sha256: "r".into(),
            model,
            seeds: vec![3],
            profile: None,
            interventions: Vec::new(),
            choices: Vec::new(),
        };
        let edit = |points| Edit { said: Map::new(), points };
        let draft = Draft { receipt, edits: vec![edit(2), edit(0), edit(1)], choices_per_prompt: 2 };
        let choices = BTreeMap::from([(0, steered(5, 1)), (1, steered(5, 2)), (2, steered(4, 3)), (3, steered(4, 4))]);
        let receipt = draft.finish(choices).receipt;
        let rows: Vec<_> = receipt.interventions.iter().map(|found| (found.rows, found.mean_relative_norm)).collect();
        assert_eq!(rows, [(2 * 19, Some(0.5)), (0, None), (19, Some(0.5))]);
        assert_eq!(receipt.choices[3], ReceiptChoice { index: 3, token_ids: vec![7] });
    }
}
