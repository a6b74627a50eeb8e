use crate::error::one_line;

/// Why there is no grammar for what somebody asked for. Every message is one line and written for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// Compiling it could take too long.
    #[error("it has {found} bytes, and at most {limit} are supported")]
    TooLarge {
        /// Its length; that of a schema without white space.
        found: usize,
        /// The longest that is compiled.
        limit: usize,
    },
    /// Compiling it could take too much memory.
    #[error("it is nested more than {limit} brackets deep")]
    TooDeep {
        /// The deepest that is compiled.
        limit: usize,
    },
    /// A list of choices that leaves nothing to choose.
    #[error("there is nothing to choose from")]
    NoChoice,
    /// The compiler's own options, as llguidance reads them in a schema, are not a client's to set.
    #[error("'x-guidance' is not supported; a keyword that cannot be enforced is refused instead of being ignored")]
    CompilerOptions,
    /// llama.cpp's grammars have another syntax.
    #[error(
        "this is GBNF ('::='), which is not supported; write it in Lark syntax ('start: ...'), as llguidance reads it"
    )]
    Gbnf,
    /// It is no grammar, or asks for something that cannot be enforced.
    #[error("{reason}")]
    Refused {
        /// The compiler's reason.
        reason: String,
    },
    /// The model's tokenizer rewrites text after the fact, so that no token has bytes of its own.
    #[error("the tokens of this model have no bytes of their own, so no grammar can be enforced")]
    Tokenizer,
    /// A fault of this host.
    #[error("the grammar could not be compiled: {reason}")]
    Internal {
        /// What failed.
        reason: String,
    },
}

impl GrammarError {
    pub(super) fn refused(reason: &str) -> Self {
        Self::Refused { reason: for_clients(reason) }
    }
}

/// Why a text cannot go on within its grammar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the grammar cannot be followed any further: {reason}")]
pub struct ConstraintError {
    /// What the parser said; often that its work for a single token had no end in sight.
    pub reason: String,
}

impl ConstraintError {
    pub(super) fn new(reason: &impl ToString) -> Self {
        Self { reason: for_clients(&reason.to_string()) }
    }
}

/// What llguidance said, on one line and without what it adds, behind a tag, for its own developers.
fn for_clients(reason: &str) -> String {
    const TAGS: [&str; 3] = ["<non-verbose/>", "<backtrace>", "<state>"];
    let told = TAGS.iter().fold(reason, |told, tag| told.split(tag).next().unwrap_or_default());
    if told.starts_with("panic: ") { "the compiler failed on it".to_owned() } else { shorten(&one_line(told)) }
}

/// `reason` without its middle, if it is long: what it complains of comes first, and why comes last.
fn shorten(reason: &str) -> String {
    const KEPT: usize = 200;
    let count = reason.chars().count();
    if count <= 2 * KEPT {
        return reason.to_owned();
    }
    let (first, last) = (reason.chars().take(KEPT), reason.chars().skip(count - KEPT));
    first.chain(" ... ".chars()).chain(last).collect()
}
