//! Everything that is checked of a plugin before any of its code runs.

use std::{
    fs::{self, Metadata},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    elf::Note,
    hashes::sha256,
    manifest::{self, Manifest},
    ownership,
    regular_file::{RegularFile, unreadable},
    rejection::Rejection,
    trust::Authority,
};

/// Far more than a library that links a CUDA runtime.
const MAX_LIBRARY_BYTES: u64 = 1 << 30;

/// One of the checks, in the order in which they are made.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The plugin's folder is really in the folder of plugins.
    Folder,
    /// `plugin.toml` is really in the plugin's folder, and says what it should.
    Manifest,
    /// The library is a file, is really in the plugin's folder, and is not too large.
    File,
    /// Only root and the user of this process can change the two folders, the manifest and the library.
    Ownership,
    /// The library's SHA-256 is allowed.
    Trust,
    /// It is an ELF shared object for this machine, and has what `export_plugin!` makes.
    Library,
    /// It was built for a compatible version of the plugin API.
    ApiVersion,
    /// Library and manifest state the same name and version.
    Agreement,
}

/// What became of a check that did not fail.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Passed,
    /// It needs something that an earlier check did not find.
    Skipped,
}

type Examine = fn(&mut Examination<'_>) -> Result<Step, Rejection>;

/// A plugin while it is examined, and what is known of it so far.
pub(crate) struct Examination<'a> {
    search: &'a Path,
    folder: &'a Path,
    authority: Authority<'a>,
    pub(crate) facts: Facts,
    /// Of the manifest that was read.
    manifest: Option<Metadata>,
    file: Option<RegularFile>,
    bytes: Option<Vec<u8>>,
}

/// What is known of a plugin without running it. What could not be read is `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) manifest: Option<Manifest>,
    pub(crate) sha256: Option<String>,
    pub(crate) note: Option<Note>,
}

/// A plugin that passed every check.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) manifest: Manifest,
    pub(crate) note: Note,
    pub(crate) sha256: String,
    /// Where the library lay. What runs is a copy of `bytes`, not what lies there by then.
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

impl<'a> Examination<'a> {
    /// Of the plugin in `folder`, which was found in the folder `search`.
    pub(crate) fn new(search: &'a Path, folder: &'a Path, authority: Authority<'a>) -> Self {
        Self { search, folder, authority, facts: Facts::default(), manifest: None, file: None, bytes: None }
    }

    /// The checks in their order. Opening a library runs its constructors, so all of them come before that.
    pub(crate) const CHECKS: [(Check, Examine); 8] = [
        (Check::Folder, |this| this.check_folder()),
        (Check::Manifest, |this| this.check_manifest()),
        (Check::File, |this| this.check_file()),
        (Check::Ownership, |this| this.check_ownership()),
        (Check::Trust, |this| this.check_trust()),
        (Check::Library, |this| this.check_library()),
        (Check::ApiVersion, |this| this.check_api_version()),
        (Check::Agreement, |this| this.check_agreement()),
    ];

    /// Makes every check until one fails. What was learned before is in [`facts`](Self::facts) either way.
    pub(crate) fn pass(&mut self) -> Result<Examined, Rejection> {
        for (_, check) in Self::CHECKS {
            check(self)?;
        }
        let Facts { manifest: Some(manifest), sha256: Some(sha256), note: Some(note) } = self.facts.clone() else {
            unreachable!("a check is skipped only after one that failed")
        };
        let path = self.folder.join(&manifest.entry);
        Ok(Examined { manifest, note, sha256, path, bytes: self.bytes.take().unwrap_or_default() })
    }

    fn check_folder(&mut self) -> Result<Step, Rejection> {
        let search = resolve(self.search)?;
        inside(self.folder, &resolve(self.folder)?, &search)
    }

    fn check_manifest(&mut self) -> Result<Step, Rejection> {
        let path = self.folder.join(manifest::FILE_NAME);
        inside(&path, &resolve(&path)?, &resolve(self.folder)?)?;
        let file = RegularFile::open(&path, manifest::MAX_BYTES)?;
        self.manifest = Some(file.metadata().clone());
        self.facts.manifest = Some(Manifest::parse(file)?);
        Ok(Step::Passed)
    }

    fn check_file(&mut self) -> Result<Step, Rejection> {
        let Some(manifest) = &self.facts.manifest else { return Ok(Step::Skipped) };
        let path = self.folder.join(&manifest.entry);
        inside(&path, &resolve(&path)?, &resolve(self.folder)?)?;
        self.file = Some(RegularFile::open(&path, MAX_LIBRARY_BYTES)?);
        Ok(Step::Passed)
    }

    fn check_ownership(&mut self) -> Result<Step, Rejection> {
        for path in [self.search, self.folder] {
            let metadata = fs::metadata(path).map_err(|error| unreadable(path, error))?;
            ownership::check(path, &metadata)?;
        }
        if let Some(metadata) = &self.manifest {
            ownership::check(&self.folder.join(manifest::FILE_NAME), metadata)?;
        }
        let Some(file) = &self.file else { return Ok(Step::Skipped) };
        ownership::check(file.path(), file.metadata())?;
        Ok(Step::Passed)
    }

    fn check_trust(&mut self) -> Result<Step, Rejection> {
        let Some(file) = self.file.take() else { return Ok(Step::Skipped) };
        let path = file.path().to_owned();
        let bytes = self.bytes.insert(file.read()?);
        let sha256 = self.facts.sha256.insert(sha256(bytes));
        self.authority.check(&path, sha256)?;
        Ok(Step::Passed)
    }

    fn check_library(&mut self) -> Result<Step, Rejection> {
        let Some(bytes) = &self.bytes else { return Ok(Step::Skipped) };
        self.facts.note = Some(Note::read(&self.entry(), bytes)?);
        Ok(Step::Passed)
    }

    fn check_api_version(&mut self) -> Result<Step, Rejection> {
        let Some(note) = &self.facts.note else { return Ok(Step::Skipped) };
        note.check_api(&self.entry())?;
        Ok(Step::Passed)
    }

    fn check_agreement(&mut self) -> Result<Step, Rejection> {
        let (Some(manifest), Some(note)) = (&self.facts.manifest, &self.facts.note) else { return Ok(Step::Skipped) };
        for (what, manifest, library) in
            [("name", &manifest.name, &note.name), ("version", &manifest.version, &note.version)]
        {
            if manifest != library {
                let (manifest, library) = (manifest.clone(), library.clone());
                return Err(Rejection::Disagreement { what, path: self.entry(), manifest, library });
            }
        }
        Ok(Step::Passed)
    }

    fn entry(&self) -> PathBuf {
        let entry = self.facts.manifest.as_ref().map_or("", |manifest| &manifest.entry);
        self.folder.join(entry)
    }
}

/// `path` without symbolic links.
fn resolve(path: &Path) -> Result<PathBuf, Rejection> {
    path.canonicalize().map_err(|error| unreadable(path, error))
}

fn inside(path: &Path, leads_to: &Path, folder: &Path) -> Result<Step, Rejection> {
    if leads_to.parent() == Some(folder) {
        return Ok(Step::Passed);
    }
    Err(Rejection::Outside { path: path.to_owned(), leads_to: leads_to.to_owned(), folder: folder.to_owned() })
}
