/// What a model puts around its reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasoningTags {
    /// Before it. Some templates write it at the end of the prompt already.
    pub open: &'static str,
    /// After it.
    pub close: &'static str,
}

impl ReasoningTags {
    /// Of DeepSeek and Qwen, and of most others.
    pub const THINK: Self = Self { open: "<think>", close: "</think>" };
    /// Of Mistral.
    const MISTRAL: Self = Self { open: "[THINK]", close: "[/THINK]" };

    /// Those that a chat template knows. It has to: reasoning is left out of what was said before, or put back in.
    pub(crate) fn of(template: &str) -> Option<Self> {
        [Self::THINK, Self::MISTRAL].into_iter().find(|tags| template.contains(tags.close))
    }

    /// Whether a text ends within reasoning that has only begun: in an opening tag and nothing behind it.
    pub fn are_open_at_end_of(self, prompt: &str) -> bool {
        prompt.trim_end().ends_with(self.open)
    }

    /// Whether a text is reasoning that has not ended, from its beginning on.
    pub fn are_open_in(self, text: &str) -> bool {
        text.trim_start().starts_with(self.open) && !text.contains(self.close)
    }
}
