use std::{sync::Arc, time::Duration};

use millm_engine::{
    Action, Bound, Captures, Chosen, Condition, Interventions, LogitLens, Request, Rules, Sampling, Scope, Selection,
    Target, hook_points::resolve, sae::Attached,
};
use millm_plugin_api::ModelSpec;
use millm_text::{Grammar, GrammarCompiler, GrammarSource};
use proptest::prelude::*;
use serde_json::json;

/// What a request of a mix asks for. The same always gets the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wish {
    /// Which text it begins with, how much of it, and a token after it.
    begins: usize,
    length: usize,
    ends: u32,
    max_tokens: usize,
    choices: u32,
    sampling: usize,
    /// Point, strength, and the position from which on.
    steering: Option<(usize, i8, usize)>,
    /// Feature, target, which rows, and whether under a condition.
    edit: Option<(u32, usize, usize, bool)>,
    logprobs: bool,
    prompt_logprobs: bool,
    captures: Option<usize>,
    stops: bool,
    grammar: Option<usize>,
}

/// What the text of some requests has to be: in tokens that every model of the stage has.
pub(crate) fn grammars(compiler: &GrammarCompiler) -> Vec<Grammar> {
    let list = json!({"type": "array", "items": {"type": "integer"}, "maxItems": 4});
    let sources = [GrammarSource::JsonSchema(list), GrammarSource::Regex("([a-z]{1,3}[A-Z0-9]+){2,3}".into())];
    sources.iter().map(|source| compiler.compile(source).unwrap()).collect()
}

/// A request of a mix.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) wish: Wish,
    /// Whether it may use and leave cached prefixes.
    pub(crate) cache_prompt: bool,
    pub(crate) client: usize,
    /// How long after the one before.
    pub(crate) delay: Duration,
    /// After how many events its reader leaves.
    pub(crate) leaves: Option<usize>,
}

const POINTS: [&str; 4] = ["hook_embed", "blocks.0.hook_resid_post", "blocks.*.hook_resid_mid", "logits"];

const TARGETS: [Target; 3] = [Target::Set(1.5), Target::Clamp { min: Some(0.2), max: Some(0.6) }, Target::Scale(-1.0)];

fn selection(index: usize) -> Selection {
    let chosen = |chosen| Selection::Chosen(Arc::new(chosen));
    let none = Chosen::default;
    match index {
        0 => Selection::Everything,
        1 => chosen(Chosen { generation: Rules::all(), ..none() }),
        2 => chosen(Chosen { prompt: Rules { positions: [-1].into(), ..Rules::default() }, ..none() }),
        _ => {
            let tokens = Rules { tokens: (3..40).collect(), ..Rules::default() };
            chosen(Chosen { prompt: tokens.clone(), generation: tokens, ..none() })
        }
    }
}

pub(crate) fn any() -> impl Strategy<Value = Asked> {
    let prompt = (0_usize..3, 1_usize..44, 3_u32..90);
    let steering = prop::option::of((
        0..POINTS.len(),
        prop::sample::select(vec![-3_i8, 0, 2]),
        prop::sample::select(vec![0, 16, 20]),
    ));
    let edit = prop::option::of((0_u32..3, 0..TARGETS.len(), 0_usize..4, any_bool(0.3)));
    let what = (0_usize..12, 1_u32..4, 0_usize..4, steering, edit);
    let reads = (
        any_bool(0.3),
        any_bool(0.2),
        prop::option::weighted(0.2, 0_usize..44),
        any_bool(0.2),
        prop::option::weighted(0.25, 0_usize..2),
    );
    let wish = (prompt, what, reads).prop_map(|((begins, length, ends), what, reads)| {
        let (max_tokens, choices, sampling, steering, edit) = what;
        let (logprobs, prompt_logprobs, captures, stops, grammar) = reads;
        Wish {
            begins,
            length,
            ends,
            max_tokens,
            choices,
            sampling,
            steering,
            edit,
            logprobs,
            prompt_logprobs,
            captures,
            stops,
            grammar,
        }
    });
    let how = (any_bool(0.9), 0_usize..3, 0_u64..1500, prop::option::weighted(0.15, 0_usize..6));
    (wish, how).prop_map(|(wish, (cache_prompt, client, delay, leaves))| Asked {
        wish,
        cache_prompt,
        client,
        delay: Duration::from_micros(delay),
        leaves,
    })
}

fn any_bool(probability: f64) -> impl Strategy<Value = bool> {
    prop::bool::weighted(probability)
}

impl Wish {
    /// As the engine takes it.
    pub(crate) fn request(&self, spec: &ModelSpec, grammars: &[Grammar], sae: &Attached) -> Request {
        let begins = self.begins as u32;
        let mut prompt: Vec<u32> =
            (0..self.length as u32).map(|i| (i * (7 + begins) + i / 5 + begins) % 90 + 3).collect();
        prompt.push(self.ends);
        let mut interventions = Interventions::default();
        if let Some((point, strength, from)) = self.steering {
            let width = if POINTS[point] == "logits" { spec.d_vocab } else { spec.d_model };
            let vector: Vec<f32> = (0..width).map(|i| (i as f32 * 1.7 + point as f32).sin()).collect();
            let strength = f32::from(strength) / 4.0;
            let scope = Scope { apply: Selection::Positions(from..usize::MAX), when: None };
            interventions.insert(spec, POINTS[point], Action::add(vector.into(), strength).unwrap(), scope).unwrap();
        }
        if let Some((feature, target, rows, when)) = self.edit {
            let action = Action::move_feature(sae, feature, TARGETS[target], 1.0).unwrap();
            let bound = Bound::Above(0.1);
            let when = when.then(|| Condition::new(spec, "hook_embed", sae, feature + 3, bound).unwrap());
            let scope = Scope { apply: selection(rows), when };
            interventions.insert(spec, "blocks.0.hook_resid_post", action, scope).unwrap();
        }
        let points = ["blocks.1.hook_resid_post", "logits"].map(|name| resolve(spec, name).unwrap()).concat();
        let captures = self.captures.map_or_else(Captures::default, |position| {
            Captures::new(points, vec![position.min(prompt.len() - 1), prompt.len() - 1])
        });
        Request {
            max_tokens: self.max_tokens,
            choices: self.choices,
            sampling: self.sampling(),
            grammar: self.grammar.map(|index| grammars[index].clone()),
            stop_token_ids: if self.stops { (3..30).collect() } else { Vec::new() },
            interventions,
            captures,
            lens: LogitLens::default(),
            logprobs: self.logprobs.then_some(3),
            prompt_logprobs: self.prompt_logprobs.then_some(2),
            prompt,
            ..Request::default()
        }
    }

    fn sampling(&self) -> Sampling {
        let default = Sampling { seed: self.ends.into(), ..Sampling::default() };
        match self.sampling {
            0 => Sampling { temperature: 0.0, ..default },
            1 => default,
            2 => Sampling { top_k: 20, top_p: 0.9, min_p: 0.02, temperature: 1.3, ..default },
            _ => Sampling { presence_penalty: 0.5, repetition_penalty: 1.2, min_tokens: 4, ..default },
        }
    }
}
