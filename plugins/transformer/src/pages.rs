//! KV memory in pages, and the sequences that hold them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millm_plugin_api::{ErrorKind, PageUsage, PluginError, Result, Sequence};

/// Positions per page: small enough that a short sequence wastes little, large enough that tables stay short.
pub(crate) const PAGE_TOKENS: usize = 16;

/// The KV memory of one model. Clones are handles to it.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pages: Arc<Mutex<Pages>>,
}

/// Keys and values of all pages, and who holds which.
#[derive(Debug)]
pub(crate) struct Pages {
    /// Per layer, `[pages, PAGE_TOKENS, width]`.
    pub(crate) k: Vec<Vec<f32>>,
    /// As `k`.
    pub(crate) v: Vec<Vec<f32>>,
    /// `n_key_value_heads · d_head`.
    width: usize,
    /// How many sequences hold each page.
    holders: Vec<u32>,
    free: Vec<u32>,
}

impl Pool {
    /// At most `bytes` of memory, at least one page, no more than `useful` pages.
    pub(crate) fn new(n_layers: usize, width: usize, bytes: u64, useful: u64) -> Self {
        let page_bytes = page_bytes(n_layers, width) as u64;
        let count = (bytes / page_bytes).clamp(1, useful.clamp(1, u64::from(u32::MAX))) as usize;
        // The system hands zeroed memory out when it is first touched, so pages that are never used cost nothing.
        let slabs = || (0..n_layers).map(|_| vec![0.0; count * PAGE_TOKENS * width]).collect();
        let pages = Pages {
            k: slabs(),
            v: slabs(),
            width,
            holders: vec![0; count],
            // Taken from the end: low pages first.
            free: (0..count as u32).rev().collect(),
        };
        Self { pages: Arc::new(Mutex::new(pages)) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Pages> {
        // A step that panicked leaves wrong numbers in the pages of its own sequences, which are then dropped. Who
        // holds which page is changed by code that does not panic.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn usage(&self) -> PageUsage {
        let pages = self.lock();
        PageUsage {
            page_tokens: PAGE_TOKENS as u32,
            pages_total: pages.holders.len() as u32,
            pages_free: pages.free.len() as u32,
        }
    }
}

fn page_bytes(n_layers: usize, width: usize) -> usize {
    2 * n_layers * PAGE_TOKENS * width * size_of::<f32>()
}

impl Pages {
    /// Pages that `sequence` needs anew to grow by `rows`: those it lacks, and a copy of its last one if others hold it.
    fn needed(&self, sequence: &PagedSequence, rows: usize) -> usize {
        let grown = (sequence.len + rows).div_ceil(PAGE_TOKENS);
        grown - sequence.table.len() + usize::from(self.shares_last(sequence))
    }

    /// Whether the next row would be written into a page that others hold, too.
    fn shares_last(&self, sequence: &PagedSequence) -> bool {
        let last = sequence.table.last().filter(|_| !sequence.len.is_multiple_of(PAGE_TOKENS));
        last.is_some_and(|page| self.holders[*page as usize] > 1)
    }

    /// Makes room for `rows` more positions of every sequence, or changes nothing.
    ///
    /// # Errors
    ///
    /// `OUT_OF_PAGES`.
    pub(crate) fn reserve<'a>(&mut self, growing: impl Iterator<Item = (&'a mut PagedSequence, usize)>) -> Result<()> {
        let mut growing: Vec<_> = growing.collect();
        let needed: usize = growing.iter().map(|(sequence, rows)| self.needed(sequence, *rows)).sum();
        if needed > self.free.len() {
            let message = format!("{needed} KV pages are needed and {} are free", self.free.len());
            return Err(PluginError::new(ErrorKind::OUT_OF_PAGES, message));
        }
        for (sequence, rows) in &mut growing {
            if self.shares_last(sequence) {
                self.unshare_last(sequence);
            }
            while sequence.table.len() < (sequence.len + *rows).div_ceil(PAGE_TOKENS) {
                let page = self.take();
                sequence.table.push(page);
            }
        }
        Ok(())
    }

    fn take(&mut self) -> u32 {
        let page = self.free.pop().expect("as many pages were counted as are taken");
        self.holders[page as usize] = 1;
        page
    }

    fn unshare_last(&mut self, sequence: &mut PagedSequence) {
        let copy = self.take();
        let Some(last) = sequence.table.last_mut() else { return };
        let shared = std::mem::replace(last, copy);
        let size = PAGE_TOKENS * self.width;
        for slab in self.k.iter_mut().chain(&mut self.v) {
            slab.copy_within(shared as usize * size..(shared as usize + 1) * size, copy as usize * size);
        }
        self.release(shared);
    }

    fn release(&mut self, page: u32) {
        let holders = &mut self.holders[page as usize];
        *holders -= 1;
        if *holders == 0 {
            self.free.push(page);
        }
    }

