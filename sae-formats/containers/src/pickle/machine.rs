use std::{collections::HashMap, sync::Arc};

use super::value::{Global, Object, Tensor, Value};
use crate::error::Reason;

/// Runs a pickle: a stack machine that makes values, and calls nothing.
pub(super) struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Value>,
    /// How high the stack was at each mark.
    marks: Vec<usize>,
    memo: HashMap<usize, Value>,
    objects: Vec<Object>,
}

/// The most dimensions of a tensor that anybody has seen.
const MAX_RANK: usize = 8;

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), objects: Vec::new() }
    }

    /// What [`Value::Object`] names.
    pub(super) fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Runs to the end: what the pickle is of.
    pub(super) fn run(&mut self) -> Reason<Value> {
        loop {
            let [code] = self.take()?;
            match code {
                // What only announces something, or its length.
                0x80 => drop(self.take::<1>()?),
                0x95 => drop(self.take::<8>()?),
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.above_mark()?),
                b'2' => self.stack.push(self.top()?.clone()),
                b'N' => self.stack.push(Value::None),
                0x88 => self.stack.push(Value::Bool(true)),
                0x89 => self.stack.push(Value::Bool(false)),
                b'J' => {
                    let number = i32::from_le_bytes(self.take()?);
                    self.stack.push(Value::Int(number.into()));
                }
                b'K' => {
                    let [number] = self.take()?;
                    self.stack.push(Value::Int(number.into()));
                }
                b'M' => {
                    let number = u16::from_le_bytes(self.take()?);
                    self.stack.push(Value::Int(number.into()));
                }
                0x8A => self.long()?,
                b'G' => {
                    let number = f64::from_be_bytes(self.take()?);
                    self.stack.push(Value::Float(number));
                }
                b'X' | b'T' => {
                    let len = u32::from_le_bytes(self.take()?);
                    self.text(u64::from(len))?;
                }
                0x8C | b'U' => {
                    let [len] = self.take()?;
                    self.text(len.into())?;
                }
                0x8D => {
                    let len = u64::from_le_bytes(self.take()?);
                    self.text(len)?;
                }
                b'q' => {
                    let [index] = self.take()?;
                    self.remember(index.into())?;
                }
                b'r' => {
                    let index = u32::from_le_bytes(self.take()?);
                    self.remember(index as usize)?;
                }
                0x94 => self.remember(self.memo.len())?,
                b'h' => {
                    let [index] = self.take()?;
                    self.recall(index.into())?;
                }
                b'j' => {
                    let index = u32::from_le_bytes(self.take()?);
                    self.recall(index as usize)?;
                }
                b']' => self.make(Object::List(Vec::new())),
                b'}' => self.make(Object::Dict(Vec::new())),
                b')' => self.make(Object::Tuple(Vec::new())),
                b'l' => {
                    let values = self.above_mark()?;
                    self.make(Object::List(values));
                }
                b't' => {
                    let values = self.above_mark()?;
                    self.make(Object::Tuple(values));
                }
                0x85..=0x87 => {
                    let from = self.stack.len().checked_sub(usize::from(code - 0x84)).ok_or_else(broken)?;
                    let values = self.stack.split_off(from);
                    self.make(Object::Tuple(values));
                }
                b'd' => {
                    let values = self.above_mark()?;
                    self.make(Object::Dict(Vec::new()));
                    self.fill(values)?;
                }
                b'a' => {
                    let value = self.pop()?;
                    self.fill(vec![value])?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.fill(vec![key, value])?;
                }
                b'e' | b'u' => {
                    let values = self.above_mark()?;
                    self.fill(values)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.global(module, name)?;
                }
                0x93 => {
                    let (Value::Text(name), Value::Text(module)) = (self.pop()?, self.pop()?) else {
                        return Err(broken());
                    };
                    self.global(&module, &name)?;
                }
                b'Q' => {
                    let id = self.pop()?;
                    let storage = self.storage(&id)?;
                    self.stack.push(storage);
                }
                b'R' | 0x81 => {
                    let (arguments, callee) = (self.pop()?, self.pop()?);
                    let made = self.reduce(&callee, &arguments)?;
                    self.stack.push(made);
                }
                // The state of an ordered dict, beside what is in it: PyTorch's versions of modules.
                b'b' => {
                    self.pop()?;
                    let Value::Object(index) = self.top()? else { return Err(broken()) };
                    if !matches!(self.objects[*index], Object::Dict(_)) {
                        return Err(broken());
                    }
                }
                other => {
                    return Err(format!("its description has the instruction {other:#04x}, which none of tensors has"));
                }
            }
        }
    }

    fn take<const N: usize>(&mut self) -> Reason<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(broken)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn line(&mut self) -> Reason<&'a str> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').ok_or_else(broken)?;
        let line = str::from_utf8(&self.rest[..end]).map_err(|_| broken())?;
        self.rest = &self.rest[end + 1..];
        Ok(line)
    }

    fn text(&mut self, len: u64) -> Reason<()> {
        let len = usize::try_from(len).map_err(|_| broken())?;
        let (text, rest) = self.rest.split_at_checked(len).ok_or_else(broken)?;
        self.rest = rest;
        self.stack.push(Value::Text(String::from_utf8_lossy(text).into()));
        Ok(())
    }

    fn long(&mut self) -> Reason<()> {
        let [len] = self.take()?;
        let (digits, rest) = self.rest.split_at_checked(len.into()).ok_or_else(broken)?;
        self.rest = rest;
        let fill = if digits.last().is_some_and(|last| *last >= 128) { 255 } else { 0 };
        let mut bytes = [fill; 8];
        bytes
            .get_mut(..digits.len())
            .ok_or("its description has a number of more than 64 bits")?
            .copy_from_slice(digits);
        self.stack.push(Value::Int(i64::from_le_bytes(bytes)));
        Ok(())
    }

    fn top(&self) -> Reason<&Value> {
        let above = self.marks.last().copied().unwrap_or(0);
        self.stack[above..].last().ok_or_else(broken)
    }

    fn pop(&mut self) -> Reason<Value> {
        self.top()?;
        self.stack.pop().ok_or_else(broken)
    }

    fn above_mark(&mut self) -> Reason<Vec<Value>> {
        let mark = self.marks.pop().ok_or_else(broken)?;
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, index: usize) -> Reason<()> {
        let value = self.top()?.clone();
        self.memo.insert(index, value);
        Ok(())
    }

    fn recall(&mut self, index: usize) -> Reason<()> {
        self.stack.push(self.memo.get(&index).ok_or_else(broken)?.clone());
        Ok(())
    }

    fn make(&mut self, object: Object) {
        self.objects.push(object);
        self.stack.push(Value::Object(self.objects.len() - 1));
    }

    /// Puts values into the list or the dict on top.
    fn fill(&mut self, values: Vec<Value>) -> Reason<()> {
        let Value::Object(index) = *self.top()? else { return Err(broken()) };
        match &mut self.objects[index] {
            Object::List(list) => list.extend(values),
            Object::Dict(dict) if values.len().is_multiple_of(2) => {
                let mut values = values.into_iter();
                while let (Some(key), Some(value)) = (values.next(), values.next()) {
                    dict.push((key, value));
                }
            }
            Object::Dict(_) | Object::Tuple(_) => return Err(broken()),
        }
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Reason<()> {
        let global = Global::named(module, name).ok_or_else(|| {
            format!(
                "it is made by '{module}.{name}', which is no tensor and is not run; save a dict of tensors, or convert it to \
                 safetensors"
            )
        })?;
        self.stack.push(Value::Global(global));
        Ok(())
    }

    fn tuple(&self, value: &Value) -> Reason<&[Value]> {
        match value {
            Value::Object(index) => match &self.objects[*index] {
                Object::Tuple(values) => Ok(values),
                Object::List(_) | Object::Dict(_) => Err(broken()),
            },
            _ => Err(broken()),
        }
    }

    /// `('storage', torch.FloatStorage, '0', 'cpu', 24)`.
    fn storage(&self, id: &Value) -> Reason<Value> {
        match self.tuple(id)? {
            [Value::Text(kind), Value::Global(Global::Storage(dtype)), Value::Text(key), ..]
                if **kind == *"storage" =>
            {
                let dtype = dtype.ok_or("it has tensors of a type that is not supported (bool, or 8 or 16 bits)")?;
                Ok(Value::Storage(dtype, Arc::clone(key)))
            }
            _ => Err(broken()),
        }
    }

    fn reduce(&mut self, callee: &Value, arguments: &Value) -> Reason<Value> {
        let Value::Global(global) = callee else { return Err(broken()) };
        let arguments = self.tuple(arguments)?;
        match (global, arguments) {
            (Global::OrderedDict, []) => {
                self.objects.push(Object::Dict(Vec::new()));
                Ok(Value::Object(self.objects.len() - 1))
            }
            (Global::Size, [size]) => Ok(size.clone()),
            (Global::RebuildParameter, [tensor @ Value::Tensor(_), ..]) => Ok(tensor.clone()),
            (Global::RebuildTensor, [Value::Storage(dtype, storage), offset, size, stride, ..]) => {
                let (dtype, storage) = (*dtype, Arc::clone(storage));
                let extents = |value: &Value| match self.tuple(value)? {
                    extents if extents.len() <= MAX_RANK => extents.iter().map(whole).collect::<Reason<Vec<_>>>(),
                    extents => Err(format!("a tensor has {} dimensions", extents.len())),
                };
                let (offset, size, stride) = (whole(offset)?, extents(size)?, extents(stride)?);
                Ok(Value::Tensor(Arc::new(Tensor { dtype, storage, offset, size, stride })))
            }
            _ => Err(broken()),
        }
    }
}

fn whole(value: &Value) -> Reason<usize> {
    match value {
        Value::Int(number) => usize::try_from(*number).map_err(|_| broken()),
        _ => Err(broken()),
    }
}

fn broken() -> String {
    "its description is no pickle of tensors".to_owned()
}
