use std::collections::BTreeMap;

use millm_engine::{Event, TokenLogprob};
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
    /// Why, and after how many tokens.
    end: Option<(&'static str, usize)>,
}

/// Token, logprob, rank, and the most probable ones.
type Logprob = (u32, u32, u32, Vec<(u32, u32)>);

fn bits(logprob: TokenLogprob) -> Logprob {
    let TokenLogprob { token, logprob, rank, top } = logprob;
    (token, logprob.to_bits(), rank, top.into_iter().map(|(token, logprob)| (token, logprob.to_bits())).collect())
}

impl News {
    /// Reads so many events, or all.
    pub(crate) fn read(mut events: Receiver<Event>, most: Option<usize>) -> Self {
        let mut news = Self::default();
        for _ in 0..most.unwrap_or(usize::MAX) {
            match events.blocking_recv() {
                Some(event) => news.add(event),
                None => break,
            }
        }
        news
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
            && self.end.is_none_or(|end| all.end == Some(end))
    }
}
