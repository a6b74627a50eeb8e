//! What is to be measured.

use crate::error::BenchError;

/// What is to be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Tokens of the prompt whose computation is timed. `None` takes 512, or what the context has room for.
    pub prompt_tokens: Option<usize>,
    /// Tokens that each sequence decodes after its first.
    pub generate_tokens: usize,
    /// Numbers of sequences that decode at once.
    pub sequences: Vec<u32>,
    /// How often everything is measured.
    pub repeats: usize,
}

impl Plan {
    /// Tokens of the prompt, if nobody says otherwise.
    pub const PROMPT_TOKENS: usize = 512;
    /// Tokens of the prompt before what is decoded, and of that whose first token is waited for.
    pub const CONTEXT: usize = 32;

    /// Says what is wrong with it, whatever the model.
    ///
    /// # Errors
    ///
    /// [`BenchError::Zero`], [`BenchError::NoSequences`].
    pub fn check(&self) -> Result<(), BenchError> {
        let zero = |what, number: usize| if number == 0 { Err(BenchError::Zero { what }) } else { Ok(()) };
        zero("prompt-tokens", self.prompt_tokens.unwrap_or(1))?;
        zero("generate-tokens", self.generate_tokens)?;
        zero("repeats", self.repeats)?;
        let fewest = self.sequences.iter().min().ok_or(BenchError::NoSequences)?;
        zero("every number of sequences", *fewest as usize)
    }

    /// Tokens of the timed prompt in a context of `n_ctx`, after which one token is drawn.
    pub(crate) fn prompt_tokens_in(&self, n_ctx: usize) -> Result<usize, BenchError> {
        let prompt_tokens = self.prompt_tokens.unwrap_or(Self::PROMPT_TOKENS.min(n_ctx.saturating_sub(1)).max(1));
        fits(prompt_tokens, 1, n_ctx).map(|()| prompt_tokens)
    }

    /// Checks that the sequences that decode fit into a context of `n_ctx`.
    pub(crate) fn check_decoding(&self, n_ctx: usize) -> Result<(), BenchError> {
        fits(Self::CONTEXT, self.generate_tokens.saturating_add(1), n_ctx)
    }
}

fn fits(prompt_tokens: usize, new_tokens: usize, n_ctx: usize) -> Result<(), BenchError> {
    if prompt_tokens.saturating_add(new_tokens) > n_ctx {
        return Err(BenchError::Context { prompt_tokens, new_tokens, n_ctx });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan { prompt_tokens: None, generate_tokens: 64, sequences: vec![1, 2], repeats: 5 }
    }

    #[test]
    fn a_plan_without_anything_to_measure_is_refused() {
        plan().check().unwrap();
        for (wrong, expected) in [
            (Plan { prompt_tokens: Some(0), ..plan() }, "prompt-tokens must be at least 1"),
            (Plan { generate_tokens: 0, ..plan() }, "generate-tokens must be at least 1"),
            (Plan { repeats: 0, ..plan() }, "repeats must be at least 1"),
            (Plan { sequences: vec![4, 0], ..plan() }, "every number of sequences must be at least 1"),
            (Plan { sequences: vec![], ..plan() }, "no number of sequences is named"),
        ] {
            assert_eq!(wrong.check().unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_prompt_that_nobody_named_is_cut_to_the_context_and_one_that_was_is_refused() {
        assert_eq!(plan().prompt_tokens_in(4096).unwrap(), 512);
        assert_eq!(plan().prompt_tokens_in(512).unwrap(), 511);
        let named = |tokens| Plan { prompt_tokens: Some(tokens), ..plan() };
        assert_eq!(named(511).prompt_tokens_in(512).unwrap(), 511);
        let message = named(512).prompt_tokens_in(512).unwrap_err().to_string();
        assert!(message.contains("prompt of 512 tokens with 1 after it") && message.contains("of 512;"), "{message}");
        plan().check_decoding(97).unwrap();
        assert!(plan().check_decoding(96).is_err());
        assert!(named(usize::MAX).prompt_tokens_in(512).is_err());
    }
}
