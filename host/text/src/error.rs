use std::path::PathBuf;

/// Why a model's text files cannot be used, or a text cannot become tokens.
///
/// Every message is one line and names the file, since the reader is usually looking at a folder they downloaded.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// A file that no model can do without is not in the folder.
    #[error("{} is missing", path.display())]
    Missing {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// The file is there but cannot be read, or is not UTF-8.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not JSON. A truncated download ends here.
    #[error("{} is not valid JSON: {reason}", path.display())]
    BrokenJson {
        /// The file.
        path: PathBuf,
        /// The parser's reason, with line and column.
        reason: String,
    },
    /// The file is JSON, but one field has a type we cannot use.
    #[error("`{field}` in {} must be {expected}", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The field's name; a path such as `text_config.eos_token_id` where it is nested.
        field: String,
        /// The accepted types, in words.
        expected: &'static str,
    },
    /// The file is JSON, but not a tokenizer that the `tokenizers` crate can build.
    #[error("{} is not a usable tokenizer: {reason}", path.display())]
    InvalidTokenizer {
        /// The file.
        path: PathBuf,
        /// The reason given by the `tokenizers` crate.
        reason: String,
    },
    /// The chat template does not compile.
    #[error("chat template in {}, line {line}: {reason}", path.display())]
    TemplateSyntax {
        /// The file that holds the template, which may be a JSON file.
        path: PathBuf,
        /// Line within the template's own text, from 1.
        line: usize,
        /// What the template parser expected.
        reason: String,
    },
    /// The tokenizer refused a text, for instance because its vocabulary has no unknown token.
    #[error("cannot tokenize the text: {reason}")]
    Encode {
        /// The reason given by the `tokenizers` crate.
        reason: String,
    },
    /// The tokenizer's decoder failed, which only a regular expression in it can do.
    #[error("cannot turn tokens into text: {reason}")]
    Decode {
        /// The reason given by the `tokenizers` crate.
        reason: String,
    },
    /// An empty stop string would end every text before it begins.
    #[error("stop string {index} is empty")]
    EmptyStopString {
        /// Its position in the list of the request, from 0.
        index: usize,
    },
}

/// Why a chat could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The template itself refused the chat with `raise_exception`, for instance because roles do not alternate. The
    /// message is written for the client.
    #[error("{0}")]
    Raised(String),
    /// The final message cannot be continued.
    #[error("cannot continue the final message: {0}")]
    CannotContinue(&'static str),
    /// The template failed on this chat, or exceeded its limits.
    #[error("the chat template failed: {0}")]
    Render(String),
}

/// `reason` on one line: errors end up in log lines and in JSON messages.
pub(crate) fn one_line(reason: impl ToString) -> String {
    reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
