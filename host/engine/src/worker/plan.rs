use super::{Worker, choice::Choice};
use crate::stats::Counters;

/// A choice's part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Index into the running choices.
    pub(super) choice: usize,
    /// Rows it gets.
    pub(super) rows: usize,
}

/// A step that is being planned.
#[derive(Debug)]
struct Plan {
    page_tokens: usize,
    /// Pages that nobody has, less those that are planned.
    free: usize,
    /// Pages that the parts will take.
    planned: usize,
    parts: Vec<Part>,
}

impl Worker {
    /// Shares the next step out: a row for everyone who decodes, then chunks for those who prefill, as much as the pace
    /// allows. Takes pages back where they are needed, first from what is kept for later, then from younger choices, so
    /// that the oldest always moves.
    pub(super) fn plan(&mut self) -> Vec<Part> {
        let n_ctx_short = self.n_ctx_short();
        if let Some(n_ctx_short) = n_ctx_short {
            // Longer sequences are computed otherwise from their first position on, so these begin again.
            let outgrown = |choice: &&mut Choice| choice.has_outgrown(n_ctx_short);
            self.running.iter_mut().filter(outgrown).for_each(Choice::evict);
        }
        if self.config.cache_prompts {
            let ready = |choice: &&mut Choice| choice.can_emit() && choice.alone_until == 0;
            let adopted = |choice: &mut Choice| choice.adopt(&mut self.prefixes, n_ctx_short) as u64;
            let adopted = self.running.iter_mut().filter(ready).map(adopted).sum();
            Counters::add(&self.shared.counters.cached_tokens, adopted);
        }
        let Ok(usage) = self.model.pages() else {
            // The model is poisoned; a step will say so to everyone who waits for it.
            return (0..self.running.len()).take(1).map(|choice| Part { choice, rows: 1 }).collect();
        };
        let page_tokens = usage.page_tokens.max(1) as usize;
        let mut plan = Plan { page_tokens, free: usage.pages_free as usize, planned: 0, parts: Vec::new() };
        let (decoding, mut prefilling) = self.order();
        for choice in &decoding {
            self.place(*choice, 1, &mut plan);
        }
        let budget = self.pace.rows().saturating_sub(plan.parts.len()).max(self.pace.least());
        let remaining: Vec<usize> = prefilling.iter().map(|choice| self.running[*choice].remaining()).collect();
        let mut left = budget;
        for (choice, rows) in prefilling.iter().zip(self.share.rows(budget, &remaining)) {
            left = left.saturating_sub(self.place(*choice, rows, &mut plan));
        }
        // Who has no memory leaves its rows to the others, the oldest first, for whom memory can be made.
        prefilling.sort_unstable();
        for choice in prefilling {
            if plan.parts.iter().all(|part| part.choice != choice) {
                left = left.saturating_sub(self.place(choice, left, &mut plan));
            }
        }
        plan.parts.sort_unstable_by_key(|part| part.choice);
        plan.parts
    }

    /// Plans rows of a choice whose cost is up to `most`, as far as there are pages for them. Says what they cost.
    fn place(&mut self, choice: usize, most: usize, plan: &mut Plan) -> usize {
        if most == 0 {
            return 0;
        }
        loop {
            let spec = self.model.spec();
            let found = &self.running[choice];
            // Up to the end of its last page a choice needs no new one, unless it has to copy that page first.
            let (partial, shared) = (found.computed % plan.page_tokens, self.shares_page(choice));
            let room = if shared || partial == 0 { 0 } else { plan.page_tokens - partial };
            let copied = if shared { partial } else { 0 };
            let pages = |rows: usize| (rows + copied).saturating_sub(room).div_ceil(plan.page_tokens);
            let wanted = found.affordable(spec, found.remaining().min(most), most);
            let lacking = pages(wanted).saturating_sub(plan.free);
            if lacking > 0 && self.prefixes.shrink(lacking * plan.page_tokens) {
                self.count_pages(plan);
                continue;
            }
            let fitting = (room + plan.free * plan.page_tokens).saturating_sub(copied);
            let rows = wanted.min(fitting);
            if rows > 0 {
                plan.free -= pages(rows);
                plan.planned += pages(rows);
                plan.parts.push(Part { choice, rows });
                return found.cost(spec, rows);
            }
            let Some(victim) = self.victim(choice, &plan.parts) else { return 0 };
            self.running[victim].evict();
            self.note_preemption();
            self.count_pages(plan);
        }
    }

    /// Whether somebody holds the last page of `choice`, too: another choice of its request, since what is kept for others
    /// are whole pages.
    fn shares_page(&self, choice: usize) -> bool {
        let found = &self.running[choice];
        let shares = |other: &Choice| other.shares_page && other.sequence.is_some();
        let others = self.running.iter().enumerate().filter(|(index, _)| *index != choice);
        found.shares_page
            && others.map(|(_, other)| other).any(|other| other.request_id() == found.request_id() && shares(other))
    }

    fn count_pages(&self, plan: &mut Plan) {
        plan.free = self.model.pages().map_or(0, |now| now.pages_free as usize).saturating_sub(plan.planned);
    }

    /// Who decodes, in the order of admission, and who prefills, that of the least served client first. After a failed
    /// step its sequences are computed one at a time, before anyone else.
    fn order(&self) -> (Vec<usize>, Vec<usize>) {
        let ready = |choice: &usize| self.running[*choice].can_emit();
        let suspect = |choice: &usize| self.running[*choice].alone_until > 0;
        let all = 0..self.running.len();
        if let Some(choice) = all.clone().filter(ready).find(suspect) {
            return (Vec::new(), vec![choice]);
        }
        let (decoding, mut prefilling): (Vec<_>, Vec<_>) =
            all.filter(ready).partition(|choice| self.running[*choice].remaining() == 1);
        prefilling.sort_by_key(|choice| (self.queue.served(&self.running[*choice].request().client), *choice));
        (decoding, prefilling)
    }

    /// Whose pages to take for `choice`: of those not in this step, one whose reader stalls, else the youngest of those
    /// admitted after it. For one that is computed alone, the youngest of all: until it is done nobody else moves.
    fn victim(&self, choice: usize, parts: &[Part]) -> Option<usize> {
        let holds = |other: &usize| {
            let found = &self.running[*other];
            *other != choice && found.sequence.is_some() && parts.iter().all(|part| part.choice != *other)
        };
        let stalled = |other: &usize| !self.running[*other].can_emit();
        let others = || (0..self.running.len()).rev().filter(holds);
        let alone = self.running[choice].alone_until > 0;
        others().find(stalled).or_else(|| others().find(|other| alone || *other > choice))
    }
}
