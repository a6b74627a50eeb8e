//! Clients that change models until the host is gone.

use millm_tests::{Client, Reply, management::model_url};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::ledger::{Answer, Ledger, Memory};

/// A client and its models.
pub(crate) struct Worker {
    pub(crate) ledgers: Vec<Ledger>,
    /// The operations that it was told of since the host was last looked at, and whether it saw them succeed.
    pub(crate) operations: Vec<(String, bool)>,
    /// How many changes it was told to be done.
    pub(crate) acknowledged: u64,
    chance: ChaCha8Rng,
}

const STEPS: [&str; 8] = ["register", "register", "delete", "load", "load", "unload", "lock", "unlock"];

impl Worker {
    pub(crate) fn new(ledgers: Vec<Ledger>, seed: u64) -> Self {
        Self { ledgers, operations: Vec::new(), acknowledged: 0, chance: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Changes what it likes, until an answer does not come.
    pub(crate) fn work(&mut self, client: &Client) {
        while self.step(client).is_some() {}
    }

    fn step(&mut self, client: &Client) -> Option<()> {
        let which = self.chance.random_range(0..self.ledgers.len());
        let step = *STEPS.choose(&mut self.chance)?;
        // Some wait for the end of an operation.
        let wait = if self.chance.random_bool(0.5) { "?wait=10" } else { "" };
        let ledger = &mut self.ledgers[which];
        let url = model_url(&ledger.id);
        let reply = match step {
            "register" => {
                let body = json!({"source": "local", "local_path": ledger.folder.to_str(), "id": ledger.id});
                client.attempt("POST", "/api/models", Some(&body))
            }
            "delete" => client.attempt("DELETE", &url, None),
            "load" | "unload" => client.attempt("POST", &format!("{url}/{step}{wait}"), None),
            _ => client.attempt("POST", &format!("{url}/{step}"), None),
        };
        let answer = answer(step, reply.as_ref());
        ledger.book(answer, |memory| match step {
            // Changes nothing where it is refused, which an unanswered one may have been.
            _ if step != "register" && !memory.known => memory,
            "register" if memory.known => memory,
            "register" => Memory { known: true, ..Memory::default() },
            "delete" if answer == Answer::Open && memory.locked => memory,
            "delete" => Memory::default(),
            "load" => Memory { wanted: true, ..memory },
            "unload" => Memory { wanted: false, ..memory },
            "lock" => Memory { locked: true, wanted: true, ..memory },
            _ => Memory { locked: false, ..memory },
        });
        self.acknowledged += u64::from(answer == Answer::Acknowledged);
        let operation = reply.as_ref().map(|reply| &reply.body["data"]).filter(|data| data["kind"].is_string());
        if let Some(operation) = operation {
            let id = operation["id"].as_str().expect("operations have ids").to_owned();
            self.operations.push((id, operation["status"] == "succeeded"));
        }
        reply.map(drop)
    }
}

fn answer(step: &str, reply: Option<&Reply>) -> Answer {
    let Some(reply) = reply else { return Answer::Open };
    let status = |value: &Value| value["data"]["status"].as_str().unwrap_or_default().to_owned();
    match (reply.status, step) {
        (200, "load") if status(&reply.body) == "succeeded" => Answer::Acknowledged,
        (200, "load") => panic!("a copy of the demo cannot be loaded: {:#}", reply.body),
        (202, "load") => Answer::Open,
        // That it will not be loaded again is kept before the operation begins.
        (200 | 202, "unload") | (201, "register") | (200, "delete" | "lock" | "unlock") => Answer::Acknowledged,
        (400 | 404 | 409, _) => Answer::Refused,
        (other, _) => panic!("{step}: {other} {:#}", reply.body),
    }
}
