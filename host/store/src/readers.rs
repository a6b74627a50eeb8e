//! The connections that read. They wait for no writer.

use std::time::Duration;

use sqlx::{
    Any, AnyPool,
    any::{AnyArguments, AnyPoolOptions},
};

use crate::{
    answer::answer,
    connection::{Role, settings},
    error::StoreError,
    location::Location,
    record::Record,
};

/// A statement and its values.
pub(crate) type Query = sqlx::query::Query<'static, Any, AnyArguments>;

/// Open from the start, so that no request waits for a connection to be made.
const WARM: u32 = 2;
const MOST: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) struct Readers {
    database: String,
    pool: AnyPool,
}

impl Readers {
    pub(crate) async fn open(location: &Location) -> Result<Self, StoreError> {
        let database = location.to_string();
        let settings = settings(location, Role::Reader);
        let options = AnyPoolOptions::new()
            .min_connections(WARM)
            .max_connections(MOST)
            .acquire_timeout(PATIENCE)
            .idle_timeout(None)
            .after_connect(move |connection, _| {
                Box::pin(async move { sqlx::raw_sql(settings).execute(connection).await.map(drop) })
            });
        // A connection to a server costs it memory that grows; one to a file does not.
        let options = match location {
            Location::Sqlite(_) => options.max_lifetime(None),
            Location::Postgres(_) => options,
        };
        let pool = answer(&database, options.connect_with(location.options()?)).await?;
        Ok(Self { database, pool })
    }

    /// All rows of the answer.
    pub(crate) async fn all(&self, query: Query) -> Result<Vec<Record<'_>>, StoreError> {
        let rows = answer(&self.database, query.fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(|row| Record { database: &self.database, row }).collect())
    }

    /// The first row of the answer.
    pub(crate) async fn first(&self, query: Query) -> Result<Option<Record<'_>>, StoreError> {
        let row = answer(&self.database, query.fetch_optional(&self.pool)).await?;
        Ok(row.map(|row| Record { database: &self.database, row }))
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}
