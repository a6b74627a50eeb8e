//! What can be wrong with a file.

use std::{
    ffi::OsStr,
    fs::{self, File, Permissions},
    io::Write,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use millm_store::{Location, Store, StoreError};
use sqlx::Connection;
use tempfile::TempDir;

use crate::{
    child,
    database::{ann, connect, execute, model_ids, on_sqlite, register},
};

/// A folder with a `millm.db` in which models are registered, closed.
async fn kept(models: usize) -> (TempDir, Location) {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("millm.db"));
    let store = Store::open(&location).await.unwrap();
    for number in 0..models {
        register(&store, &number.to_string()).await;
    }
    store.close().await;
    (folder, location)
}

async fn refusal(location: &Location) -> StoreError {
    let error = Store::open(location).await.unwrap_err();
    let Location::Sqlite(path) = location else { panic!("{location}") };
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    error
}

#[tokio::test]
async fn only_its_owner_may_read_it() {
    let (folder, _) = kept(1).await;
    let mut seen = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o777, 0o600);
        seen += 1;
    }
    assert!(seen >= 2);
}

#[tokio::test]
async fn its_path_may_have_any_characters() {
    for name in ["a b", "50%41", "what?mode=ro", "a#b", "ü𝔪", "'\"\\&;", ":memory:", "file:a"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name).join("millm.db");
        fs::create_dir(path.parent().unwrap()).unwrap();
        register(&Store::open(&Location::Sqlite(path.clone())).await.unwrap(), "demo").await;
        assert!(fs::metadata(&path).unwrap().len() > 0, "{name}");
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [name]);
    }
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join(OsStr::from_bytes(b"\xff.db")));
    let error = Store::open(&location).await.unwrap_err();
    assert!(error.to_string().contains("not UTF-8"), "{error}");
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = refusal(&Location::Sqlite(folder.path().join("missing/millm.db"))).await;
    assert!(matches!(error, StoreError::Unavailable { .. }) && error.to_string().contains("No such file"), "{error}");
}

#[tokio::test]
async fn what_is_no_database_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.db");
    fs::write(&text, "Dear diary, ".repeat(1000)).unwrap();
    fs::create_dir(folder.path().join("folder.db")).unwrap();
    for name in ["text.db", "folder.db"] {
        let error = refusal(&Location::Sqlite(folder.path().join(name))).await;
        assert!(matches!(error, StoreError::NotADatabase { .. }), "{error}");
    }
    assert_eq!(fs::read_to_string(&text).unwrap(), "Dear diary, ".repeat(1000));
}

#[tokio::test]
async fn a_database_of_somebody_else_is_not_touched_even_if_no_table_is_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("places.sqlite");
    let mut other = connect(&Location::Sqlite(path.clone())).await;
    execute(&mut other, "CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('https://example.org')")
        .await;
    other.close().await.unwrap();
    let bytes = fs::read(&path).unwrap();
    let error = refusal(&Location::Sqlite(path.clone())).await;
    assert!(matches!(error, StoreError::Foreign { .. }) && error.to_string().contains("(bookmarks)"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes, "its journal mode included");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_written_back_while_readers_never_rest() {
    let (folder, location) = kept(1).await;
    let store = Store::open(&location).await.unwrap();
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                loop {
                    store.settings().await.unwrap();
                }
            })
        })
        .collect();
    let (ann, value) = (ann(), "x".repeat(4000).into());
    for number in 0..1500 {
        let mut change = store.change(&ann).await.unwrap();
        change.put_setting(&(number % 10).to_string(), &value).await.unwrap();
        change.commit().await.unwrap();
    }
    let log = fs::metadata(folder.path().join("millm.db-wal")).unwrap().len();
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    // 1500 changes have written 30 MiB and more.
    assert!(log < 20 << 20, "{log}");
}

#[tokio::test]
async fn a_truncated_or_overwritten_file_is_damaged() {
    for (length, hole) in [(5000, None), (20_000, None), (99, None), (u64::MAX, Some(4096..12_288))] {
        let (_folder, location) = kept(300).await;
        let Location::Sqlite(path) = &location else { unreachable!() };
        let mut bytes = fs::read(path).unwrap();
        assert!(bytes.len() > 30_000);
        bytes.truncate(usize::try_from(length).unwrap());
        if let Some(hole) = hole {
            bytes[hole].fill(0xa5);
        }
        fs::write(path, &bytes).unwrap();
        let error = refusal(&location).await;
        let expected = matches!(error, StoreError::Damaged { .. } | StoreError::NotADatabase { .. });
        assert!(expected, "{length}: {error}");
        // SQLite has read it and not written.
        assert_eq!(fs::read(path).unwrap(), bytes);
    }
}

