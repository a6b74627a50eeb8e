/// When a model's prompts begin with its BOS token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrependBos {
    /// Texts begin with it if the tokenizer says so; tokens are taken as they are.
    #[default]
    Auto,
    /// Only if a prompt has it already.
    Never,
    /// Texts and tokens do. To whoever sent tokens it is not shown.
    Always,
}

impl PrependBos {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Never, Self::Always];

    /// As it is stored, and written in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Never => "never",
            Self::Always => "always",
        }
    }

    /// The one of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}
