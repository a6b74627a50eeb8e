//! An answer as server-sent events.

use std::time::Duration;

use axum::{
    http::{HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt, stream};

use serde::Serialize;
use tokio::time::timeout;

use super::{
    answer::{Answer, Chunk},
    generation::Progress,
};
use crate::{api::Reservation, error::ApiError};

/// How often a client hears of us while no token comes, so that nothing in between closes the connection.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The parts of a stream besides its news.
#[derive(Debug)]
pub(crate) struct Framing {
    pub(crate) answer: Answer,
    pub(crate) prompt_tokens: usize,
    /// Of all prompts together.
    pub(crate) choices: u32,
    /// Memory for what is told of the prompts, given back at the end.
    pub(crate) reservation: Option<Reservation>,
}

/// The same `news`, once there is some, or once a client has to be told that it is waited for, after `silence`: what fails
/// before has a status of its own.
pub(crate) async fn begun(
    mut news: impl Stream<Item = Result<Progress, ApiError>> + Unpin + Send + 'static,
    silence: Duration,
) -> Result<impl Stream<Item = Result<Progress, ApiError>> + Send + 'static, ApiError> {
    // Past that a client, or what is between, would take silence for the end.
    let first = match timeout(silence, news.next()).await {
        Ok(first) => Some(first.unwrap_or_else(|| Err(ApiError::internal()))?),
        Err(_) => None,
    };
    Ok(stream::iter(first.map(Ok)).chain(news))
}

/// A response whose body follows `news`. Ends in `[DONE]`, or in an error and nothing more.
pub(crate) fn respond(
    framing: Framing,
    news: impl Stream<Item = Result<Progress, ApiError>> + Send + 'static,
) -> Response {
    sse(events(framing, news), KEEP_ALIVE)
}

/// A response of server-sent events, with a comment whenever there has been none for this long.
pub(crate) fn sse(
    events: impl Stream<Item = Result<Event, axum::Error>> + Send + 'static,
    silence: Duration,
) -> Response {
    let keep_alive = KeepAlive::new().interval(silence).text("ping");
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn events(
    framing: Framing,
    news: impl Stream<Item = Result<Progress, ApiError>> + Send + 'static,
) -> impl Stream<Item = Result<Event, axum::Error>> + Send + 'static {
    let Framing { mut answer, prompt_tokens, choices, reservation } = framing;
    let openings = (0..choices).filter_map(|index| answer.opening(index));
    let openings: Vec<Chunk> = answer.status().into_iter().chain(openings).collect();
    let rest = news.flat_map(move |news| {
        let _held = &reservation;
        let events = match news {
            Ok(Progress::Prompt { prompt, logprobs }) => {
                answer.prompt(prompt, &logprobs).into_iter().map(data).collect()
            }
            Ok(Progress::Text { index, text, drawn, logprobs }) => {
                answer.text(index, text, drawn, &logprobs).into_iter().map(data).collect()
            }
            Ok(Progress::Steered { index, steered }) => {
                answer.steered(index, steered);
                Vec::new()
            }
            Ok(Progress::Finished { index, reason }) => {
                answer.finish(index, reason.into()).into_iter().map(data).collect()
            }
            Ok(Progress::Done(drawn)) => {
                let done = Ok(Event::default().data("[DONE]"));
                let usage = answer.usage(prompt_tokens, drawn);
                usage.map(data).into_iter().chain([done]).collect()
            }
            Err(error) => vec![data(error.body())],
        };
        stream::iter(events)
    });
    stream::iter(openings).map(data).chain(rest)
}

