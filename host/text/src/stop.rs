use std::sync::Arc;

use crate::TextError;

/// The stop strings of a request. Cheap to clone; each choice has its own [`StopMatcher`].
///
/// An Aho–Corasick automaton over bytes. Its depth after a text is the length of the longest beginning of a stop string
/// that the text ends with, which is exactly what must be held back; the crates for it do not tell the depth.
#[derive(Clone, Debug)]
pub struct StopStrings(Arc<[Node]>);

#[derive(Debug, Default)]
struct Node {
    /// By byte, sorted.
    children: Vec<(u8, u32)>,
    /// The node of the longest proper suffix that begins a stop string too.
    suffix: u32,
    depth: u32,
    /// The longest stop string that ends here.
    stop: Option<Stop>,
}

#[derive(Clone, Copy, Debug)]
struct Stop {
    index: usize,
    len: usize,
}

/// Text that may be sent, and whether it is the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emit {
    /// Never part of a stop string, possibly empty.
    pub text: String,
    /// The position, in the request's list, of the stop string that ended the text.
    pub stopped: Option<usize>,
}

impl StopStrings {
    /// Takes time, and about 100 times the memory, in proportion to the bytes of `strings`. Without strings nothing
    /// ever stops.
    ///
    /// # Errors
    /// One of the strings is empty.
    pub fn new<S: AsRef<str>>(strings: &[S]) -> Result<Self, TextError> {
        let mut nodes = vec![Node::default()];
        for (index, string) in strings.iter().enumerate() {
            let bytes = string.as_ref().as_bytes();
            if bytes.is_empty() {
                return Err(TextError::EmptyStopString { index });
            }
            let end = insert(&mut nodes, bytes);
            nodes[end].stop.get_or_insert(Stop { index, len: bytes.len() });
        }
        link_suffixes(&mut nodes);
        Ok(Self(nodes.into()))
    }
}

/// Nothing ever stops.
impl Default for StopStrings {
    fn default() -> Self {
        Self(Arc::new([Node::default()]))
    }
}

impl Node {
    fn child(&self, byte: u8) -> Result<usize, usize> {
        let at = self.children.binary_search_by_key(&byte, |(byte, _)| *byte)?;
        Ok(self.children[at].1 as usize)
    }
}

/// The node of `bytes`, with those on the way to it.
fn insert(nodes: &mut Vec<Node>, bytes: &[u8]) -> usize {
    let mut node = 0;
    for (depth, byte) in (1..).zip(bytes) {
        node = nodes[node].child(*byte).unwrap_or_else(|at| {
            let child = nodes.len();
            nodes[node].children.insert(at, (*byte, child as u32));
            nodes.push(Node { depth, ..Node::default() });
            child
        });
    }
    node
}

/// Breadth first: a suffix is shallower than its node, so it is linked before.
fn link_suffixes(nodes: &mut [Node]) {
    let mut order = vec![0];
    let mut next = 0;
    while let Some(&node) = order.get(next) {
        next += 1;
        for (byte, child) in nodes[node].children.clone() {
            let child = child as usize;
            // A suffix is proper, so that of a single byte is empty.
            let suffix = if node == 0 { 0 } else { step(nodes, nodes[node].suffix as usize, byte) };
            nodes[child].suffix = suffix as u32;
            nodes[child].stop = nodes[child].stop.or(nodes[suffix].stop);
            order.push(child);
        }
    }
}

/// From the longest beginning of a stop string before `byte` to the longest one with it.
fn step(nodes: &[Node], mut node: usize, byte: u8) -> usize {
    loop {
        match nodes[node].child(byte) {
            Ok(child) => return child,
            Err(_) if node == 0 => return 0,
            Err(_) => node = nodes[node].suffix as usize,
        }
    }
}

/// Cuts one sequence's text at the first stop string.
///
/// The stop string that is complete first wins, as if the text were checked after every character; of several complete
/// at once, the longest; of equal ones, the first in the list. The result does not depend on how the text is cut into
/// pieces. Pushing costs time in proportion to the piece, however many stop strings there are.
#[derive(Clone, Debug)]
pub struct StopMatcher {
    strings: StopStrings,
    node: usize,
    /// The text's end that may become a stop string. As many bytes as the node is deep.
    held: String,
    stopped: Option<usize>,
}

impl StopMatcher {
    /// At the beginning of a text.
    pub fn new(strings: StopStrings) -> Self {
        Self { strings, node: 0, held: String::new(), stopped: None }
    }

    /// Takes the next piece of text and returns what can no longer become part of a stop string. After a stop, text is
    /// swallowed.
    pub fn push(&mut self, piece: &str) -> Emit {
        if self.stopped.is_some() {
            return Emit { text: String::new(), stopped: self.stopped };
        }
        let before = self.held.len();
        self.held.push_str(piece);
        for (at, byte) in piece.bytes().enumerate() {
            self.node = step(&self.strings.0, self.node, byte);
            if let Some(stop) = self.strings.0[self.node].stop {
                let mut text = std::mem::take(&mut self.held);
                text.truncate(before + at + 1 - stop.len);
                self.stopped = Some(stop.index);
                return Emit { text, stopped: self.stopped };
            }
        }
        // Both ends of this are ends of characters, because a stop string begins with one.
        let depth = self.strings.0[self.node].depth as usize;
        let kept = self.held.split_off(self.held.len() - depth);
        Emit { text: std::mem::replace(&mut self.held, kept), stopped: None }
    }

    /// The text held back, now that nothing follows. Empty after a stop.
    pub fn finish(&mut self) -> String {
        self.node = 0;
        std::mem::take(&mut self.held)
    }
}
