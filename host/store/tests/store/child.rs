//! This program again, in a process of its own, to run one test that is otherwise ignored.

use std::{env, ffi::OsStr, process::Command};

use millm_store::Location;

const DATABASE: &str = "MILLM_TEST_DATABASE";

/// A command that runs `test` on the database. `program` is a copy of this one, if it is not this one.
pub(crate) fn command(program: Option<&OsStr>, test: &str, location: &Location) -> Command {
    let this = env::current_exe().unwrap();
    let mut command = Command::new(program.unwrap_or(this.as_os_str()));
    command.args(["--ignored", "--exact", test, "--nocapture", "--test-threads=1"]);
    match location {
        Location::Sqlite(path) => command.env(DATABASE, path),
        Location::Postgres(url) => command.env(DATABASE, url),
    };
    command
}

/// The database that the child was started for.
pub(crate) fn location() -> Location {
    let text = env::var(DATABASE).expect("this test is run by others");
    Location::parse_url(&text).unwrap_or_else(|_| Location::Sqlite(text.into()))
}
