//! A running server, and one that refuses to start.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    ops::Deref,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{client::Client, folders::bundle};

/// A `millm serve` of its own, on a free port of the loopback interface, with an empty data folder. Dereferences to its
/// client; ends when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    client: Client,
    log: Arc<Mutex<String>>,
    _data: TempDir,
}

/// `millm serve` with an empty data folder and none of this process's settings.
fn command(data: &TempDir) -> Command {
    let mut command = Command::new(bundle().join("millm"));
    command.args(["serve", "--port", "0"]).current_dir(data.path());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MILLM_") {
            command.env_remove(name);
        }
    }
    // In the environment, so that a test can still give a folder of its own as an argument.
    command.env("MILLM_DATA_DIR", data.path());
    command
}

impl Server {
    /// Starts one with further arguments, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it does not get ready.
    pub fn start<A: AsRef<OsStr>>(arguments: &[A]) -> Self {
        Self::start_with(|command| command.args(arguments))
    }

    /// Starts one whose command was changed by `configure`.
    ///
    /// # Panics
    ///
    /// If it does not get ready.
    pub fn start_with(configure: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut command = command(&data);
        configure(&mut command);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("millm runs");
        let log = Arc::new(Mutex::new(String::new()));
        let (stdout, mut stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let shared = Arc::clone(&log);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                shared.lock().expect("no test panics here").push_str(&text);
            }
        });
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("millm writes text");
        let address = line.split_whitespace().find(|word| word.starts_with("http://"));
        let Some(address) = address else {
            let _ = child.wait();
            panic!("millm did not get ready: {line}{}", log.lock().expect("no test panics here"));
        };
        let client = Client::new(address.trim_end_matches("/v1"));
        Self { child, client, log, _data: data }
    }

    /// What it has logged so far.
    ///
    /// # Panics
    ///
    /// If its reader panicked.
    pub fn log(&self) -> String {
        self.log.lock().expect("no test panics here").clone()
    }

    /// Waits until its log contains `text`.
    ///
    /// # Panics
    ///
    /// If that does not happen within 10 s.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        let start = Instant::now();
        while !self.log().contains(text) {
            assert!(start.elapsed() < Duration::from_secs(10), "no {text:?} in: {}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The most memory it has held so far, in bytes.
    ///
    /// # Panics
    ///
    /// If the system does not tell.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process is alive");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells the peak");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") << 10
    }

    /// Sends it a signal by name, such as `TERM`.
    ///
    /// # Panics
    ///
    /// If there is no `kill`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits until it ends.
    ///
    /// # Panics
    ///
    /// If it does not within 60 s.
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                return status;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "millm does not end: {}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Deref for Server {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a `millm serve` that should not get ready; what it wrote to stderr.
///
/// # Panics
///
/// If it does get ready, is killed, or ends as if all were well.
#[track_caller]
pub fn refused_with(configure: impl FnOnce(&mut Command) -> &mut Command) -> String {
    let data = tempfile::tempdir().expect("a temporary folder");
    let mut command = command(&data);
    configure(&mut command);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("millm runs");
    let start = Instant::now();
    while child.try_wait().expect("the child can be waited for").is_none() {
        if start.elapsed() > Duration::from_secs(30) {
            let _ = child.kill();
            panic!("millm got ready instead of refusing");
        }
        thread::sleep(Duration::from_millis(10));
    }
    let Output { status, stderr, .. } = child.wait_with_output().expect("the child can be waited for");
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert!(matches!(status.code(), Some(1 | 2)), "{status}: {stderr}");
    assert!(!stderr.contains("thread '"), "the host panicked: {stderr}");
    stderr
}

/// [`refused_with`] further arguments.
///
/// # Panics
///
/// As above.
#[track_caller]
pub fn refused<A: AsRef<OsStr>>(arguments: &[A]) -> String {
    refused_with(|command| command.args(arguments))
}
