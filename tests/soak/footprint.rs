//! What a host holds.

use std::{
    fmt, fs, thread,
    time::{Duration, Instant},
};

use millm_tests::Server;
use serde_json::{Value, json};

/// How long a host may take to let go of what it does not need.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long threads that have nothing to do stay.
const THREADS_STAY: Duration = Duration::from_secs(11);
/// The shape of what takes all KV memory. The last of them comes to its prompt before the first is at its end.
const PROMPT_TOKENS: u64 = 380;
const COMPLETION_TOKENS: u64 = 120;

/// What a host holds that has nothing to do.
pub(crate) struct Footprint {
    /// In KiB, as the system counts it.
    resident: u64,
    /// The part of it that is no file, in KiB.
    anonymous: u64,
    files: usize,
    threads: u64,
    /// KV pages that were held by kept prefixes, before somebody needed them.
    pages_kept: u64,
    pages_total: u64,
}

impl Footprint {
    /// Waits until nobody asks any more, and has all KV memory used once: whatever then is not free is lost. That also
    /// makes the memory of all of it resident. `rested`: whether to wait for idle threads to end.
    pub(crate) fn take(server: &Server, rested: bool) -> Self {
        let idle = wait_until(|| requests(server), |now| now["items"].as_array().unwrap().is_empty());
        let cache = |now: &Value| ["pages_total", "pages_free"].map(|key| now["kv_cache"][0][key].as_u64().unwrap());
        let [pages_total, pages_free] = cache(&idle);
        // Somebody always leaves a prefix to be kept; else what is told of pages means nothing.
        assert!(pages_free < pages_total, "{idle:#}");
        use_all_pages(server, pages_total * idle["kv_cache"][0]["page_tokens"].as_u64().unwrap());
        wait_until(|| requests(server), |now| cache(now) == [pages_total; 2]);
        thread::sleep(if rested { THREADS_STAY } else { Duration::ZERO });
        let folder = format!("/proc/{}", server.id());
        let sockets = || fs::read_dir(format!("{folder}/fd")).unwrap().count();
        // Connections end a moment after their last answer.
        let mut files = sockets();
        loop {
            thread::sleep(Duration::from_millis(200));
            if std::mem::replace(&mut files, sockets()) == files {
                break;
            }
        }
        let status = fs::read_to_string(format!("{folder}/status")).unwrap();
        let of = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("Linux tells");
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number")
        };
        Self {
            resident: of("VmRSS"),
            anonymous: of("RssAnon"),
            threads: of("Threads"),
            files,
            pages_kept: pages_total - pages_free,
            pages_total,
        }
    }

    /// Asserts that there is no more now than there was `before`. Memory is still growing where the runs were not `long`.
    #[track_caller]
    pub(crate) fn assert_no_more_than(&self, before: &Self, long: bool) {
        assert!(self.files <= before.files, "{self}; before: {before}");
        if long {
            assert!(self.threads <= before.threads, "{self}; before: {before}");
            assert!(self.resident as f64 <= 1.02 * before.resident as f64, "{self}; before: {before}");
        }
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resident, anonymous, files, threads, pages_kept, pages_total } = self;
        write!(
            f,
            "{resident} KiB resident ({anonymous} anonymous), {files} open files, {threads} threads; all {pages_total} KV \
             pages were free after {pages_kept} had been kept"
        )
    }
}

fn requests(server: &Server) -> Value {
    server.get("/api/requests").data().clone()
}

#[track_caller]
fn wait_until(look: impl Fn() -> Value, condition: impl Fn(&Value) -> bool) -> Value {
    let since = Instant::now();
    loop {
        let found = look();
        if condition(&found) {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "after {PATIENCE:?}: {found:#}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Asks for somewhat more keys and values at once than there is memory for.
fn use_all_pages(server: &Server, positions: u64) {
    let prompts: Vec<Vec<u64>> = (0..positions / 400 + 1)
        .map(|prompt| (0..PROMPT_TOKENS).map(|i| 10 + (i * 7 + prompt * 31) % 3000).collect())
        .collect();
    let body = json!({
        "model": "demo", "prompt": prompts, "max_tokens": COMPLETION_TOKENS, "ignore_eos": true, "cache_prompt": false,
    });
    let reply = server.post("/v1/completions", &body);
    assert_eq!(reply.status, 200, "{:#}", reply.body);
    assert_eq!(reply.body["usage"]["completion_tokens"], prompts.len() as u64 * COMPLETION_TOKENS);
}