    /// Writes keys and values of consecutive positions from `start` on, `[rows, width]` each, into the pages of `table`.
    pub(crate) fn write(&mut self, layer: usize, table: &[u32], start: usize, k: &[f32], v: &[f32]) {
        let width = self.width;
        for (slab, rows) in [(&mut self.k[layer], k), (&mut self.v[layer], v)] {
            for (position, row) in (start..).zip(rows.chunks_exact(width)) {
                let page = table[position / PAGE_TOKENS] as usize;
                let place = (page * PAGE_TOKENS + position % PAGE_TOKENS) * width;
                slab[place..place + width].copy_from_slice(row);
            }
        }
    }
}

/// A sequence of a [`Transformer`](crate::Transformer): a table of pages.
#[derive(Debug)]
pub struct PagedSequence {
    pool: Pool,
    pub(crate) table: Vec<u32>,
    pub(crate) len: usize,
    /// Whether it turns by the frequencies of long contexts. Fixed, since its keys have.
    pub(crate) long: bool,
}

impl PagedSequence {
    pub(crate) fn new(pool: Pool, long: bool) -> Self {
        Self { pool, table: Vec::new(), len: 0, long }
    }
}

impl Sequence for PagedSequence {
    fn len(&self) -> usize {
        self.len
    }

    fn truncate(&mut self, len: usize) {
        self.len = len;
        let mut pages = self.pool.lock();
        for page in self.table.drain(len.div_ceil(PAGE_TOKENS)..) {
            pages.release(page);
        }
    }

    fn fork(&self, len: usize) -> Result<Self> {
        let table = self.table[..len.div_ceil(PAGE_TOKENS)].to_vec();
        let mut pages = self.pool.lock();
        for page in &table {
            pages.holders[*page as usize] += 1;
        }
        drop(pages);
        Ok(Self { pool: self.pool.clone(), table, len, long: self.long })
    }

    fn bytes(&self) -> usize {
        let pages = self.pool.lock();
        self.table.len() * page_bytes(pages.k.len(), pages.width)
    }
}

impl Drop for PagedSequence {
    fn drop(&mut self) {
        self.truncate(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grow(pool: &Pool, sequence: &mut PagedSequence, rows: usize) -> Result<()> {
        pool.lock().reserve([(&mut *sequence, rows)].into_iter())?;
        sequence.len += rows;
        Ok(())
    }

    fn free(pool: &Pool) -> u32 {
        pool.usage().pages_free
    }

    #[test]
    fn pages_are_taken_shared_copied_and_given_back() {
        let pool = Pool::new(1, 2, page_bytes(1, 2) as u64 * 5, 100);
        let mut first = PagedSequence::new(pool.clone(), false);
        grow(&pool, &mut first, PAGE_TOKENS + 3).unwrap();
        assert_eq!((free(&pool), first.bytes()), (3, 2 * page_bytes(1, 2)));
        let rows: Vec<f32> = (0..2 * (PAGE_TOKENS + 3)).map(|i| i as f32).collect();
        let table = first.table.clone();
        pool.lock().write(0, &table, 0, &rows, &rows);
        // A fork takes nothing until it writes; then only the page it writes to is copied.
        let mut second = first.fork(PAGE_TOKENS + 2).unwrap();
        assert_eq!(free(&pool), 3);
        grow(&pool, &mut second, 1).unwrap();
        assert_eq!(free(&pool), 2);
        assert_eq!(first.table[0], second.table[0]);
        assert_ne!(first.table[1], second.table[1]);
        let (old, new) = (first.table[1] as usize * PAGE_TOKENS * 2, second.table[1] as usize * PAGE_TOKENS * 2);
        let pages = pool.lock();
        assert_eq!(pages.k[0][old..old + 4], pages.k[0][new..new + 4]);
        assert_eq!(pages.k[0][new], rows[PAGE_TOKENS * 2]);
        drop(pages);
        // The first is alone on its last page now and writes without a copy.
        grow(&pool, &mut first, 1).unwrap();
        assert_eq!(free(&pool), 2);
        second.truncate(PAGE_TOKENS);
        assert_eq!(free(&pool), 3);
        drop(first);
        assert_eq!(free(&pool), 4);
        drop(second);
        assert_eq!(free(&pool), 5);
    }

    #[test]
    fn a_step_that_does_not_fit_takes_nothing() {
        let pool = Pool::new(1, 2, page_bytes(1, 2) as u64 * 2, 100);
        let (mut first, mut second) =
            (PagedSequence::new(pool.clone(), false), PagedSequence::new(pool.clone(), false));
        let growing = [(&mut first, PAGE_TOKENS), (&mut second, PAGE_TOKENS + 1)];
        let error = pool.lock().reserve(growing.into_iter()).unwrap_err();
        assert_eq!((error.kind, free(&pool)), (ErrorKind::OUT_OF_PAGES, 2));
    }
}
