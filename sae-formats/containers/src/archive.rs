use std::{
    collections::BTreeMap,
    io::{Cursor, Read},
    ops::Range,
    sync::OnceLock,
};

use zip::{CompressionMethod, ZipArchive};

use crate::error::Reason;

/// The files in a zip, by name.
pub(crate) struct Archive {
    entries: BTreeMap<String, Entry>,
    /// Bytes that everything compressed may take together.
    room: u64,
}

struct Entry {
    index: usize,
    content: Content,
}

enum Content {
    /// As it is, there.
    Stored(Range<usize>),
    Deflated {
        size: u64,
        inflated: OnceLock<Reason<Vec<u8>>>,
    },
}

/// How much larger than itself an archive may become. Weights hardly compress; what does is small beside them.
const MOST_INFLATION: u64 = 16;
/// What any archive may become.
const SMALL: u64 = 16 << 20;

impl Archive {
    pub(crate) fn open(bytes: &[u8]) -> Reason<Self> {
        let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| format!("it is a broken zip: {error}"))?;
        let mut entries = BTreeMap::new();
        for index in 0..zip.len() {
            let file = zip.by_index_raw(index).map_err(|error| format!("it is a broken zip: {error}"))?;
            let name = file.name().map_err(|error| format!("it is a broken zip: {error}"))?.into_owned();
            let begin = file.data_start().ok_or_else(|| format!("'{name}' has no place in the zip"))?;
            let range = begin as usize..(begin as usize).saturating_add(file.compressed_size() as usize);
            let content = match file.compression() {
                _ if file.encrypted() => return Err(format!("'{name}' is encrypted")),
                _ if bytes.get(range.clone()).is_none() => return Err(format!("'{name}' ends beyond the file")),
                CompressionMethod::Stored => Content::Stored(range),
                CompressionMethod::Deflated => Content::Deflated { size: file.size(), inflated: OnceLock::new() },
                other => return Err(format!("'{name}' is compressed with {other}, which is not supported")),
            };
            if entries.insert(name.clone(), Entry { index, content }).is_some() {
                return Err(format!("there are two files '{name}' in it"));
            }
        }
        let room = (bytes.len() as u64).saturating_mul(MOST_INFLATION).max(SMALL);
        let sizes = entries.values().map(|entry| match entry.content {
            Content::Stored(_) => 0,
            Content::Deflated { size, .. } => size,
        });
        let total = sizes.fold(0_u64, u64::saturating_add);
        if total > room {
            return Err(format!("it would take {total} bytes once it is inflated, and at most {room} are believed"));
        }
        Ok(Self { entries, room })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// What is in a file. `bytes` are those of the zip.
    pub(crate) fn read<'a>(&'a self, bytes: &'a [u8], name: &str) -> Option<Reason<&'a [u8]>> {
        let Entry { index, content } = self.entries.get(name)?;
        Some(match content {
            Content::Stored(range) => Ok(&bytes[range.clone()]),
            Content::Deflated { inflated, .. } => {
                let inflated = inflated.get_or_init(|| inflate(bytes, *index, self.room));
                inflated.as_deref().map_err(String::clone)
            }
        })
    }
}

/// `room`: what it may take, since what it says of its size may be wrong.
fn inflate(bytes: &[u8], index: usize, room: u64) -> Reason<Vec<u8>> {
    let broken = |error: &dyn ToString| format!("it is a broken zip: {}", error.to_string());
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| broken(&error))?;
    let mut file = zip.by_index(index).map_err(|error| broken(&error))?;
    let mut inflated = Vec::new();
    let read = file.by_ref().take(room + 1).read_to_end(&mut inflated).map_err(|error| broken(&error))?;
    if read as u64 > room { Err(format!("it takes more than {room} bytes once it is inflated")) } else { Ok(inflated) }
}
