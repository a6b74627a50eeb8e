use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// The `tojson` of transformers: Python's `json.dumps` with the order of keys and all characters kept. Jinja's own
/// escapes HTML, and models were not trained on that.
pub(super) fn tojson(value: &Value, ensure_ascii: Option<bool>, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    if indent.is_some_and(|indent| indent > MAX_INDENT) {
        return Err(refused(format!("an indent of more than {MAX_INDENT}")));
    }
    let separators: Option<Vec<String>> = options.get("separators")?;
    let (item_separator, key_separator) = match separators.as_deref() {
        None if indent.is_some() => (",", ": "),
        None => (", ", ": "),
        Some([item, key]) => (item.as_str(), key.as_str()),
        Some(_) => return Err(refused("separators must be a pair")),
    };
    let mut writer = Writer {
        out: String::new(),
        indent,
        item_separator,
        key_separator,
        ensure_ascii: ensure_ascii.or(options.get("ensure_ascii")?).unwrap_or(false),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        depth: 0,
    };
    options.assert_all_used()?;
    writer.value(value)?;
    Ok(writer.out)
}

/// Deeper than any JSON a client can send; templates can nest without end.
const MAX_DEPTH: usize = 200;
const MAX_INDENT: usize = 100;

struct Writer<'a> {
    out: String,
    indent: Option<usize>,
    item_separator: &'a str,
    key_separator: &'a str,
    ensure_ascii: bool,
    sort_keys: bool,
    depth: usize,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => self.out += "null",
            ValueKind::Bool => self.out += if value.is_true() { "true" } else { "false" },
            ValueKind::Number if value.is_integer() => self.out += &value.to_string(),
            ValueKind::Number => self.out += &python_float(f64::try_from(value.clone())?),
            ValueKind::String => self.text(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?.map(|item| (None, item));
                self.container(['[', ']'], items.collect())?;
            }
            ValueKind::Map => {
                let mut items = Vec::new();
                for key in value.try_iter()? {
                    items.push((Some(key_text(&key)?), value.get_item(&key)?));
                }
                if self.sort_keys {
                    items.sort_by(|(a, _), (b, _)| a.cmp(b));
                }
                self.container(['{', '}'], items)?;
            }
            kind => return Err(refused(format!("a value of type {kind} has no JSON"))),
        }
        Ok(())
    }

    fn container(&mut self, [open, close]: [char; 2], items: Vec<(Option<String>, Value)>) -> Result<(), Error> {
        if self.depth == MAX_DEPTH {
            return Err(refused(format!("a value nested more than {MAX_DEPTH} deep has no JSON")));
        }
        self.out.push(open);
        self.depth += 1;
        let is_empty = items.is_empty();
        for (position, (key, item)) in items.into_iter().enumerate() {
            if position > 0 {
                self.out += self.item_separator;
            }
            self.new_line();
            if let Some(key) = key {
                self.text(&key);
                self.out += self.key_separator;
            }
            self.value(&item)?;
        }
        self.depth -= 1;
        if !is_empty {
            self.new_line();
        }
        self.out.push(close);
        Ok(())
    }

    fn new_line(&mut self) {
        if let Some(indent) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent * self.depth));
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            match character {
                '"' => self.out += "\\\"",
                '\\' => self.out += "\\\\",
                '\n' => self.out += "\\n",
                '\r' => self.out += "\\r",
                '\t' => self.out += "\\t",
                '\u{8}' => self.out += "\\b",
                '\u{c}' => self.out += "\\f",
                ' '..='~' => self.out.push(character),
                '\u{7f}'.. if !self.ensure_ascii => self.out.push(character),
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        self.out += &format!("\\u{unit:04x}");
                    }
                }
            }
        }
        self.out.push('"');
    }
}

/// Python turns these keys into texts, and refuses others.
fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or_default().into()),
        ValueKind::None => Ok("null".into()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.into()),
        ValueKind::Number if key.is_integer() => Ok(key.to_string()),
        ValueKind::Number => Ok(python_float(f64::try_from(key.clone())?)),
        kind => Err(refused(format!("a key of type {kind} has no JSON"))),
    }
}

/// `repr(number)`: Rust prints the same digits, but writes `1e16` for Python's `1e+16` and `1e-5` for `1e-05`.
fn python_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let text = format!("{number:?}");
    match text.split_once('e') {
        None => text,
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => format!("{digits}e-{exponent:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
    }
}

fn refused(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadSerialization, reason.into())
}
