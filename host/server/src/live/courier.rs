//! What a connection is sent, as fast as its client reads.

use std::time::{Duration, Instant};

use socketioxide::{SendError, SocketError, extract::SocketRef};
use tokio::{
    select,
    time::{sleep, sleep_until},
};

use super::{
    choice::Choice,
    desk::Desk,
    event::{Event, Next},
    feed::{Feed, Reader},
    room,
};

/// Carries the states of one feed to one connection.
pub(super) struct Courier<'a> {
    socket: &'a SocketRef,
    desk: &'a Desk,
    reader: Reader,
    /// Since when its client has not read, and how long until the next look.
    stalled: Option<(Instant, Duration)>,
}

/// Why there is nothing more to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client is gone.
    Gone,
    /// The host closes.
    Closed,
    /// The client does not read. Its connection should have ended by itself, for lack of an answer to pings; but it may
    /// not even take notice of that.
    Stuck,
}

const FIRST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(100);
/// More than it takes until a ping is sent and its answer is overdue.
const STUCK: Duration = Duration::from_secs(60);

impl<'a> Courier<'a> {
    pub(super) fn new(socket: &'a SocketRef, desk: &'a Desk, feed: &Feed) -> Self {
        Self { socket, desk, reader: feed.join(), stalled: None }
    }

    /// Carries until the connection ends.
    pub(super) async fn run(mut self) -> Ending {
        match self.carry().await {
            Err(ending) => ending,
        }
    }

    async fn carry(&mut self) -> Result<std::convert::Infallible, Ending> {
        loop {
            self.room().await?;
            let snapshot = self.reader.snapshot(Choice::Everything);
            if self.delivered(self.socket.emit("snapshot", &snapshot))? {
                break;
            }
        }
        loop {
            self.answer().await?;
            match self.reader.next() {
                Next::Send(event) if room::for_event(self.socket) => self.send(event).await?,
                Next::Send(_) => self.pause().await?,
                Next::Wait(due) => {
                    let due = async {
                        match due {
                            Some(due) => sleep_until(due.into()).await,
                            None => std::future::pending().await,
                        }
                    };
                    select! {
                        () = self.reader.news() => {}
                        () = self.desk.changed() => {}
                        () = due => {}
                    }
                }
            }
        }
    }

    /// Answers what the client asked for.
    async fn answer(&mut self) -> Result<(), Ending> {
        while !self.desk.is_closed() {
            let Some(request) = self.desk.take() else {
                return Ok(());
            };
            self.room().await?;
            let snapshot = self.reader.snapshot(request.choice);
            // It could only fail for a client that sends more than it reads, and cannot be sent again.
            self.delivered(request.ack.send(&snapshot))?;
        }
        Err(Ending::Gone)
    }

    async fn send(&mut self, event: Event) -> Result<(), Ending> {
        if self.delivered(self.socket.emit(event.kind.event, &event))? {
            self.reader.sent(event);
            self.stalled = None;
            // Whoever writes to the connection may have to run on this thread.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Whether it was sent, rather than refused because others were faster to take the last places.
    fn delivered(&self, result: Result<(), SendError>) -> Result<bool, Ending> {
        match result {
            Ok(()) => Ok(true),
            Err(SendError::Socket(SocketError::Closed)) => Err(Ending::Gone),
            Err(error) => {
                tracing::debug!(socket = %self.socket.id, "a live event was not sent: {error}");
                Ok(false)
            }
        }
    }

    /// Waits until there is room for a message.
    async fn room(&mut self) -> Result<(), Ending> {
        while !room::for_event(self.socket) {
            self.pause().await?;
        }
        self.stalled = None;
        Ok(())
    }

    /// Gives the client time to read.
    async fn pause(&mut self) -> Result<(), Ending> {
        if self.desk.is_closed() || !self.socket.connected() {
            return Err(Ending::Gone);
        }
        let (since, look) = self.stalled.unwrap_or_else(|| (Instant::now(), FIRST_LOOK));
        if since.elapsed() > STUCK {
            return Err(Ending::Stuck);
        }
        self.stalled = Some((since, LONGEST_LOOK.min(look * 2)));
        sleep(look).await;
        Ok(())
    }
}
