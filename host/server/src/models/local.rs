//! A folder that is to be known as a model.

use std::path::PathBuf;

use crate::{
    error::ApiError,
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
    use crate::error::Kind;

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