#[tokio::test]
async fn an_empty_file_becomes_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("millm.db");
    File::create(&path).unwrap();
    register(&Store::open(&Location::Sqlite(path)).await.unwrap(), "demo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_program_keeps_locked_is_told_after_seconds() {
    on_sqlite(async |location| {
        let ann = ann();
        let store = Store::open(&location).await.unwrap();
        let mut other = connect(&location).await;
        execute(&mut other, "BEGIN IMMEDIATE").await;
        let error = store.change(&ann).await.unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        assert_eq!(model_ids(&store).await, [""; 0]);
        execute(&mut other, "ROLLBACK").await;
        register(&store, "after").await;
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_deleted_or_replaced_takes_no_change() {
    for replaced in [false, true] {
        let ann = ann();
        let (_folder, location) = kept(1).await;
        let Location::Sqlite(path) = &location else { unreachable!() };
        let store = Store::open(&location).await.unwrap();
        let aside = path.with_extension("aside");
        fs::rename(path, &aside).unwrap();
        let expected = if replaced { "another file was put in its place" } else { "moved or deleted" };
        if replaced {
            fs::write(path, "").unwrap();
        }
        for error in [store.ping().await.unwrap_err(), store.change(&ann).await.map(drop).unwrap_err()] {
            assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
        fs::rename(&aside, path).unwrap();
        store.ping().await.unwrap();
        register(&store, "after").await;
    }
}

#[tokio::test]
async fn another_name_of_the_file_is_the_same_database() {
    let (folder, location) = kept(1).await;
    let other = folder.path().join("link.db");
    let Location::Sqlite(path) = &location else { unreachable!() };
    symlink(path, &other).unwrap();
    let store = Store::open(&Location::Sqlite(other.clone())).await.unwrap();
    assert!(matches!(Store::open(&location).await, Err(StoreError::InUse { .. })));
    store.close().await;
    Store::open(&location).await.unwrap().close().await;
    fs::remove_file(path).unwrap();
    let error = Store::open(&Location::Sqlite(other)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn what_was_written_by_hand_and_means_nothing_is_damage() {
    let (_folder, location) = kept(1).await;
    let mut other = connect(&location).await;
    execute(&mut other, "UPDATE models SET source = 'moon'; UPDATE audit_log SET details = '{'").await;
    other.close().await.unwrap();
    let store = Store::open(&location).await.unwrap();
    for (error, expected) in [
        (store.models().await.unwrap_err(), "source is \"moon\""),
        (store.audit(millm_store::AuditFilter::default()).await.unwrap_err(), "details is not JSON"),
    ] {
        assert!(matches!(error, StoreError::Damaged { .. }) && error.to_string().contains(expected), "{error}");
    }
}

/// As a user whom file modes bind, which root is not.
#[tokio::test]
async fn a_file_or_folder_that_may_only_be_read_is_told() {
    let programs = tempfile::tempdir().unwrap();
    let program = programs.path().join("program");
    // By another process: one that another test has just started would have the copy open, and it could not run.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status();
    assert!(copied.unwrap().success());
    fs::set_permissions(programs.path(), Permissions::from_mode(0o755)).unwrap();
    for (file_mode, folder_mode, exists) in [(0o444, 0o777, true), (0o666, 0o555, true), (0o444, 0o555, false)] {
        let (folder, location) = kept(1).await;
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if exists {
                fs::set_permissions(path, Permissions::from_mode(file_mode)).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
        let lock = folder.path().join("millm.db.lock");
        if folder_mode == 0o777 {
            fs::set_permissions(lock, Permissions::from_mode(0o666)).unwrap();
        }
        fs::set_permissions(folder.path(), Permissions::from_mode(folder_mode)).unwrap();
        let mut command = child::command(Some(program.as_os_str()), "sqlite_files::is_refused_as_read_only", &location);
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.uid(65_534).gid(65_534);
        }
        let output = command.output().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("refused as it should be"), "{file_mode:o} {folder_mode:o}: {text}");
    }
}

#[tokio::test]
#[ignore = "run by a_file_or_folder_that_may_only_be_read_is_told"]
async fn is_refused_as_read_only() {
    let error = Store::open(&child::location()).await.unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    assert!(error.to_string().contains("cannot be written"), "{error}");
    println!("refused as it should be");
    std::io::stdout().flush().unwrap();
}

#[test]
fn the_tables_are_those_of_postgres() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let columns = |database: &str, file: &str| {
        let text = fs::read_to_string(folder.join(database).join(file)).unwrap();
        let text = text.replace("INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY");
        let text = text.replace(" COLLATE \"C\"", "").replace("INTEGER", "BIGINT").replace(") STRICT;", ");");
        // The words above name the other's file.
        text.split_once("\n\n").unwrap().1.to_owned()
    };
    let files: Vec<_> = fs::read_dir(folder.join("sqlite")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files.len(), fs::read_dir(folder.join("postgres")).unwrap().count());
    for file in files.iter().map(|file| file.to_str().unwrap()) {
        assert_eq!(columns("sqlite", file), columns("postgres", file), "{file}");
    }
}
