//! A folder that is to be known as a model: what it may be called, and whether there is a model in it.

use std::path::PathBuf;

use crate::{
    error::{ApiError, Kind},
    local_folder::{local_folder, refused},
};

/// A folder to make known as a model.
#[derive(Clone, Debug)]
pub(crate) struct NewLocalModel {
    /// Absolute.
    pub(crate) local_path: String,
    /// The folder's name if there is none.
    pub(crate) id: Option<String>,
}

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

/// The folder at `path`, if a model can be in it.
pub(super) fn local_model(path: &str) -> Result<PathBuf, ApiError> {
    let folder = local_folder("local_path", path)?;
    match millm_loader::model_type::read(&folder) {
        Ok(_) => Ok(folder),
        Err(error) => Err(refused("local_path", path, &format!("holds no model: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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

    #[test]
    fn a_path_leads_to_a_folder_with_a_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir(path("empty")).unwrap();
        fs::create_dir(path("model")).unwrap();
        fs::write(path("model/config.json"), "{\"model_type\": \"llama\"}").unwrap();
        assert!(local_model(&path("model")).is_ok());
        for (wrong, mention) in [
            ("relative".to_owned(), "absolute"),
            (String::new(), "absolute"),
            ("/".into(), "name the folder"),
            (path("model/../model"), "'..'"),
            (path("none"), "cannot be opened"),
            (path("model/config.json"), "is not a folder"),
            (path("empty"), "config.json"),
            ("/dev/null".into(), "is not a folder"),
            (format!("/{}", "a".repeat(5000)), "longer"),
            ("/a\0b".into(), "absolute"),
        ] {
            let error = local_model(&wrong).unwrap_err();
            assert_eq!(error.kind, Kind::InvalidLocalPath);
            assert!(error.message.contains(mention) && error.message.len() < 600, "{}", error.message);
        }
    }
}
