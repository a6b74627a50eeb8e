use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};

use super::python;
use super::tojson::tojson;

/// The templates of Llama 3 and Qwen 3 take 35 to 65 steps per message; this many take about a second.
pub(super) const MAX_STEPS: u64 = 10_000_000;
const MAX_OUTPUT: usize = 64 << 20;

/// Jinja as transformers sets it up for chat templates.
pub(super) fn new() -> Environment<'static> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    if let Ok(syntax) = syntax.trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    // By default a template's name decides, and names come from the model folder.
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(python::call_method);
    environment.set_fuel(Some(MAX_STEPS));
    environment.add_test("iterable", python::is_iterable);
    environment.add_test("sequence", python::is_sequence);
    environment.add_filter("tojson", tojson);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment
}

/// Compiles one template, and says whether it reads `tools`.
///
/// The parser limits how deep brackets and blocks nest, but recurses once per operator in `1 ~ 1 ~ 1 …` and per step in
/// `a.b.c…`. A stack in proportion to the text is deep enough for all of them; 430 bytes per byte is the most seen. Its
/// time for some is quadratic, hence the limit on the text, at which it takes about a minute.
pub(super) fn compile(environment: &mut Environment<'static>, name: &str, text: String) -> Result<bool, Error> {
    const MAX_TEXT: usize = 128 << 10;
    if text.len() > MAX_TEXT {
        return Err(Error::new(ErrorKind::SyntaxError, format!("longer than {MAX_TEXT} bytes")));
    }
    let stack = (1 << 20) + text.len() * (1 << 10);
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(stack)
            .spawn_scoped(scope, || {
                let may_read_tools = text.contains("tools");
                environment.add_template_owned(name.to_owned(), text)?;
                // It is parsed once more.
                Ok(may_read_tools && environment.get_template(name)?.undeclared_variables(false).contains("tools"))
            })
            .map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("no thread for it: {error}")))?
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Marks an error as the template's own doing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Raised(pub(super) String);

fn raise_exception(message: Value) -> Result<Value, Error> {
    let message = message.to_string();
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
}

/// The local time, as `datetime.now().strftime(format)`.
fn strftime_now(format: &str) -> Result<String, Error> {
    jiff::fmt::strtime::format(format, &jiff::Zoned::now())
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
}

/// What a template wrote. Steps alone do not bound it: each may write a megabyte.
#[derive(Default)]
pub(super) struct BoundedOutput(Vec<u8>);

impl BoundedOutput {
    pub(super) fn into_text(self) -> String {
        String::from_utf8(self.0).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into())
    }
}

impl io::Write for BoundedOutput {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.0.len() + text.len() > MAX_OUTPUT {
            return Err(io::Error::other(format!("the prompt is longer than {MAX_OUTPUT} bytes")));
        }
        self.0.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
