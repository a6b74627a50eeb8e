//! A `millm serve`, from its first moment on.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use crate::folders::bundle;

/// A `millm serve` that may not be ready yet. Killed when dropped, as `kill -9` does it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    log: Arc<Mutex<String>>,
}

/// `millm serve` on a free port, with that data folder and none of this process's settings.
pub(crate) fn command(data: &Path) -> Command {
    let mut command = Command::new(bundle().join("millm"));
    command.arg("serve").current_dir(data);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MILLM_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    // In the environment, so that a test can still say something else in arguments.
    command.env("MILLM_DATA_DIR", data).env("MILLM_PORT", "0");
    command
}

impl Process {
    /// Begins one with the data folder `data`, which exists, and does not wait for it.
    ///
    /// # Panics
    ///
    /// If the system cannot run it.
    pub fn begin(data: &Path, configure: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut command = command(data);
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
        Self { child, stdout: BufReader::new(stdout), log }
    }

    /// Waits until it is ready; its address, such as `http://127.0.0.1:8080`.
    ///
    /// # Panics
    ///
    /// If it does not get ready.
    #[track_caller]
    pub fn ready(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("millm writes text");
        let address = line.split_whitespace().find(|word| word.starts_with("http://"));
        let Some(address) = address else {
            let _ = self.child.wait();
            panic!("millm did not get ready: {line}{}", self.log());
        };
        address.trim_end_matches("/v1").to_owned()
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

    /// Its number in the system.
    pub fn id(&self) -> u32 {
        self.child.id()
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

    /// Bounds the files that it writes from now on, in bytes; without a number, no longer. It has to ignore `SIGXFSZ`.
    ///
    /// # Panics
    ///
    /// If there is no `prlimit`, or it refuses.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let soft = bytes.map_or_else(|| "unlimited".into(), |bytes| bytes.to_string());
        let (pid, limit) = (format!("--pid={}", self.child.id()), format!("--fsize={soft}:"));
        let status = Command::new("prlimit").args([pid, limit]).status();
        assert!(status.expect("prlimit runs").success());
    }

    /// Ends it at once, in the middle of whatever it does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
