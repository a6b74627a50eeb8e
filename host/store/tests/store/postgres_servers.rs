//! What can be wrong with a server, and with the way to it.

use std::time::{Duration, Instant};

use millm_store::{Location, Store, StoreError};

use crate::{
    database::{ann, connect, execute, local_model, model_ids, on_postgres, on_server, register, server},
    network::{Network, State},
};

async fn refusal(location: &Location) -> StoreError {
    let asked = Instant::now();
    let error = Store::open(location).await.unwrap_err();
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    error
}

fn name_of(location: &Location) -> String {
    location.to_string().rsplit('/').next().unwrap().to_owned()
}

fn through(network: &Network, location: &Location) -> Location {
    let port = format!(":{}/", server().database_url.port().unwrap());
    let Location::Postgres(url) = location else { panic!("{location}") };
    Location::parse_url(&url.replacen(&port, &format!(":{}/", network.port), 1)).unwrap()
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let location = on_server(|options| options.database_url.set_password(Some("s3cret")).unwrap());
    let error = refusal(&location).await;
    let shown = format!("{error} {error:?} {location} {location:?}");
    assert!(matches!(error, StoreError::Unavailable { .. }) && shown.contains("28P01"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    // A port that no server is given at random.
    let error = refusal(&on_server(|options| options.database_url.set_port(Some(1)).unwrap())).await;
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.1:1/"), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let error = refusal(&on_server(|options| options.database_url.set_path("missing"))).await;
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("database \"missing\" does not exist"), "{error}");
}

#[tokio::test]
async fn encryption_that_the_server_lacks_is_not_given_up() {
    let error = refusal(&on_server(|options| options.database_url.set_query(Some("sslmode=require")))).await;
    assert!(matches!(error, StoreError::Unavailable { .. }) && error.to_string().contains("TLS"), "{error}");
    let error = refusal(&on_server(|options| options.database_url.set_query(Some("sslmode=rather")))).await;
    assert!(matches!(error, StoreError::Url { .. }) && error.to_string().contains("rather"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_may_only_be_read_is_told() {
    on_postgres(async |location| {
        let mut other = connect(&location).await;
        let name = name_of(&location);
        execute(&mut other, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
        let error = refusal(&location).await;
        assert!(matches!(error, StoreError::ReadOnly { .. }) && error.to_string().contains("25006"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_make_tables_is_told() {
    on_postgres(async |location| {
        let mut other = connect(&location).await;
        let (name, Location::Postgres(url)) = (name_of(&location), &location) else { unreachable!() };
        let role = format!("CREATE ROLE reader_{name} LOGIN PASSWORD 'p'; REVOKE CREATE ON SCHEMA public FROM PUBLIC");
        execute(&mut other, &role).await;
        let mut options: sqlx::any::AnyConnectOptions = url.parse().unwrap();
        options.database_url.set_username(&format!("reader_{name}")).unwrap();
        options.database_url.set_password(Some("p")).unwrap();
        let error = refusal(&Location::parse_url(options.database_url.as_str()).unwrap()).await;
        execute(&mut other, &format!("DROP ROLE reader_{name}")).await;
        assert!(matches!(error, StoreError::ReadOnly { .. }) && error.to_string().contains("42501"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_hold_every_character_is_refused() {
    on_postgres(async |location| {
        let mut other = connect(&location).await;
        let name = format!("{}_latin", name_of(&location));
        execute(&mut other, &format!("CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0")).await;
        let error = refusal(&on_server(|options| options.database_url.set_path(&name))).await;
        execute(&mut other, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        assert!(error.to_string().contains("its encoding is LATIN1"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_another_program_keeps_locked_is_told_after_seconds() {
    on_postgres(async |location| {
        let ann = ann();
        let store = Store::open(&location).await.unwrap();
        let mut other = connect(&location).await;
        execute(&mut other, "BEGIN; LOCK TABLE models; LOCK TABLE _sqlx_migrations").await;
        let asked = Instant::now();
        let error = store.models().await.unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }) && error.to_string().contains("55P03"), "{error}");
        let mut change = store.change(&ann).await.unwrap();
        let error = change.register_model(&local_model("during", "/during")).await.unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        drop(change);
        assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
        let error = Store::open_shared(&location).await.unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        execute(&mut other, "ROLLBACK").await;
        register(&store, "after").await;
        assert_eq!(model_ids(&store).await, ["after"]);
    })
    .await;
}

/// A trigger tells with which settings the store writes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_on_the_servers_disk_even_if_its_administrator_has_waived_that() {
    on_postgres(async |location| {
        Store::open(&location).await.unwrap().close().await;
        let mut other = connect(&location).await;
        let name = name_of(&location);
        let trigger = "CREATE TABLE seen (setting TEXT, value TEXT); \
                       CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                       INSERT INTO seen SELECT name, current_setting(name) FROM unnest(ARRAY['synchronous_commit', \
                       'tcp_keepalives_idle', 'statement_timeout']) name; RETURN NEW; END $$; \
                       CREATE TRIGGER see BEFORE INSERT ON models FOR EACH ROW EXECUTE FUNCTION see();";
        execute(&mut other, trigger).await;
        for (waived, expected) in [("off", "on"), ("remote_write", "remote_write")] {
            let waive = format!("ALTER DATABASE {name} SET synchronous_commit = {waived}; DELETE FROM seen");
            execute(&mut other, &waive).await;
            let store = Store::open(&location).await.unwrap();
            register(&store, waived).await;
            store.close().await;
            let seen = sqlx::query_as::<_, (String, String)>("SELECT setting, value FROM seen");
            let seen = seen.fetch_all(&mut other).await.unwrap();
            for (setting, value) in
                [("synchronous_commit", expected), ("tcp_keepalives_idle", "60"), ("statement_timeout", "8s")]
            {
                assert!(seen.contains(&(setting.into(), value.into())), "{setting}: {seen:?}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_is_found_again_and_still_has_one_host() {
    on_postgres(async |location| {
        let store = Store::open(&location).await.unwrap();
        let mut other = connect(&location).await;
        for number in 0..3 {
            let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                       WHERE datname = current_database() AND pid <> pg_backend_pid()";
            execute(&mut other, sql).await;
            register(&store, &number.to_string()).await;
            assert_eq!(model_ids(&store).await.len(), number + 1);
            store.ping().await.unwrap();
            assert!(matches!(Store::open(&location).await, Err(StoreError::InUse { .. })));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_lost_the_database_to_another_writes_nothing() {
    on_postgres(async |location| {
        let ann = ann();
        let network = Network::to(server().database_url.port().unwrap());
        let first = Store::open(&through(&network, &location)).await.unwrap();
        register(&first, "before").await;
        network.set(State::Cuts);
        let second = Store::open(&location).await.unwrap();
        network.set(State::Carries);
        for error in [first.change(&ann).await.map(drop).unwrap_err(), first.ping().await.unwrap_err()] {
            assert!(matches!(error, StoreError::InUse { .. } | StoreError::Unavailable { .. }), "{error}");
        }
        assert!(matches!(first.change(&ann).await, Err(StoreError::InUse { .. })));
        assert_eq!(model_ids(&first).await, ["before"]);
        second.close().await;
        register(&first, "after").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_and_comes_back_costs_what_was_not_kept() {
    on_postgres(async |location| {
        let ann = ann();
        let network = Network::to(server().database_url.port().unwrap());
        let store = Store::open(&through(&network, &location)).await.unwrap();
        register(&store, "before").await;
        let mut change = store.change(&ann).await.unwrap();
        change.register_model(&local_model("during", "/during")).await.unwrap();
        network.set(State::Cuts);
        let error = change.commit().await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        for error in [store.models().await.unwrap_err(), store.ping().await.unwrap_err()] {
            assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        }
        network.set(State::Carries);
        store.ping().await.unwrap();
        assert_eq!(model_ids(&store).await, ["before"]);
        register(&store, "after").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_stalls_is_waited_for_by_seconds_only() {
    on_postgres(async |location| {
        let ann = ann();
        let network = Network::to(server().database_url.port().unwrap());
        let store = Store::open(&through(&network, &location)).await.unwrap();
        let mut change = store.change(&ann).await.unwrap();
        network.set(State::Stalls);
        let asked = Instant::now();
        let error = store.ping().await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        let error = change.register_model(&local_model("during", "/during")).await.unwrap_err();
        assert!(error.to_string().contains("no answer in 10 s"), "{error}");
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
        let error = change.commit().await.unwrap_err();
        assert!(error.to_string().contains("nothing of it was kept"), "{error}");
        network.set(State::Carries);
        // The connection that stalled is given up before long.
        tokio::time::sleep(Duration::from_secs(4)).await;
        register(&store, "after").await;
        assert_eq!(model_ids(&store).await, ["after"]);
    })
    .await;
}
