use std::sync::Arc;

use millm_plugin_api::PluginError;

use super::Choice;
use crate::{
    interventions::Timeline,
    worker::prefixes::{Forked, Origin, Prefixes},
};

/// What a choice shares with those who begin alike.
impl Choice {
    /// Takes over what others have computed of the same beginning, if it has nothing yet. Says how many positions it
    /// need not compute for the first time.
    pub(in crate::worker) fn adopt(&mut self, prefixes: &mut Prefixes, n_ctx_short: Option<usize>) -> usize {
        if self.sequence.is_some() || !self.shared.request.cache_prompt {
            return 0;
        }
        let most = if self.read { self.tokens.len() - 1 } else { self.shared.request.first_seen() };
        let long = n_ctx_short.is_some_and(|short| self.tokens.len() > short);
        let request = &self.shared.request;
        let timeline = Timeline { tokens: &self.tokens, prompt_len: request.prompt.len() };
        let origin = Origin { timeline, interventions: &request.interventions, ledger: &self.ledger, long };
        let found = prefixes.fork(origin, most);
        let computed = found.as_ref().map_or(0, |found| found.len);
        if let Some(Forked { sequence, len, ledger }) = found {
            self.sequence = Some(sequence);
            self.expected = self.tokens.len();
            self.computed = len;
            if self.reached == 0 {
                self.ledger = ledger;
            }
        }
        if self.reached == 0 {
            self.cached = computed;
        }
        let new = computed.saturating_sub(self.reached);
        self.reached += new;
        new
    }

    /// Leaves what it has computed of its prompt for others, and goes on.
    pub(in crate::worker) fn leave_prompt(&self, prefixes: &mut Prefixes, n_ctx_short: Option<usize>) {
        let Some(sequence) = self.sequence.as_ref().filter(|_| self.shared.request.cache_prompt) else { return };
        let prompt = self.shared.request.prompt.len().min(self.computed);
        prefixes.keep_copy(self.origin(prompt, n_ctx_short), sequence);
    }

    /// Leaves all that it has computed for others.
    pub(in crate::worker) fn leave(mut self, prefixes: &mut Prefixes, n_ctx_short: Option<usize>) {
        let Some(sequence) = self.sequence.take().filter(|_| self.shared.request.cache_prompt) else { return };
        prefixes.keep(self.origin(self.computed, n_ctx_short), sequence);
    }

    /// What its first `len` positions come from.
    fn origin(&self, len: usize, n_ctx_short: Option<usize>) -> Origin<'_> {
        let long = n_ctx_short.is_some_and(|short| self.expected > short);
        let request = &self.shared.request;
        let timeline = Timeline { tokens: &self.tokens[..len], prompt_len: request.prompt.len() };
        Origin { timeline, interventions: &request.interventions, ledger: &self.ledger, long }
    }

    /// The siblings that are due, now that the prompt is computed: forks of this choice, in order of their index.
    ///
    /// # Errors
    ///
    /// If the model cannot hold them.
    pub(in crate::worker) fn fork_siblings(&mut self) -> Result<Vec<Self>, PluginError> {
        let count = std::mem::take(&mut self.siblings);
        let mut siblings = Vec::with_capacity(count as usize);
        let Some(sequence) = self.sequence.as_ref().filter(|_| count > 0) else { return Ok(siblings) };
        for index in 1..=count {
            let mut sibling = Self::new(Arc::clone(&self.shared), index, 0, self.tokenizer.clone(), self.block);
            sibling.sequence = Some(sequence.fork(self.computed)?);
            sibling.expected = self.expected;
            (sibling.computed, sibling.reached, sibling.cached) = (self.computed, self.computed, self.cached);
            sibling.ledger = self.ledger.clone();
            sibling.shares_page = true;
            siblings.push(sibling);
        }
        self.shares_page = true;
        Ok(siblings)
    }
}