fn data(value: impl Serialize) -> Result<Event, axum::Error> {
    Event::default().json_data(value)
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, time::Instant};

    use millm_engine::FinishReason;
    use tokio::time::sleep;

    use super::{
        super::{answer::tests::answer, endpoint::Endpoint, generation::Drawn, logprobs::Logprobs},
        *,
    };
    use crate::error::Kind;

    fn framing(endpoint: Endpoint, usage: bool) -> Framing {
        let answer = answer(endpoint, usage, Logprobs::default());
        Framing { answer, prompt_tokens: 3, choices: 2, reservation: None }
    }

    async fn body(endpoint: Endpoint, usage: bool, news: Vec<Result<Progress, ApiError>>) -> (Response<()>, String) {
        let (head, body) = respond(framing(endpoint, usage), stream::iter(news)).into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (Response::from_parts(head, ()), String::from_utf8(bytes.into()).unwrap())
    }

    fn news() -> Vec<Result<Progress, ApiError>> {
        let finished = |index| Ok(Progress::Finished { index, reason: FinishReason::Stop });
        let text = |index, text: &str| Ok(Progress::Text { index, text: text.into(), drawn: 1, logprobs: Vec::new() });
        let done = Ok(Progress::Done(Drawn { completion_tokens: 4, cached_tokens: 2, ..Drawn::default() }));
        vec![text(1, "a\nb"), text(0, "c"), finished(1), finished(0), done]
    }

    /// The `choices` of every chunk, then what is no chunk.
    fn choices(body: &str) -> Vec<String> {
        let events = body.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap());
        let choices = |event: &str| match serde_json::from_str::<serde_json::Value>(event) {
            Ok(chunk) if chunk.get("choices").is_some() => chunk["choices"].to_string(),
            _ => event.to_owned(),
        };
        events.map(choices).collect()
    }

    #[tokio::test]
    async fn a_chat_stream_opens_every_choice_and_ends_in_done() {
        let (response, body) = body(Endpoint::Chat, false, news()).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let chunk = |index, delta, reason| {
            format!(r#"[{{"index":{index},"delta":{delta},"logprobs":null,"finish_reason":{reason}}}]"#)
        };
        let opening = r#"{"role":"assistant","content":""}"#;
        let expected = [
            chunk(0, opening, "null"),
            chunk(1, opening, "null"),
            chunk(1, r#"{"content":"a\nb"}"#, "null"),
            chunk(0, r#"{"content":"c"}"#, "null"),
            chunk(1, "{}", "\"stop\""),
            chunk(0, "{}", "\"stop\""),
            "[DONE]".to_owned(),
        ];
        assert_eq!(choices(&body), expected);
    }

    #[tokio::test]
    async fn usage_is_a_last_chunk_without_choices() {
        let (_, body) = body(Endpoint::Completions, true, news()).await;
        let choices = choices(&body);
        assert_eq!(choices[0], r#"[{"index":1,"text":"a\nb","logprobs":null,"finish_reason":null}]"#);
        assert_eq!(choices[choices.len() - 2..], ["[]", "[DONE]"]);
        assert!(body.contains(r#""usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7"#));
    }

    #[tokio::test]
    async fn an_error_is_the_last_event() {
        let news = vec![news().remove(0), Err(ApiError::new(Kind::Stopping, "Stopped."))];
        let (_, body) = body(Endpoint::Completions, false, news).await;
        let last = r#"{"error":{"message":"Stopped.","type":"server_error","param":null,"code":"model_unloading"}}"#;
        assert_eq!(choices(&body)[1..], [last]);
    }

    #[tokio::test]
    async fn a_client_hears_of_us_whenever_there_is_nothing_to_say() {
        let (begun, silence) = (Instant::now(), Duration::from_millis(20));
        let mut frames = sse(stream::pending(), silence).into_body().into_data_stream();
        for count in 1..=3 {
            assert_eq!(frames.next().await.unwrap().unwrap(), ": ping\n\n");
            assert!(begun.elapsed() >= count * silence);
        }
    }

    /// What fails after a while and has nothing to say before.
    fn failing_after(while_: Duration) -> impl Stream<Item = Result<Progress, ApiError>> + Unpin + Send + 'static {
        let failure = async move {
            sleep(while_).await;
            Err(ApiError::new(Kind::Stopping, "Stopped."))
        };
        stream::once(failure).boxed()
    }

    #[tokio::test]
    async fn a_status_waits_for_news_but_not_for_ever() {
        let (soon, late) = (Duration::from_millis(20), Duration::from_secs(60));
        assert_eq!(begun(failing_after(soon), late).await.err().map(|error| error.kind), Some(Kind::Stopping));
        let since = Instant::now();
        let mut news = pin!(begun(failing_after(10 * soon), soon).await.unwrap());
        assert!(since.elapsed() >= soon);
        // Past that, it is one of the events.
        assert_eq!(news.next().await.unwrap().unwrap_err().kind, Kind::Stopping);
    }
}
