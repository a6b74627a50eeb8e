//! A running server, and one that refuses to start.

use std::{
    ffi::OsStr,
    ops::Deref,
    path::Path,
    process::{Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    client::Client,
    process::{Process, command},
};

/// A `millm serve` of its own, on a free port of the loopback interface. Dereferences to its client; killed when dropped.
#[derive(Debug)]
pub struct Server {
    process: Process,
    client: Client,
    /// Unless it is somebody else's.
    _data: Option<TempDir>,
}

impl Server {
    /// Starts one with an empty data folder and further arguments, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it does not get ready.
    #[track_caller]
    pub fn start<A: AsRef<OsStr>>(arguments: &[A]) -> Self {
        Self::start_with(|command| command.args(arguments))
    }

    /// Starts one with an empty data folder, whose command was changed by `configure`.
    ///
    /// # Panics
    ///
    /// If it does not get ready.
    #[track_caller]
    pub fn start_with(configure: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let server = Self::ready(Process::begin(data.path(), configure));
        Self { _data: Some(data), ..server }
    }

    /// Starts one with a data folder that outlives it, and further arguments.
    ///
    /// # Panics
    ///
    /// If it does not get ready.
    #[track_caller]
    pub fn start_in<A: AsRef<OsStr>>(data: &Path, arguments: &[A]) -> Self {
        Self::ready(Process::begin(data, |command| command.args(arguments)))
    }

    /// Waits until `process` is ready.
    ///
    /// # Panics
    ///
    /// If that does not happen.
    #[track_caller]
    pub fn ready(mut process: Process) -> Self {
        let client = Client::new(process.ready());
        Self { process, client, _data: None }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until its log contains `text`.
    ///
    /// # Panics
    ///
    /// If that does not happen within 10 s.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        self.process.wait_for_log(text);
    }

    /// Its number in the system.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The most memory it has held so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.process.peak_memory()
    }

    /// Sends it a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Bounds the files that it writes, as [`Process::limit_files`].
    pub fn limit_files(&self, bytes: Option<u64>) {
        self.process.limit_files(bytes);
    }

    /// Waits until it ends.
    ///
    /// # Panics
    ///
    /// If it does not within 60 s.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// Ends it at once, in the middle of whatever it does.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Ends it as its user would.
    ///
    /// # Panics
    ///
    /// If that does not succeed.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal("TERM");
        assert!(self.wait().success(), "{}", self.log());
    }
}

impl Deref for Server {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Runs a `millm serve` with an empty data folder that should not get ready; what it wrote to stderr.
///
/// # Panics
///
/// If it does get ready, is killed, or ends as if all were well.
#[track_caller]
pub fn refused_with(configure: impl FnOnce(&mut Command) -> &mut Command) -> String {
    let data = tempfile::tempdir().expect("a temporary folder");
    refused_in(data.path(), configure)
}

/// [`refused_with`] a data folder of the caller's.
///
/// # Panics
///
/// As above.
#[track_caller]
pub fn refused_in(data: &Path, configure: impl FnOnce(&mut Command) -> &mut Command) -> String {
    let mut command = command(data);
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
