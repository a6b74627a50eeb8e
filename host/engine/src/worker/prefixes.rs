use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, Hash, Hasher, RandomState},
};

use millm_plugin_api::{PageUsage, loaded::SequenceHandle};

use crate::interventions::{Count, Interventions, Ledger, Timeline};

/// Blocks of fewer positions are not worth their bookkeeping.
const LEAST_BLOCK: usize = 16;

/// What the keys and values of a sequence depend on, besides the model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub(super) timeline: Timeline<'a>,
    pub(super) interventions: &'a Interventions,
    /// What these have done.
    pub(super) ledger: &'a Ledger,
    /// Whether it was made for more than [`n_ctx_short`](millm_plugin_api::ModelSpec::n_ctx_short) positions.
    pub(super) long: bool,
}

/// Sequences that are kept for requests which begin as they do.
///
/// Found by chained hashes of whole blocks, each over its tokens and the interventions that reach it, and compared then:
/// a hash alone never decides what a request gets. A request that finds one forks it, so pages are shared. What was not
/// used for longest gives its pages back first, from its end.
#[derive(Debug)]
pub(super) struct Prefixes {
    /// Positions per block: whole pages. `None` if the model keeps nothing per position, so that there is nothing to share.
    block: Option<usize>,
    entries: HashMap<u64, Entry>,
    /// Which entries have a block of that hash.
    blocks: HashMap<u64, Vec<u64>>,
    /// Entries by their last use.
    used: BTreeMap<u64, u64>,
    clock: u64,
    hasher: RandomState,
}

#[derive(Debug)]
struct Entry {
    sequence: SequenceHandle,
    /// Whole blocks.
    tokens: Vec<u32>,
    /// How many of them, or more than all, were a prompt.
    prompt_len: usize,
    interventions: Interventions,
    /// What these did, block by block.
    counts: Vec<Vec<Count>>,
    long: bool,
    /// One per block.
    hashes: Vec<u64>,
    used: u64,
}

/// What a request need not compute.
pub(super) struct Forked {
    pub(super) sequence: SequenceHandle,
    /// Positions that it has.
    pub(super) len: usize,
    /// What the request's interventions have done there.
    pub(super) ledger: Ledger,
}

impl Prefixes {
    /// None yet, for a model with such pages.
    pub(super) fn new(pages: PageUsage) -> Self {
        let page = (pages.page_tokens as usize).max(1);
        let unlimited = pages.pages_total == PageUsage::UNLIMITED.pages_total;
        Self {
            block: (!unlimited).then(|| LEAST_BLOCK.next_multiple_of(page)),
            entries: HashMap::new(),
            blocks: HashMap::new(),
            used: BTreeMap::new(),
            clock: 0,
            hasher: RandomState::new(),
        }
    }

    /// Positions kept, those of several entries counted for each.
    pub(super) fn positions(&self) -> usize {
        self.entries.values().map(|entry| entry.tokens.len()).sum()
    }

    /// Positions per block, by which a ledger has to count.
    pub(super) fn block(&self) -> usize {
        self.block.unwrap_or(LEAST_BLOCK)
    }

    /// A sequence with the longest kept beginning of `origin`, of at most `most` positions.
    pub(super) fn fork(&mut self, origin: Origin<'_>, most: usize) -> Option<Forked> {
        let hashes = self.hashes(origin, most.min(origin.timeline.tokens.len()));
        let (id, len) = self.find(origin, &hashes)?;
        self.touch(id);
        let entry = &self.entries[&id];
        match entry.sequence.fork(len) {
            Ok(sequence) => Some(Forked { sequence, len, ledger: entry.ledger(origin, len, self.block()) }),
            Err(error) => {
                tracing::debug!("a cached prefix cannot be used: {error}");
                None
            }
        }
    }

    /// Keeps the whole blocks of `sequence`, unless they are kept already. It has computed `origin`.
    pub(super) fn keep(&mut self, origin: Origin<'_>, sequence: SequenceHandle) {
        let hashes = self.hashes(origin, origin.timeline.tokens.len());
        let Some(block) = self.block.filter(|_| !hashes.is_empty()) else { return };
        let len = hashes.len() * block;
        if let Some((id, found)) = self.find(origin, &hashes) {
            if found == len {
                return self.touch(id);
            }
            if self.entries[&id].tokens.len() == found {
                // The new one has all of it, in the same pages or in others.
                self.remove(id);
            }
        }
        if let Err(error) = sequence.truncate(len) {
            tracing::warn!("a prefix cannot be kept: {error}");
            return;
        }
        let id = self.tick();
        for hash in &hashes {
            self.blocks.entry(*hash).or_default().push(id);
        }
        self.used.insert(id, id);
        let Origin { timeline: Timeline { tokens, prompt_len }, interventions, ledger, long } = origin;
        let (tokens, interventions) = (tokens[..len].to_vec(), interventions.clone());
        let counts = ledger.blocks(hashes.len());
        let entry = Entry { sequence, tokens, prompt_len, interventions, counts, long, hashes, used: id };
        self.entries.insert(id, entry);
    }

