//! Several programs, and several versions of them, at one database.

use millm_store::{Location, PrependBos, Store, StoreError};

use crate::database::{connect, execute, model_ids, on_both, register};

on_both! {
    a_second_host_is_refused_until_the_first_closes
    a_host_that_is_dropped_lets_the_next_one_in
    a_host_that_is_about_to_end_is_waited_for
    a_tool_works_beside_a_host
    many_programs_make_one_new_database
    a_newer_schema_is_refused
    a_database_of_an_older_version_becomes_ours
    an_altered_schema_is_refused
    tables_of_somebody_else_are_left_alone
    a_store_answers_a_ping
}

async fn a_second_host_is_refused_until_the_first_closes(location: Location) {
    let first = Store::open(&location).await.unwrap();
    register(&first, "demo").await;
    let error = Store::open(&location).await.unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("in use by another millm host"), "{error}");
    register(&first, "undisturbed").await;
    first.close().await;
    let second = Store::open(&location).await.unwrap();
    assert_eq!(model_ids(&second).await.len(), 2);
}

async fn a_host_that_is_dropped_lets_the_next_one_in(location: Location) {
    for number in 0..3 {
        register(&Store::open(&location).await.unwrap(), &number.to_string()).await;
    }
}

async fn a_host_that_is_about_to_end_is_waited_for(location: Location) {
    let first = Store::open(&location).await.unwrap();
    let (second, ()) = tokio::join!(Store::open(&location), first.close());
    second.unwrap();
}

async fn a_tool_works_beside_a_host(location: Location) {
    let host = Store::open(&location).await.unwrap();
    let tool = Store::open_shared(&location).await.unwrap();
    register(&tool, "by the tool").await;
    register(&host, "by the host").await;
    assert_eq!(model_ids(&host).await.len(), 2);
    assert_eq!(model_ids(&tool).await.len(), 2);
    tool.close().await;
    assert!(matches!(Store::open(&location).await, Err(StoreError::InUse { .. })));
    register(&host, "after the tool").await;
}

async fn many_programs_make_one_new_database(location: Location) {
    // No more, since each wants its connections within seconds.
    const PROGRAMS: usize = 4;
    let tasks: Vec<_> = (0..PROGRAMS)
        .map(|number| {
            let location = location.clone();
            tokio::spawn(async move {
                let store = Store::open_shared(&location).await.unwrap();
                register(&store, &number.to_string()).await;
                store.close().await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(model_ids(&Store::open(&location).await.unwrap()).await.len(), PROGRAMS);
}

async fn a_newer_schema_is_refused(location: Location) {
    let store = Store::open(&location).await.unwrap();
    register(&store, "demo").await;
    store.close().await;
    let mut other = connect(&location).await;
    let checksum = match &location {
        Location::Sqlite(_) => "x'00'",
        Location::Postgres(_) => "'\\x00'",
    };
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)";
    execute(&mut other, &format!("{sql} VALUES (7, 'later', true, {checksum}, 0)")).await;
    for opened in [Store::open(&location).await, Store::open_shared(&location).await] {
        let error = opened.unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 7, known: 3, .. }), "{error}");
        assert!(error.to_string().contains("it has migration 7, this one knows them up to 3"), "{error}");
    }
    // Nothing was done to it.
    execute(&mut other, "DELETE FROM _sqlx_migrations WHERE version = 7").await;
    assert_eq!(model_ids(&Store::open(&location).await.unwrap()).await, ["demo"]);
}

async fn a_database_of_an_older_version_becomes_ours(location: Location) {
    let store = Store::open(&location).await.unwrap();
    register(&store, "demo").await;
    store.close().await;
    let mut other = connect(&location).await;
    execute(&mut other, "DROP TABLE saes").await;
    execute(&mut other, "ALTER TABLE models DROP COLUMN prepend_bos").await;
    execute(&mut other, "DELETE FROM _sqlx_migrations WHERE version > 1").await;
    let store = Store::open(&location).await.unwrap();
    let model = store.model("demo").await.unwrap().unwrap();
    assert_eq!((model.local_path.as_str(), model.prepend_bos), ("/models/demo", PrependBos::Auto));
    assert_eq!(store.saes().await.unwrap(), []);
}

async fn an_altered_schema_is_refused(location: Location) {
    Store::open(&location).await.unwrap().close().await;
    let mut other = connect(&location).await;
    let checksum = match &location {
        Location::Sqlite(_) => "x'00'",
        Location::Postgres(_) => "'\\x00'",
    };
    execute(&mut other, &format!("UPDATE _sqlx_migrations SET checksum = {checksum}")).await;
    let error = Store::open(&location).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }) && error.to_string().contains("migration 1"), "{error}");
}

async fn tables_of_somebody_else_are_left_alone(location: Location) {
    let mut other = connect(&location).await;
    execute(&mut other, "CREATE TABLE plugins (price BIGINT); INSERT INTO plugins VALUES (12)").await;
    let error = Store::open(&location).await.unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("plugins") && error.to_string().contains("database of its own"), "{error}");
    let price: i64 = sqlx::query_scalar("SELECT price FROM plugins").fetch_one(&mut other).await.unwrap();
    assert_eq!(price, 12);
}

async fn a_store_answers_a_ping(location: Location) {
    let store = Store::open(&location).await.unwrap();
    for _ in 0..100 {
        store.ping().await.unwrap();
    }
}
