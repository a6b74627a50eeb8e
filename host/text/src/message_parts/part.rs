/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// More of what is said to the reader.
    Content(String),
    /// More of what was thought before.
    Reasoning(String),
    /// A whole call.
    Call {
        /// Of a function that may be called.
        name: String,
        /// A JSON object, letter by letter as the model wrote it.
        arguments: String,
    },
}

/// Adds `text` to the parts, if there is any.
pub(super) fn add(out: &mut Vec<Part>, text: &str, kind: fn(String) -> Part) {
    if text.is_empty() {
        return;
    }
    match (out.last_mut(), kind(text.to_owned())) {
        (Some(Part::Content(last)), Part::Content(more)) | (Some(Part::Reasoning(last)), Part::Reasoning(more)) => {
            *last += &more;
        }
        (_, part) => out.push(part),
    }
}
