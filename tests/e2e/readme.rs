//! The README's commands do what it shows.

use std::{fs, process::Command};

use millm_tests::{Server, folders::workspace};

/// Every `sh` block that begins with curl, and the `text` block after it.
fn examples(readme: &str) -> Vec<(&str, &str)> {
    let mut examples = Vec::new();
    let mut blocks = readme.split("```").skip(1).step_by(2).peekable();
    while let Some(block) = blocks.next() {
        let command = block.strip_prefix("sh\n").filter(|command| command.starts_with("curl"));
        let shown = blocks.peek().and_then(|next| next.strip_prefix("text\n"));
        examples.extend(command.zip(shown));
    }
    examples
}

#[test]
fn its_curls_answer_as_pasted() {
    let server = Server::start(&[""; 0]);
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let examples = examples(&readme);
    assert!(examples.len() >= 2, "{examples:?}");
    for (command, shown) in examples {
        assert!(command.contains("http://127.0.0.1:8080/"), "{command}");
        let command = command.replace("http://127.0.0.1:8080", server.base());
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), shown.trim(), "{command}");
    }
}
