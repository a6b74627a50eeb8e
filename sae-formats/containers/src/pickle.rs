//! Pickles of PyTorch: dicts, lists, texts and numbers, and tensors by their storages. A pickle is a program that may call
//! whatever it names; here it may name a short list of things, none of which is called.

mod contents;
mod machine;
mod value;

use self::machine::Machine;
pub(crate) use self::{contents::Contents, value::Tensor};
use crate::error::Reason;

/// The longest pickle, which bounds what its values take. It describes tensors, and has none of their numbers.
const MAX_BYTES: usize = 4 << 20;

/// Reads what a pickle describes.
pub(crate) fn read(bytes: &[u8]) -> Reason<Contents> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("its description has {} bytes, and at most {MAX_BYTES} are read", bytes.len()));
    }
    let mut machine = Machine::new(bytes);
    let top = machine.run()?;
    Contents::of(&top, machine.objects())
}
