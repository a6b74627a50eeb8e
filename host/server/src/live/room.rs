//! How much of a connection's buffer is free.
//!
//! Socket.IO counts the messages that a client has not been sent yet, and nobody can ask for the count. A message for which
//! there is no place is refused; if it is the ping that keeps the connection alive, the connection ends. So events must
//! leave places free, for which they have to know how many there are.

use std::cell::Cell;

use serde::{Serialize, Serializer, ser::Error};
use socketioxide::{SendError, SocketError, extract::SocketRef};

/// The messages of a connection that wait for its client at most, over all namespaces. python-engineio breaks off when one
/// poll brings more than 16, and a few can be added while a poll is being answered.
pub(super) const BUFFER: usize = 12;
/// The places that are left to pings, acknowledgements and other namespaces.
const SPARE: usize = 4;

/// Whether an event may take a place in the buffer.
pub(super) fn for_event(socket: &SocketRef) -> bool {
    Probe { socket, places: SPARE + 1, fits: Cell::new(None) }.fits()
}

/// A message that is never sent: a place is kept for it while it is being serialized, and that fails. While it keeps its
/// place it tries another one, and so on; so all of them find one only if that many are free.
struct Probe<'a> {
    socket: &'a SocketRef,
    /// How many to try, this one included.
    places: usize,
    /// What came out, once it was tried.
    fits: Cell<Option<bool>>,
}

impl Probe<'_> {
    fn fits(&self) -> bool {
        match self.socket.emit("", self) {
            Err(SendError::Socket(SocketError::InternalChannelFull)) => false,
            // Whoever sends to a closed connection learns it then.
            Ok(()) | Err(SendError::Socket(_)) => true,
            Err(SendError::Serialize(_)) => self.fits.get().unwrap_or(false),
        }
    }
}

impl Serialize for Probe<'_> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        // Called twice, of which the first time is to see what type this is.
        if self.fits.get().is_none() {
            let others = Self { socket: self.socket, places: self.places - 1, fits: Cell::new(None) };
            self.fits.set(Some(others.places == 0 || others.fits()));
        }
        Err(S::Error::custom("not meant to be sent"))
    }
}
