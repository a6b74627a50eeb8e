use std::time::Duration;

use millm_engine::Captured;
use tokio::sync::mpsc;

use super::*;

fn text(choice: u32, text: &str) -> Event {
    Event::Text { choice, text: text.into(), drawn: 1, logprobs: Vec::new() }
}

fn longest(drawing: u64) -> Times {
    Times { drawing: Duration::from_millis(drawing), ..Times::default() }
}

fn finished(choice: u32, completion_tokens: usize) -> Event {
    let times = longest(completion_tokens as u64);
    Event::Finished { choice, reason: FinishReason::Length, completion_tokens, cached_tokens: 4, times }
}

fn generation(prompts: &[&[Event]], choices: u32, steered: bool) -> Generation {
    let receivers = prompts.iter().map(|events| {
        let (sender, receiver) = mpsc::channel(16);
        events.iter().for_each(|event| sender.try_send(event.clone()).unwrap());
        receiver
    });
    Generation::over(receivers.collect(), choices, steered)
}

#[tokio::test]
async fn choice_k_of_prompt_p_has_the_index_p_n_plus_k() {
    let first = [text(1, "b"), text(0, "a"), finished(0, 2), finished(1, 3)];
    let second = [finished(1, 4), text(0, "c"), text(0, "d"), finished(0, 5)];
    let Outcome { choices, drawn, .. } = generation(&[&first, &second], 2, false).collect().await.unwrap();
    let texts: Vec<&str> = choices.iter().map(|choice| choice.text.as_str()).collect();
    assert_eq!(texts, ["a", "b", "cd", ""]);
    // Two prompts, each counted once.
    assert_eq!(drawn, Drawn { completion_tokens: 14, cached_tokens: 8, choices: 4, times: longest(5) });
}

#[tokio::test]
async fn logprobs_are_of_their_choice_and_their_prompt() {
    let found = |token| TokenLogprob { token, logprob: -1.0, rank: 1, top: Vec::new() };
    let drawn = |choice, tokens: &[u32]| {
        let logprobs = tokens.iter().copied().map(found).collect();
        Event::Text { choice, text: String::new(), drawn: tokens.len(), logprobs }
    };
    let captured = |token| Event::Captured(Captured { logprobs: vec![found(token)], ..Captured::default() });
    let first = [captured(1), drawn(1, &[2, 3]), drawn(0, &[4]), drawn(1, &[5]), finished(0, 1), finished(1, 3)];
    let second = [captured(6), finished(0, 0), finished(1, 0)];
    let outcome = generation(&[&first, &second], 2, false).collect().await.unwrap();
    let tokens = |logprobs: &[TokenLogprob]| logprobs.iter().map(|found| found.token).collect::<Vec<_>>();
    let choices = outcome.choices.iter().map(|choice| tokens(&choice.logprobs)).collect::<Vec<_>>();
    assert_eq!(choices, [vec![4], vec![2, 3, 5], vec![], vec![]]);
    assert_eq!(outcome.prompts.iter().map(|prompt| tokens(prompt)).collect::<Vec<_>>(), [[1], [6]]);
}

#[tokio::test]
async fn done_is_the_last_word() {
    let mut generation = generation(&[&[finished(0, 1)]], 1, false);
    assert!(matches!(generation.next().await, Some(Ok(Progress::Finished { index: 0, .. }))));
    assert_eq!(
        generation.next().await,
        Some(Ok(Progress::Done(Drawn { completion_tokens: 1, cached_tokens: 4, choices: 1, times: longest(1) })))
    );
    assert_eq!(generation.next().await, None);
}

#[tokio::test]
async fn an_engine_that_goes_away_is_an_internal_error() {
    let error = generation(&[&[text(0, "a")]], 1, false).collect().await.unwrap_err();
    assert_eq!(error.kind, Kind::Internal);
}

#[tokio::test]
async fn one_failure_ends_the_whole_call() {
    let (sender, receiver) = mpsc::channel(1);
    let (other, other_receiver) = mpsc::channel::<Event>(1);
    let mut generation = Generation::over(vec![receiver, other_receiver], 1, false);
    sender.send(Event::Failed(RequestError::Stopped)).await.unwrap();
    assert_eq!(generation.next().await.unwrap().unwrap_err().kind, Kind::Stopping);
    assert_eq!(generation.next().await, None);
    assert!(other.is_closed());
}

#[tokio::test]
async fn infinite_logits_are_the_fault_of_whoever_steers() {
    for (steered, kind) in [(true, Kind::SteeringNotFinite), (false, Kind::ModelFailed)] {
        let failed = Event::Failed(RequestError::NotFinite { position: 3 });
        assert_eq!(generation(&[&[failed]], 1, steered).collect().await.unwrap_err().kind, kind);
    }
}
