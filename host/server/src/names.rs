//! What users may call things.

use crate::error::{ApiError, Kind};

/// Longer ids are a mistake, and too long for file names made of them.
const MAX_ID: usize = 255;

/// Refuses what cannot name a model, or an SAE.
pub(crate) fn check_id(id: &str) -> Result<(), ApiError> {
    let problem = match id {
        "" => "it is empty",
        "." | ".." => "clients take it for a folder in a URL",
        _ if id.len() > MAX_ID => "it is longer than 255 bytes",
        _ if id.contains('@') => "it contains '@', which separates a model from a profile; give it another 'id'",
        _ if id.chars().any(char::is_control) => "it contains a control character",
        _ if id.trim() != id => "it begins or ends with a space",
        _ => return Ok(()),
    };
    let shown: String = id.chars().take(100).collect();
    Err(ApiError::at(Kind::InvalidValue, "id", format!("Invalid 'id': '{shown}' cannot be a name: {problem}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_a_client_can_send_and_a_person_can_read() {
        for id in ["demo", "org/name", "modèle-α", "a b", &"a".repeat(255)] {
            assert_eq!(check_id(id), Ok(()), "{id}");
        }
        for id in ["", ".", "..", "a@b", "a\nb", " a", "a ", "a\0", &"a".repeat(256), &"é".repeat(300)] {
            let error = check_id(id).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (Kind::InvalidValue, Some("id")), "{id:?}");
        }
    }
}
