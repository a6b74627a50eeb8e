use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    ops::Deref,
    path::{Path, PathBuf},
};

use memmap2::Mmap;
use millm_plugin_api::TensorRef;

use crate::{
    archive::Archive,
    error::{ContainerError, Reason},
    gguf::{self, Gguf},
    npz::Npz,
    safetensors::Safetensors,
    torch::Torch,
};

/// A file of named tensors, mapped or in memory.
pub struct Container {
    path: PathBuf,
    bytes: Bytes,
    kind: Kind,
}

enum Bytes {
    Mapped(Mmap),
    Read(Vec<u8>),
}

enum Kind {
    Gguf(Gguf),
    Safetensors(Safetensors),
    Npz(Npz),
    Torch(Torch),
}

/// As many names as an error lists.
const NAMES_IN_ERRORS: usize = 20;

impl Container {
    /// Maps the file and reads its list of contents.
    ///
    /// # Errors
    /// The file cannot be read, is none of a known kind, or breaks the rules of its kind.
    pub fn open(path: &Path) -> Result<Self, ContainerError> {
        let io = |source| ContainerError::Io { path: path.to_owned(), source };
        let invalid = |reason: String| ContainerError::Invalid { path: path.to_owned(), reason };
        let file = File::open(path).map_err(io)?;
        if !file.metadata().map_err(io)?.is_file() {
            return Err(invalid("it is not a file".to_owned()));
        }
        #[expect(unsafe_code, reason = "a map shows what others write to the file")]
        // SAFETY: as with every mapped weight file, whoever changes it while it is in use gets other numbers or a signal;
        // nothing here relies on two reads of it being the same.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let kind = Kind::of(&map).map_err(invalid)?;
        Ok(Self { path: path.to_owned(), bytes: Bytes::Mapped(map), kind })
    }

    /// Reads the list of contents of a file whose bytes are in memory; `path` only names it in errors.
    ///
    /// # Errors
    /// It is none of a known kind, or breaks the rules of its kind.
    pub fn of(path: &Path, bytes: Vec<u8>) -> Result<Self, ContainerError> {
        let invalid = |reason: String| ContainerError::Invalid { path: path.to_owned(), reason };
        let kind = Kind::of(&bytes).map_err(invalid)?;
        Ok(Self { path: path.to_owned(), bytes: Bytes::Read(bytes), kind })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all tensors, in the order of the alphabet.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names: Box<dyn Iterator<Item = &str>> = match &self.kind {
            Kind::Gguf(file) => Box::new(file.names()),
            Kind::Safetensors(file) => Box::new(file.names()),
            Kind::Npz(file) => Box::new(file.names()),
            Kind::Torch(file) => Box::new(file.names()),
        };
        names
    }

    /// Whether there is a tensor of that name.
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// What the file says beside its tensors: the metadata of safetensors and GGUF, lists excepted, and the texts and numbers of
    /// a PyTorch file.
    pub fn texts(&self) -> &BTreeMap<String, String> {
        const NONE: &BTreeMap<String, String> = &BTreeMap::new();
        match &self.kind {
            Kind::Gguf(file) => file.texts(),
            Kind::Safetensors(file) => file.texts(),
            Kind::Torch(file) => file.texts(),
            Kind::Npz(_) => NONE,
        }
    }

    /// A view of a tensor. One that is compressed is taken out into memory when it is first asked for, and stays there.
    ///
    /// # Errors
    /// There is none of that name, or it is of a type or form that is not known, or its numbers are not there.
    pub fn tensor(&self, name: &str) -> Result<TensorRef<'_>, ContainerError> {
        let found = match &self.kind {
            Kind::Gguf(file) => file.tensor(&self.bytes, name),
            Kind::Safetensors(file) => file.tensor(&self.bytes, name),
            Kind::Npz(file) => file.tensor(&self.bytes, name),
            Kind::Torch(file) => file.tensor(&self.bytes, name),
        };
        match found {
            Some(Ok(tensor)) => Ok(tensor),
            Some(Err(reason)) => {
                let reason = format!("tensor '{name}': {reason}");
                Err(ContainerError::Invalid { path: self.path.clone(), reason })
            }
            None => {
                let names = self.names().take(NAMES_IN_ERRORS).map(str::to_owned).collect();
                Err(ContainerError::Missing { path: self.path.clone(), name: name.to_owned(), names })
            }
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Read(bytes) => bytes,
        }
    }
}

impl Kind {
    fn of(bytes: &[u8]) -> Reason<Self> {
        // Pickle protocol 2 with the number that PyTorch before 1.6 begins with.
        const LEGACY: [u8; 14] = [0x80, 2, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19];
        if bytes.starts_with(&LEGACY) {
            let advice = "load it with torch.load and save it again with torch.save";
            return Err(format!("it was saved by PyTorch before 1.6; {advice}"));
        }
        if bytes.starts_with(gguf::MAGIC) {
            return Gguf::open(bytes).map(Self::Gguf);
        }
        if !bytes.starts_with(b"PK\x03\x04") {
            // It begins with the length of its JSON.
            let is_json = bytes.get(8) == Some(&b'{');
            let unknown = || "it is neither safetensors nor npz nor GGUF nor a file of PyTorch".to_owned();
            return if is_json { Safetensors::open(bytes).map(Self::Safetensors) } else { Err(unknown()) };
        }
        let archive = Archive::open(bytes)?;
        if Torch::is(&archive) {
            Torch::open(archive, bytes).map(Self::Torch)
        } else {
            Npz::open(archive).map(Self::Npz)
        }
    }
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container").field("path", &self.path).finish_non_exhaustive()
    }
}