    /// [`keep`](Self::keep)s a copy of a sequence that goes on. It has computed `origin`, and maybe more.
    pub(super) fn keep_copy(&mut self, origin: Origin<'_>, sequence: &SequenceHandle) {
        let hashes = self.hashes(origin, origin.timeline.tokens.len());
        let Some(block) = self.block.filter(|_| !hashes.is_empty()) else { return };
        match self.find(origin, &hashes) {
            Some((id, len)) if len == hashes.len() * block => self.touch(id),
            // Whole pages only, so that nobody has to copy one to write to it.
            _ => match sequence.fork(hashes.len() * block) {
                Ok(copy) => self.keep(origin, copy),
                Err(error) => tracing::debug!("a prefix cannot be kept: {error}"),
            },
        }
    }

    /// Gives up about so many positions of what was not used for longest. Their pages are free unless somebody else holds
    /// them, too. Says whether there was something to give up.
    pub(super) fn shrink(&mut self, positions: usize) -> bool {
        let Some((block, id)) = self.block.zip(self.used.values().next().copied()) else { return false };
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        let blocks = entry.hashes.len().saturating_sub(positions.div_ceil(block).max(1));
        if blocks == 0 || entry.sequence.truncate(blocks * block).is_err() {
            self.remove(id);
            return true;
        }
        entry.tokens.truncate(blocks * block);
        entry.counts.truncate(blocks);
        let gone = entry.hashes.split_off(blocks);
        self.unlist(id, &gone);
        true
    }

    /// Gives up everything.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.blocks.clear();
        self.used.clear();
    }

    fn remove(&mut self, id: u64) {
        if let Some(entry) = self.entries.remove(&id) {
            self.used.remove(&entry.used);
            self.unlist(id, &entry.hashes);
        }
    }

    fn unlist(&mut self, id: u64, hashes: &[u64]) {
        for hash in hashes {
            if let Some(entries) = self.blocks.get_mut(hash) {
                entries.retain(|entry| *entry != id);
                if entries.is_empty() {
                    self.blocks.remove(hash);
                }
            }
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn touch(&mut self, id: u64) {
        let now = self.tick();
        if let Some(entry) = self.entries.get_mut(&id) {
            self.used.remove(&std::mem::replace(&mut entry.used, now));
            self.used.insert(now, id);
        }
    }

    /// Chained hashes of the whole blocks among the first `most` positions.
    fn hashes(&self, origin: Origin<'_>, most: usize) -> Vec<u64> {
        let Some(block) = self.block else { return Vec::new() };
        let mut chain = self.hasher.hash_one(origin.long);
        let blocks = origin.timeline.tokens[..most].chunks_exact(block).enumerate();
        let link = |(index, tokens): (usize, &[u32])| {
            let mut hasher = self.hasher.build_hasher();
            (chain, tokens).hash(&mut hasher);
            let positions = index * block..(index + 1) * block;
            origin.interventions.hash_within(positions, origin.timeline, &mut hasher);
            chain = hasher.finish();
            chain
        };
        blocks.map(link).collect()
    }

    /// The entry that shares the most blocks with `origin`, whose blocks have these hashes, and how many positions that is.
    fn find(&self, origin: Origin<'_>, hashes: &[u64]) -> Option<(u64, usize)> {
        let block = self.block?;
        let known = hashes.iter().take_while(|hash| self.blocks.contains_key(hash)).count();
        (1..=known).rev().find_map(|blocks| {
            let len = blocks * block;
            let entries = self.blocks[&hashes[blocks - 1]].iter().rev();
            entries.copied().find(|id| self.entries[id].begins_as(origin, len)).map(|id| (id, len))
        })
    }
}

impl Entry {
    /// Whether its first `len` positions are those of `origin`.
    fn begins_as(&self, origin: Origin<'_>, len: usize) -> bool {
        self.tokens.len() >= len
            && self.tokens[..len] == origin.timeline.tokens[..len]
            && self.long == origin.long
            && self.pairs(origin, len).is_some()
    }

    /// Which interventions of `origin` are which of its own, if those that reach the first `len` positions are the same.
    fn pairs(&self, origin: Origin<'_>, len: usize) -> Option<Vec<(usize, usize)>> {
        let own = Timeline { tokens: &self.tokens, prompt_len: self.prompt_len };
        origin.interventions.pairs_before(len, origin.timeline, &self.interventions, own)
    }

    /// What the interventions of `origin` have done to its first `len` positions.
    fn ledger(&self, origin: Origin<'_>, len: usize, block: usize) -> Ledger {
        let pairs = self.pairs(origin, len).unwrap_or_default();
        Ledger::of_blocks(&self.counts[..len / block], &pairs, origin.interventions.len())
    }
}
