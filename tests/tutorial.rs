//! The plugin tutorial does what it says: every file and every command of it, in their order, outside of this workspace.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    process::Command,
};

use millm_tests::{
    Server,
    folders::{bundle, copy_files, workspace},
    outside,
    server::refused,
};

/// How the tutorial calls the clone, and the program in it.
const CLONE: &str = "../millm";
const PROGRAM: &str = "../millm/target/release/millm ";
const SERVE: &str = "../millm/target/release/millm serve ";

/// One fenced block.
enum Block {
    /// A piece of a file of that name.
    File(String, String),
    /// Commands, and what the tutorial shows as their output.
    Shell(String, Option<String>),
}

fn tutorial() -> Vec<Block> {
    let text = fs::read_to_string(workspace().join("plugin-api/README.md")).unwrap();
    let mut blocks = Vec::new();
    for block in text.split("```").skip(1).step_by(2) {
        let (info, body) = block.split_once('\n').unwrap();
        match (info.split_once(' '), info) {
            (Some((_, name)), _) => blocks.push(Block::File(name.into(), body.into())),
            (None, "sh") => blocks.push(Block::Shell(body.into(), None)),
            (None, "text") => match blocks.last_mut() {
                Some(Block::Shell(_, shown)) => *shown = Some(body.into()),
                _ => panic!("no command has this output: {body}"),
            },
            _ => panic!("a block of no known kind: {info}"),
        }
    }
    blocks
}

/// All pieces of a file of the tutorial, an empty line between any two.
fn file(name: &str) -> String {
    let piece = |block| match block {
        Block::File(of, body) if of == name => Some(body),
        _ => None,
    };
    tutorial().into_iter().filter_map(piece).collect::<Vec<_>>().join("\n")
}

fn example(name: &str) -> String {
    fs::read_to_string(workspace().join("examples/plugins/bigram").join(name)).unwrap()
}

/// `sh` as a reader of the tutorial has it, but offline, and with a data folder of its own.
fn shell(folder: &Path, data: &Path, commands: &str) -> (String, String) {
    let program = format!("{} ", bundle().join("millm").display());
    let mut command = Command::new("sh");
    command.args(["-e", "-c", &commands.replace(PROGRAM, &program)]).current_dir(folder);
    command.env("MILLM_DATA_DIR", data);
    outside::configure(&mut command, env!("CARGO_TARGET_TMPDIR"));
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{commands}{stdout}{stderr}");
    (stdout, stderr)
}

#[test]
fn its_files_are_those_of_the_example() {
    assert_eq!(file("src/lib.rs"), example("src/lib.rs"));
    assert_eq!(file("plugin.toml"), example("plugin.toml"));
    assert_eq!(file("Cargo.toml").replace(CLONE, "../../.."), example("Cargo.toml"));
    let lines = example("src/lib.rs").lines().count();
    assert!(lines < 200, "the whole plugin was to be under 200 lines, not {lines}");
    // The workspace's own check does not see it.
    shell(&workspace().join("examples/plugins/bigram"), Path::new(""), "cargo fmt --check");
}

#[test]
fn its_commands_make_a_plugin_that_answers_as_shown_and_can_be_steered() {
    let temporary = tempfile::tempdir().unwrap();
    let mut folder = temporary.path().to_owned();
    // What is trusted in the shell must be known to the server.
    let data = temporary.path().join("data");
    let clone = workspace().to_str().unwrap().to_owned();
    let mut server: Option<Server> = None;
    let mut answers = Vec::new();
    let mut written = Vec::new();
    for block in tutorial() {
        match block {
            Block::File(name, body) => {
                let path = folder.join(&name);
                let first = !written.contains(&name);
                // The first piece replaces what `cargo new` made.
                let mut options = OpenOptions::new();
                let mut file = options.create(true).write(true).truncate(first).append(!first).open(path).unwrap();
                file.write_all(if first { b"" } else { b"\n" }).unwrap();
                file.write_all(body.replace(CLONE, &clone).as_bytes()).unwrap();
                written.push(name);
            }
            Block::Shell(commands, None) if commands.starts_with(SERVE) => {
                let arguments: Vec<String> =
                    commands[SERVE.len()..].split_whitespace().map(|word| word.replace(CLONE, &clone)).collect();
                server = Some(Server::start_with(|command| {
                    command.args(arguments).current_dir(&folder).env("MILLM_DATA_DIR", &data)
                }));
            }
            Block::Shell(commands, Some(shown)) => {
                let server = server.as_ref().expect("the tutorial starts millm before it asks");
                assert!(commands.contains("http://127.0.0.1:8080/"), "{commands}");
                let (answer, _) = shell(&folder, &data, &commands.replace("http://127.0.0.1:8080", server.base()));
                assert_eq!(answer.trim(), shown.trim(), "{commands}");
                answers.push((commands.contains("\"hook_point\": \"hook_embed\""), answer));
            }
            Block::Shell(commands, None) => {
                let (_, said) = shell(&folder, &data, &commands);
                assert!(!said.contains("generated "), "the compiler warns: {said}");
                if commands.contains("cd bigram\n") {
                    folder = folder.join("bigram");
                    // The crates that are here; a reader takes the newest.
                    fs::copy(workspace().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
                }
            }
        }
    }
    let [(false, plain), (true, steered)] = answers.as_slice() else {
        panic!("one answer is steered: {answers:?}");
    };
    assert_ne!(plain, steered);
    server.expect("the tutorial starts millm").wait_for_log("plugin loaded name=\"bigram\"");
    says_what_it_expected_and_found(&folder, &data);
}

/// The plugin in `folder`, given weights that are not those of the config. Not a test of its own, since it needs the build.
fn says_what_it_expected_and_found(folder: &Path, data: &Path) {
    let model = folder.join("other-model");
    copy_files(&workspace().join("examples/plugins/bigram/tiny-bigram"), &model);
    let config = fs::read_to_string(model.join("config.json")).unwrap();
    for (size, message) in [
        ("12", "tensor embed: expected F32 of shape [41, 12], found F32 of [41, 11]"),
        ("0", "hidden_size must be a positive integer, found 0"),
    ] {
        let changed = config.replace("\"hidden_size\": 11", &format!("\"hidden_size\": {size}"));
        fs::write(model.join("config.json"), changed).unwrap();
        let plugins = folder.join("plugins");
        let said = refused(&[
            Path::new("--plugin-dir"),
            &plugins,
            Path::new("--data-dir"),
            data,
            Path::new("--model"),
            &model,
        ]);
        assert!(said.contains(message), "{said}");
    }
}
