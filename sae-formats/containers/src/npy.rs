use millm_plugin_api::DType;

use crate::error::Reason;

/// What an array of NumPy says of itself: version 1.0, 2.0 or 3.0 of its format.
#[derive(Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) dtype: DType,
    /// Whether the first index is the one that changes fastest.
    pub(crate) fortran_order: bool,
    pub(crate) shape: Vec<usize>,
}

const MAGIC: &[u8] = b"\x93NUMPY";

impl Head {
    /// Reads the head of an array, and returns the numbers behind it.
    pub(crate) fn read(array: &[u8]) -> Reason<(Self, &[u8])> {
        let short = || "its head is cut off".to_owned();
        let rest = array.strip_prefix(MAGIC).ok_or("it is no array of NumPy")?;
        let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
        let (len, rest) = match version[0] {
            1 => rest.split_first_chunk().map(|(len, rest)| (u16::from_le_bytes(*len) as usize, rest)),
            2 | 3 => rest.split_first_chunk().map(|(len, rest)| (u32::from_le_bytes(*len) as usize, rest)),
            other => return Err(format!("version {other} of NumPy's format is not known")),
        }
        .ok_or_else(short)?;
        let (head, numbers) = rest.split_at_checked(len).ok_or_else(short)?;
        let head = std::str::from_utf8(head).map_err(|_| "its head is no text".to_owned())?;
        Ok((Self::parse(head)?, numbers))
    }

    /// Reads a dict of Python as NumPy writes it: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
    fn parse(head: &str) -> Reason<Self> {
        let wrong = || format!("its head is not as NumPy writes it: {:?}", head.chars().take(120).collect::<String>());
        let inner = head.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(wrong)?;
        let (mut dtype, mut fortran_order, mut shape) = (None, None, None);
        let mut rest = inner.trim();
        while !rest.is_empty() {
            let (key, behind) = text(rest).ok_or_else(wrong)?;
            let behind = behind.trim_start().strip_prefix(':').ok_or_else(wrong)?.trim_start();
            rest = match key {
                "descr" => {
                    let (name, behind) = text(behind)
                        .ok_or("it is an array of records, which is no tensor: arrays of numbers are supported")?;
                    dtype = Some(of_descr(name)?);
                    behind
                }
                "fortran_order" => {
                    let (value, behind) = if let Some(behind) = behind.strip_prefix("True") {
                        (true, behind)
                    } else {
                        (false, behind.strip_prefix("False").ok_or_else(wrong)?)
                    };
                    fortran_order = Some(value);
                    behind
                }
                "shape" => {
                    let (extents, behind) =
                        behind.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or_else(wrong)?;
                    let extents = extents.split(',').map(str::trim).filter(|extent| !extent.is_empty());
                    let extents = extents.map(|extent| extent.parse::<usize>().map_err(|_| wrong()));
                    shape = Some(extents.collect::<Result<_, _>>()?);
                    behind
                }
                _ => return Err(wrong()),
            }
            .trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        let (Some(dtype), Some(fortran_order), Some(shape)) = (dtype, fortran_order, shape) else {
            return Err(wrong());
        };
        Ok(Self { dtype, fortran_order, shape })
    }
}

/// A text in quotes at the beginning, and what is behind it. NumPy needs no escapes here.
fn text(source: &str) -> Option<(&str, &str)> {
    let quote = source.chars().next().filter(|quote| ['\'', '"'].contains(quote))?;
    source[1..].split_once(quote)
}

fn of_descr(descr: &str) -> Reason<DType> {
    Ok(match descr {
        "<f8" => DType::F64,
        "<f4" => DType::F32,
        "<f2" => DType::F16,
        "<i8" => DType::I64,
        "<i4" => DType::I32,
        other => {
            return Err(format!("numbers of type '{other}' are not supported; there are <f8, <f4, <f2, <i8 and <i4"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_numpy_writes_them() {
        let read = Head::parse("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }        \n").unwrap();
        assert_eq!(read, Head { dtype: DType::F32, fortran_order: false, shape: vec![3, 4] });
        let read = Head::parse("{\"shape\": (), 'fortran_order': True, 'descr': '<i8'}").unwrap();
        assert_eq!(read, Head { dtype: DType::I64, fortran_order: true, shape: vec![] });
        assert_eq!(Head::parse("{'descr': '<f2', 'fortran_order': False, 'shape': (7,)}").unwrap().shape, [7]);
    }

    #[test]
    fn other_heads_are_refused_with_the_reason() {
        for (head, reason) in [
            ("", "not as NumPy"),
            ("{}", "not as NumPy"),
            ("{'descr': '<f4', 'fortran_order': False}", "not as NumPy"),
            ("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", "not as NumPy"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "not as NumPy"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "not as NumPy"),
            ("{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}", "'>f4'"),
            ("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "'|O'"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "records"),
            ("{'x': 1}", "not as NumPy"),
        ] {
            let error = Head::parse(head).unwrap_err();
            assert!(error.contains(reason), "{head}: {error}");
        }
        for array in [&b"\x93NUMP"[..], b"\x93NUMPY\x01", b"\x93NUMPY\x01\x00\xFF\xFF{}", b"\x93NUMPY\x09\x00\x00\x00"]
        {
            assert!(Head::read(array).is_err(), "{array:?}");
        }
    }
}
