//! A plugin's checks and their outcomes, for people.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{
    elf::Note,
    examination::{Check, Examination, Facts, Step},
    lossy,
    manifest::Manifest,
    trust::{Authority, Trust},
};

/// What can be said of a plugin without running it. Its model types cannot: the running plugin is asked for them.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The plugin's folder, without symbolic links.
    #[serde(serialize_with = "lossy::path")]
    pub folder: PathBuf,
    /// What its `plugin.toml` says, if that could be read.
    pub manifest: Option<Manifest>,
    /// SHA-256 of its library in lower-case hexadecimal, if that could be read.
    pub sha256: Option<String>,
    /// What the library says of itself, if it has a note.
    pub note: Option<Note>,
    /// Every check in its order. Those after a failed one are made as far as they can be.
    pub checks: Vec<(Check, Outcome)>,
}

/// What became of a check.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All is well.
    Passed,
    /// The plugin would be refused, for this reason.
    Failed(String),
    /// It needs something that an earlier check did not find.
    Skipped,
}

impl Inspection {
    /// Whether every check passed. Opening the library may still fail: the layout of its types is compared only then.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|(_, outcome)| *outcome == Outcome::Passed)
    }

    /// Whether nothing but trust is missing.
    pub fn only_untrusted(&self) -> bool {
        self.checks.iter().all(|(check, outcome)| (*outcome == Outcome::Passed) == (*check != Check::Trust))
    }
}

/// Makes every check of the plugin in `folder` that needs none of its code to run. `trust` is who would decide about it.
pub fn inspect(folder: &Path, trust: &dyn Trust) -> Inspection {
    // `.` has no parent, and a link to a plugin is as good as the plugin for somebody who only looks.
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let search = folder.parent().unwrap_or(&folder).to_owned();
    of(&search, &folder, Authority::Administrator(trust))
}

/// [`inspect`] for a plugin in the folder `search`, for which `authority` decides.
pub(crate) fn of(search: &Path, folder: &Path, authority: Authority<'_>) -> Inspection {
    let mut examination = Examination::new(search, folder, authority);
    let mut checks = Vec::new();
    for (check, examine) in Examination::CHECKS {
        let outcome = match examine(&mut examination) {
            Ok(Step::Passed) => Outcome::Passed,
            Ok(Step::Skipped) => Outcome::Skipped,
            Err(rejection) => Outcome::Failed(rejection.to_string()),
        };
        checks.push((check, outcome));
    }
    let Facts { manifest, sha256, note } = examination.facts;
    Inspection { folder: folder.to_owned(), manifest, sha256, note, checks }
}
