//! Kills the host with `kill -9` in the middle of its work, again and again, and compares what it still knows with what
//! it had acknowledged.
//!
//! `MILLM_KILLS` sets how often (200 if it is not set), `MILLM_SEED` what happens.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod database;
mod inspection;
mod ledger;
mod workers;

use std::{env, thread, time::Duration};

use millm_tests::{Server, copies::Copies, process::Process};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{database::Database, inspection::inspect, ledger::Ledger, workers::Worker};

/// Each has models of its own, so that it knows what they should be like.
const WORKERS: usize = 3;
const MODELS_EACH: usize = 2;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn what_was_acknowledged_outlives_kills_on_sqlite() {
    survive(&Database::Sqlite, number("MILLM_KILLS", 200));
}

#[test]
fn what_was_acknowledged_outlives_kills_on_postgres() {
    let server = env::var("MILLM_TEST_POSTGRES");
    let server = server.expect("MILLM_TEST_POSTGRES names no PostgreSQL server; run the tests by `cargo xtask test`");
    survive(&Database::create(&server), number("MILLM_KILLS", 200).div_ceil(4));
}

fn survive(database: &Database, kills: u64) {
    let seed = number("MILLM_SEED", 1);
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let (data, copies) = (tempfile::tempdir().unwrap(), Copies::new());
    let mut workers: Vec<Worker> = (0..WORKERS)
        .map(|worker| {
            let names = (0..MODELS_EACH).map(|model| format!("copy-{worker}-{model}"));
            let ledgers = names.map(|name| Ledger::new(copies.add(&name), name)).collect();
            Worker::new(ledgers, seed.wrapping_mul(1000) + worker as u64)
        })
        .collect();
    let begin = || Process::begin(data.path(), |command| database.configure(command).args(["--kv-cache-mib", "8"]));
    let mut done = 0;
    for kill in 0..kills {
        if chance.random_bool(0.25) {
            let starting = begin();
            thread::sleep(Duration::from_millis(chance.random_range(0..300)));
            drop(starting);
            continue;
        }
        let mut server = Server::ready(begin());
        inspect(&server, &mut workers, &format!("after kill {kill} with seed {seed}"));
        let pause = Duration::from_millis(chance.random_range(1..250));
        thread::scope(|scope| {
            for worker in &mut workers {
                scope.spawn(|| worker.work(&server));
            }
            thread::sleep(pause);
            // Its clients see their connections break, and end.
            server.signal("KILL");
        });
        server.kill();
        done += workers.iter_mut().map(|worker| std::mem::take(&mut worker.acknowledged)).sum::<u64>();
    }
    let server = Server::ready(begin());
    inspect(&server, &mut workers, &format!("at the end, with seed {seed}"));
    server.stop();
    println!("{kills} kills, {done} changes acknowledged");
    // Else this has proven nothing.
    assert!(done > kills, "{done} changes in {kills} kills");
}
