use crate::{StopMatcher, StopStrings};

/// Looks for one marker in a text that comes in pieces.
#[derive(Clone, Debug)]
pub(super) struct Seeker {
    strings: StopStrings,
    matcher: StopMatcher,
    len: usize,
    /// Bytes at the end that may begin the marker.
    held: usize,
}

/// What a piece has brought.
pub(super) struct Sought {
    /// Text that is no part of the marker.
    pub(super) text: String,
    /// If the marker is complete, how many bytes of the piece are up to its end.
    pub(super) found: Option<usize>,
}

impl Seeker {
    pub(super) fn new(marker: &'static str) -> Self {
        // No marker is empty.
        let strings = StopStrings::new(&[marker]).unwrap_or_default();
        Self { matcher: StopMatcher::new(strings.clone()), strings, len: marker.len(), held: 0 }
    }

    /// Takes the next piece. When the marker is found, what is behind it is to be pushed elsewhere, and this starts anew.
    pub(super) fn push(&mut self, piece: &str) -> Sought {
        let emit = self.matcher.push(piece);
        let out = emit.text.len();
        if emit.stopped.is_some() {
            let end = out + self.len - self.held;
            self.matcher = StopMatcher::new(self.strings.clone());
            self.held = 0;
            return Sought { text: emit.text, found: Some(end) };
        }
        self.held = self.held + piece.len() - out;
        Sought { text: emit.text, found: None }
    }

    /// Whether nothing is held back.
    pub(super) fn is_idle(&self) -> bool {
        self.held == 0
    }

    /// What was held back, now that nothing follows.
    pub(super) fn finish(&mut self) -> String {
        self.held = 0;
        self.matcher.finish()
    }
}
