use std::collections::BTreeMap;

use millm_engine::{Event, Tally, TokenLogprob};
use tokio::sync::mpsc::Receiver;

/// All that a reader has heard of a request, however it was cut into events, in bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    captured: Option<(Vec<Vec<u32>>, Vec<Logprob>)>,
    choices: BTreeMap<u32, Choice>,
    failed: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Choice {
    text: String,
    logprobs: Vec<Logprob>,
    /// What edits did to the prompt and to generated rows, and the tokens drawn.
    steered: Option<(Vec<Counted>, Vec<Counted>, Vec<u32>)>,
    /// Why, and after how many tokens.
    end: Option<(&'static str, usize)>,
}

/// Token, logprob, rank, and the most probable ones.
pub(crate) type Logprob = (u32, u32, u32, Vec<(u32, u32)>);

/// Rows, rows changed, and the sum over these.
pub(crate) type Counted = (u64, u64, u64);

fn counted(tallies: Vec<Tally>) -> Vec<Counted> {
    tallies.into_iter().map(|Tally { rows, changed, relative }| (rows, changed, relative.to_bits())).collect()
}

fn bits(logprob: TokenLogprob) -> Logprob {
    let TokenLogprob { token, logprob, rank, top } = logprob;
    (token, logprob.to_bits(), rank, top.into_iter().map(|(token, logprob)| (token, logprob.to_bits())).collect())
}

impl News {
    /// Reads so many events, or all.
    pub(crate) fn read(mut events: Receiver<Event>, most: Option<usize>) -> Self {
        Self::of(std::iter::from_fn(|| events.blocking_recv()).take(most.unwrap_or(usize::MAX)))
    }

    /// What these events say.
    pub(crate) fn of(events: impl IntoIterator<Item = Event>) -> Self {
        let mut news = Self::default();
        events.into_iter().for_each(|event| news.add(event));
        news
    }

    /// All of it but what edits did.
    pub(crate) fn without_effects(mut self) -> Self {
        self.choices.values_mut().for_each(|choice| choice.steered = None);
        self
    }

    /// What edits did to the prompt and to generated rows of a choice.
    pub(crate) fn effects(&self, choice: u32) -> (&[Counted], &[Counted]) {
        let (prompt, generated, _) = self.choices[&choice].steered.as_ref().expect("the request has edits");
        (prompt, generated)
    }

    /// Those of the tokens that a choice has drawn.
    pub(crate) fn logprobs(&self, choice: u32) -> &[Logprob] {
        &self.choices[&choice].logprobs
    }

    /// The tokens that a choice has drawn, if they came with logprobs.
    pub(crate) fn drawn(&self, choice: u32) -> Vec<u32> {
        self.logprobs(choice).iter().map(|(token, ..)| *token).collect()
    }

    /// Those of the tokens of the prompt but the first, if they were asked for.
    pub(crate) fn prompt_logprobs(&self) -> &[Logprob] {
        self.captured.as_ref().map_or(&[], |(_, logprobs)| logprobs)
    }

    fn add(&mut self, event: Event) {
        match event {
            Event::Captured(found) => {
                let activation = |data: Vec<f32>| data.into_iter().map(f32::to_bits).collect();
                let activations = found.activations.into_iter().map(|found| activation(found.data)).collect();
                let logprobs = found.logprobs.into_iter().map(bits).collect();
                assert!(self.captured.replace((activations, logprobs)).is_none() && self.choices.is_empty());
            }
            Event::Text { choice, text, logprobs, .. } => {
                let choice = self.choices.entry(choice).or_default();
                assert!(choice.end.is_none() && !(text.is_empty() && logprobs.is_empty()));
                choice.text += &text;
                choice.logprobs.extend(logprobs.into_iter().map(bits));
            }
            Event::Steered { choice, effects, tokens } => {
                let choice = self.choices.entry(choice).or_default();
                let steered = (counted(effects.prompt), counted(effects.generation), tokens);
                assert!(choice.end.is_none() && choice.steered.replace(steered).is_none());
            }
            Event::Finished { choice, reason, completion_tokens, .. } => {
                let end = &mut self.choices.entry(choice).or_default().end;
                assert!(end.replace((reason.as_str(), completion_tokens)).is_none());
            }
            Event::Failed(error) => assert!(self.failed.replace(error.to_string()).is_none()),
        }
    }

    /// Whether one who read on might have heard `all`.
    pub(crate) fn begins(&self, all: &Self) -> bool {
        let nothing = Choice::default();
        self.captured.as_ref().is_none_or(|found| all.captured.as_ref() == Some(found))
            && self.choices.iter().all(|(index, found)| found.begins(all.choices.get(index).unwrap_or(&nothing)))
            && self.failed.as_ref().is_none_or(|found| all.failed.as_ref() == Some(found))
    }
}

impl Choice {
    fn begins(&self, all: &Self) -> bool {
        all.text.starts_with(&self.text)
            && all.logprobs.starts_with(&self.logprobs)
            && self.steered.as_ref().is_none_or(|steered| all.steered.as_ref() == Some(steered))
            && self.end.is_none_or(|end| all.end == Some(end))
    }
}
