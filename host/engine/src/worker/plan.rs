use super::{Worker, choice::Choice};

/// A choice's part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Index into the running choices.
    pub(super) choice: usize,
    /// Rows it gets.
    pub(super) rows: usize,
}

impl Worker {
    /// Shares the next step's budget out, in the order of admission: first a row for everyone who decodes, then chunks
    /// for those who prefill. Takes pages back from younger choices where an older one needs them, so that the oldest
    /// always moves.
    pub(super) fn plan(&mut self) -> Vec<Part> {
        if let Some(n_ctx_short) = self.model.spec().n_ctx_short {
            // Longer sequences are computed otherwise from their first position on, so these begin again.
            let outgrown = |choice: &&mut Choice| choice.has_outgrown(n_ctx_short as usize);
            self.running.iter_mut().filter(outgrown).for_each(Choice::evict);
        }
        let Ok(usage) = self.model.pages() else {
            // The model is poisoned; a step will say so to everyone who waits for it.
            return (0..self.running.len()).take(1).map(|choice| Part { choice, rows: 1 }).collect();
        };
        let page_tokens = usage.page_tokens.max(1) as usize;
        let mut free = usage.pages_free as usize;
        let mut planned = 0;
        let mut budget = self.config.step_tokens.max(1);
        let mut parts: Vec<Part> = Vec::new();
        for choice in self.order() {
            if budget == 0 {
                break;
            }
            loop {
                let found = &self.running[choice];
                // Up to the end of its last page a choice needs no new one, unless it has to copy that page first.
                let partial = found.computed % page_tokens;
                let room = if found.shares_page || partial == 0 { 0 } else { page_tokens - partial };
                let copied = if found.shares_page { partial } else { 0 };
                let fitting = (room + free * page_tokens).saturating_sub(copied);
                let rows = found.affordable(self.model.spec(), found.remaining().min(fitting), budget);
                if rows > 0 {
                    let pages = (rows + copied).saturating_sub(room).div_ceil(page_tokens);
                    free -= pages;
                    planned += pages;
                    budget = budget.saturating_sub(found.cost(self.model.spec(), rows));
                    parts.push(Part { choice, rows });
                    break;
                }
                let Some(victim) = self.victim(choice, &parts) else { break };
                self.running[victim].evict();
                tracing::debug!(victim, "a sequence's KV pages were taken back");
                free = self.model.pages().map_or(0, |now| now.pages_free as usize).saturating_sub(planned);
            }
        }
        parts.sort_unstable_by_key(|part| part.choice);
        parts
    }

    /// Who is considered, and when. After a failed step its sequences are computed one at a time, before anyone else.
    fn order(&self) -> Vec<usize> {
        let ready = |choice: &usize| self.running[*choice].can_emit();
        let suspect = |choice: &usize| self.running[*choice].alone_until > 0;
        let all = 0..self.running.len();
        if let Some(choice) = all.clone().filter(ready).find(suspect) {
            return vec![choice];
        }
        let (mut order, prefills): (Vec<_>, Vec<_>) =
            all.filter(ready).partition(|choice| self.running[*choice].remaining() == 1);
        order.extend(prefills);
        order
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
