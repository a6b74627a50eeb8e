//! A comparison under way: what is read of the model, and what comes of it.

use std::collections::{BTreeMap, BTreeSet};

use millm_engine::{Activation, Captures};
use millm_plugin_api::{HookId, HookSite, ModelSpec};

use super::{
    Certificate, Golden, Greedy, PointCertificate, Reference, Status, Tolerance, compare::Agreement, prompt::Prompt,
};

/// What a comparison asks of a model: activations of a prompt.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) tokens: Vec<u32>,
    pub(crate) captures: Captures,
    purpose: Purpose,
}

#[derive(Clone, Debug)]
enum Purpose {
    /// Compare what is captured with the prompt of this index.
    Compare { prompt: usize },
    /// See whether the logits at the captured positions choose these tokens.
    Choose { expected: Vec<u32> },
}

/// A comparison under way.
#[derive(Debug)]
struct Examination<'a> {
    golden: &'a Golden,
    spec: &'a ModelSpec,
    agreements: BTreeMap<HookId, Agreement>,
    greedy: Option<Greedy>,
}

/// Memory that one reading may take, unless a single point takes more.
const READING_BYTES: u64 = 64 << 20;

/// Compares a model with a golden file; `read` runs a prompt and captures.
///
/// # Errors
///
/// Whatever `read` answers.
pub(crate) fn examine<E>(
    golden: &Golden,
    spec: &ModelSpec,
    mut read: impl FnMut(&Reading) -> Result<Vec<Activation>, E>,
) -> Result<Certificate, E> {
    let mut examination = Examination::new(golden, spec);
    for reading in examination.readings() {
        let activations = read(&reading)?;
        examination.take(&reading, &activations);
    }
    Ok(examination.certificate())
}

impl<'a> Examination<'a> {
    fn new(golden: &'a Golden, spec: &'a ModelSpec) -> Self {
        Self { golden, spec, agreements: BTreeMap::new(), greedy: None }
    }

    /// All that has to be read, in portions that fit into memory.
    fn readings(&self) -> Vec<Reading> {
        let mut readings = Vec::new();
        for (index, prompt) in self.golden.prompts.iter().enumerate() {
            let count = prompt.tokens.len();
            let compare = |points: Vec<HookId>| Reading {
                tokens: prompt.tokens.clone(),
                captures: Captures::new(points, (0..count).collect()),
                purpose: Purpose::Compare { prompt: index },
            };
            let (mut portion, mut bytes) = (Vec::new(), 0);
            for point in prompt.points.keys() {
                let more = Captures::new(vec![*point], (0..count).collect()).bytes(self.spec, count);
                if bytes + more > READING_BYTES && !portion.is_empty() {
                    readings.push(compare(std::mem::take(&mut portion)));
                    bytes = 0;
                }
                portion.push(*point);
                bytes += more;
            }
            if !portion.is_empty() {
                readings.push(compare(portion));
            }
            readings.extend(self.choices(prompt));
        }
        readings
    }

    /// Runs prompt and continuation at once: if every token is the best one after all before it, then greedy decoding
    /// yields them. Where positions turn otherwise in longer sequences, those up to that length are looked at in a
    /// sequence of that length.
    fn choices(&self, prompt: &Prompt) -> Vec<Reading> {
        let name = HookSite::LOGITS;
        let Some(logits) = self.spec.hook_points.iter().position(|hook| hook.point.to_string() == name.as_str()) else {
            return Vec::new();
        };
        let tokens: Vec<u32> = prompt.tokens.iter().chain(&prompt.greedy).copied().collect();
        let (first, end) = (prompt.tokens.len() - 1, tokens.len().saturating_sub(1));
        let short = self.spec.n_ctx_short.map_or(end, |short| short as usize).clamp(first, end);
        let reading = |positions: std::ops::Range<usize>| Reading {
            tokens: tokens[..positions.end].to_vec(),
            purpose: Purpose::Choose { expected: tokens[positions.start + 1..=positions.end].to_vec() },
            captures: Captures::new(vec![HookId(logits as u32)], positions.collect()),
        };
        [first..short, short..end].into_iter().filter(|positions| !positions.is_empty()).map(reading).collect()
    }

    /// Takes in what was read.
    fn take(&mut self, reading: &Reading, activations: &[Activation]) {
        match &reading.purpose {
            Purpose::Compare { prompt } => {
                for activation in activations {
                    let Some(place) = self.golden.prompts[*prompt].points.get(&activation.point) else { continue };
                    let agreement = Agreement::of(&activation.data, self.golden.elements(place));
                    let worst =
                        self.agreements.get(&activation.point).map_or(agreement, |known| known.worst(agreement));
                    self.agreements.insert(activation.point, worst);
                }
            }
            Purpose::Choose { expected } => {
                let greedy = self.greedy.get_or_insert(Greedy { agreeing: 0, of: 0 });
                let rows = activations.iter().flat_map(|logits| logits.data.chunks_exact(self.spec.d_vocab as usize));
                greedy.of += expected.len();
                greedy.agreeing += rows.zip(expected).filter(|(row, expected)| best(row) == Some(**expected)).count();
            }
        }
    }

    /// What was found.
    fn certificate(self) -> Certificate {
        let tolerance = Tolerance::F32;
        let of_model = (0..).map(HookId).zip(&self.spec.hook_points).map(|(id, hook)| {
            let agreement = self.agreements.get(&id).copied();
            let status = match agreement {
                None => Status::Unverified,
                Some(agreement) if agreement.is_within(tolerance) => Status::Verified,
                Some(_) => Status::Failed,
            };
            PointCertificate { name: hook.point.to_string(), status, agreement, reason: None }
        });
        let foreign: BTreeSet<&String> = self.golden.prompts.iter().flat_map(|prompt| &prompt.foreign).collect();
        let foreign = foreign.into_iter().map(|name| PointCertificate {
            name: name.clone(),
            status: Status::Failed,
            agreement: None,
            reason: Some("the reference has this hook point and the model has not".into()),
        });
        let hook_points: Vec<_> = of_model.chain(foreign).collect();
        let choices = match self.greedy {
            Some(greedy) if greedy.agreeing < greedy.of => Status::Failed,
            _ => Status::Verified,
        };
        let prompts = &self.golden.prompts;
        Certificate {
            status: hook_points.iter().map(|point| point.status).max().unwrap_or(Status::Unverified).max(choices),
            reason: None,
            reference: Some(Reference {
                sha256: self.golden.sha256.clone(),
                prompts: prompts.len(),
                tokens: prompts.iter().map(|prompt| prompt.tokens.len()).sum(),
                metadata: self.golden.metadata.clone(),
            }),
            tolerance,
            hook_points,
            greedy: self.greedy,
        }
    }
}

/// The most probable token; the first of several. `None` if a logit is NaN.
fn best(logits: &[f32]) -> Option<u32> {
    let better = |best: Option<(u32, f32)>, (token, logit): (u32, f32)| match best {
        Some((_, highest)) if logit <= highest => best,
        _ => Some((token, logit)),
    };
    let finite = logits.iter().all(|logit| !logit.is_nan());
    (0..).zip(logits.iter().copied()).fold(None, better).map(|(token, _)| token).filter(|_| finite)
}
