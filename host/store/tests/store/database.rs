//! A fresh database for every test.

use std::{env, panic::resume_unwind};

use millm_store::{Actor, Location, ModelSource, NewModel, Store};
use sqlx::{
    AnyConnection, AssertSqlSafe, ConnectOptions,
    any::{AnyConnectOptions, install_default_drivers},
};
use tokio::task::{LocalSet, spawn_local};

/// Makes two tests of each function: one with an SQLite file, one with a PostgreSQL database.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crate::database::on_sqlite(super::$name).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crate::database::on_postgres(super::$name).await;
            })*
        }
    };
}
pub(crate) use on_both;

pub(crate) async fn on_sqlite<F: Future<Output = ()>>(test: impl FnOnce(Location) -> F) {
    let folder = tempfile::tempdir().unwrap();
    test(Location::Sqlite(folder.path().join("millm.db"))).await;
}

pub(crate) async fn on_postgres<F: Future<Output = ()> + 'static>(test: impl FnOnce(Location) -> F) {
    let mut admin = server().connect().await.unwrap();
    let name = format!("millm_{}", uuid::Uuid::now_v7().simple());
    execute(&mut admin, &format!("CREATE DATABASE {name}")).await;
    let test = test(on_server(|options| options.database_url.set_path(&name)));
    let outcome = LocalSet::new().run_until(async { spawn_local(test).await }).await;
    execute(&mut admin, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    if let Err(error) = outcome {
        resume_unwind(error.into_panic());
    }
}

/// The server of this run.
pub(crate) fn server() -> AnyConnectOptions {
    install_default_drivers();
    let url = env::var("MILLM_TEST_POSTGRES");
    url.expect("MILLM_TEST_POSTGRES names no PostgreSQL server; run the tests by `cargo xtask test`").parse().unwrap()
}

/// Its URL after a change.
pub(crate) fn on_server(change: impl FnOnce(&mut AnyConnectOptions)) -> Location {
    let mut options = server();
    change(&mut options);
    Location::parse_url(options.database_url.as_str()).unwrap()
}

/// A connection beside the store.
pub(crate) async fn connect(location: &Location) -> AnyConnection {
    install_default_drivers();
    let url = match location {
        Location::Sqlite(path) => format!("sqlite://{}?mode=rwc", path.display()),
        Location::Postgres(url) => url.clone(),
    };
    url.parse::<AnyConnectOptions>().unwrap().connect().await.unwrap()
}

pub(crate) async fn execute(connection: &mut AnyConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

pub(crate) fn ann() -> Actor {
    Actor { name: "ann".into(), request_id: Some("req-1".into()) }
}

pub(crate) fn local_model(id: &str, path: &str) -> NewModel {
    NewModel { id: id.into(), source: ModelSource::Local, local_path: path.into() }
}

/// Registers a model in a change of its own.
pub(crate) async fn register(store: &Store, id: &str) {
    let ann = ann();
    let mut change = store.change(&ann).await.unwrap();
    change.register_model(&local_model(id, &format!("/models/{id}"))).await.unwrap();
    change.commit().await.unwrap();
}

/// The ids of all models, the newest first.
pub(crate) async fn model_ids(store: &Store) -> Vec<String> {
    store.models().await.unwrap().into_iter().map(|model| model.id).collect()
}
