//! Large bodies: written a piece at a time, as fast as the client reads.

use std::{fmt, io, time::Duration};

use axum::body::{Body, Bytes};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::stream;
use tokio::{
    sync::mpsc::{Sender, channel},
    task::spawn_blocking,
};

use super::{budget::Reservation, dtype::Dtype};

/// A part of a body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    /// Bytes as they are.
    Bytes(Vec<u8>),
    /// Numbers, in binary.
    Binary(Vec<f32>, Dtype),
    /// Numbers, as base64 of the same bytes.
    Base64(Vec<f32>, Dtype),
}

impl Piece {
    /// A piece of JSON.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Bytes(text.into().into_bytes())
    }
}

/// What has not been sent.
struct Writer {
    pieces: Box<dyn Iterator<Item = Piece> + Send>,
    /// The piece that is being written, and how many of its numbers are.
    open: Option<(Piece, usize)>,
    /// Binary numbers on their way to base64; kept for its memory.
    binary: Vec<u8>,
    /// Given back with the rest, when the last byte is out or the client has left, or stands still.
    _reservation: Reservation,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// A chunk goes out as soon as it has so many bytes.
const CHUNK_BYTES: usize = 256 << 10;
/// Numbers that are written at once. A multiple of three, so that their bytes are whole groups of base64.
const NUMBERS: usize = 3 << 13;

/// How long a client may take to make room for a chunk. One that reads nothing would hold memory that others wait for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The body that is `pieces` one after the other. Each chunk is made on a blocking thread when there is room for it, so
/// that neither a large answer nor a slow client holds up anybody else. A piece's memory is freed once it is written;
/// all of it once the client has left or stood still for a minute, and then the body ends in an error.
pub(crate) fn body(pieces: impl Iterator<Item = Piece> + Send + 'static, reservation: Reservation) -> Body {
    body_within(PATIENCE, pieces, reservation)
}

fn body_within(
    patience: Duration,
    pieces: impl Iterator<Item = Piece> + Send + 'static,
    reservation: Reservation,
) -> Body {
    let writer = Writer { pieces: Box::new(pieces), open: None, binary: Vec::new(), _reservation: reservation };
    let (sender, receiver) = channel(1);
    tokio::spawn(send(writer, sender, patience));
    // The end is a message: a body that was given up must not look like a whole one.
    Body::from_stream(stream::try_unfold(receiver, async |mut receiver| match receiver.recv().await {
        Some(Message::Chunk(chunk)) => Ok(Some((chunk, receiver))),
        Some(Message::End) => Ok(None),
        None => Err(io::Error::other("the body was given up")),
    }))
}

#[derive(Debug)]
enum Message {
    Chunk(Bytes),
    End,
}

/// Sends what the writer has, for as long as somebody takes it.
async fn send(mut writer: Writer, sender: Sender<Message>, patience: Duration) {
    loop {
        let made = spawn_blocking(move || {
            let chunk = writer.chunk();
            (!chunk.is_empty()).then_some((chunk, writer))
        });
        let message = match made.await {
            Ok(Some((chunk, rest))) => {
                writer = rest;
                Message::Chunk(chunk.into())
            }
            Ok(None) => {
                // Takes little, so it may wait.
                let _ = sender.send(Message::End).await;
                return;
            }
            // It panicked, and the log has it.
            Err(_) => return,
        };
        if sender.send_timeout(message, patience).await.is_err() {
            return;
        }
    }
}

impl Writer {
    /// The next bytes; empty at the end.
    fn chunk(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < CHUNK_BYTES {
            let Some((piece, written)) = self.open.take().or_else(|| Some((self.pieces.next()?, 0))) else { break };
            let (values, dtype, encoded) = match &piece {
                Piece::Bytes(bytes) => {
                    out.extend_from_slice(bytes);
                    continue;
                }
                Piece::Binary(values, dtype) => (values, *dtype, false),
                Piece::Base64(values, dtype) => (values, *dtype, true),
            };
            let end = values.len().min(written + NUMBERS);
            let next = &values[written..end];
            if encoded {
                self.binary.clear();
                dtype.write(next, &mut self.binary);
                append_base64(&self.binary, &mut out);
            } else {
                dtype.write(next, &mut out);
            }
            if end < values.len() {
                self.open = Some((piece, end));
            }
        }
        out
    }
}

fn append_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // Fails only if there is too little room.
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::budget::Budget, *};

    /// All bytes of a body.
    pub(crate) async fn bytes_of(pieces: Vec<Piece>) -> Bytes {
        let body = body(pieces.into_iter(), Budget::new(1).reserve(1).unwrap());
        axum::body::to_bytes(body, usize::MAX).await.unwrap()
    }

    #[tokio::test]
    async fn numbers_are_one_base64_text_however_they_are_cut() {
        for count in [0, 1, 2, NUMBERS - 1, NUMBERS, NUMBERS + 1, 5 * NUMBERS + 2] {
            let values: Vec<f32> = (0..count).map(|i| (i as f32).sin()).collect();
            for dtype in [Dtype::Float32, Dtype::Bfloat16] {
                let mut binary = Vec::new();
                dtype.write(&values, &mut binary);
                let pieces = vec![Piece::text("<"), Piece::Base64(values.clone(), dtype), Piece::text(">")];
                let expected = format!("<{}>", STANDARD.encode(&binary));
                assert!(bytes_of(pieces).await == expected, "{count}");
                assert!(bytes_of(vec![Piece::Binary(values.clone(), dtype)]).await == binary, "{count}");
            }
        }
    }

    #[tokio::test]
    async fn memory_is_given_back_with_the_last_byte_or_when_the_client_leaves() {
        let budget = Budget::new(1);
        let pieces = || (0..3).map(|_| Piece::Base64(vec![0.0; 8 * NUMBERS], Dtype::Float32));
        let held = || -> Vec<_> { (0..3).map(|_| budget.reserve(1).unwrap()).collect() };
        let left = held();
        let sent = body(pieces(), budget.reserve(1).unwrap());
        assert!(budget.reserve(1).is_err());
        axum::body::to_bytes(sent, usize::MAX).await.unwrap();
        drop(body(pieces(), budget.reserve(1).unwrap()));
        given_back(&budget).await;
        drop(left);
    }

    /// Waits until there is memory again.
    async fn given_back(budget: &Budget) {
        let reserved = async {
            while budget.reserve(1).is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), reserved).await.unwrap();
    }

    #[tokio::test]
    async fn memory_is_given_back_when_the_client_stands_still_and_the_body_says_so() {
        let budget = Budget::new(1);
        let _held: Vec<_> = (0..3).map(|_| budget.reserve(1).unwrap()).collect();
        let pieces = (0..9).map(|_| Piece::Base64(vec![0.0; 8 * NUMBERS], Dtype::Float32));
        let sent = body_within(Duration::from_millis(20), pieces, budget.reserve(1).unwrap());
        assert!(budget.reserve(1).is_err());
        given_back(&budget).await;
        assert!(axum::body::to_bytes(sent, usize::MAX).await.is_err());
    }

    #[tokio::test]
    async fn a_client_may_take_long_over_the_end() {
        let sent = body_within(Duration::ZERO, [Piece::text("all")].into_iter(), Budget::new(1).reserve(1).unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(axum::body::to_bytes(sent, usize::MAX).await.unwrap(), "all");
    }
}
