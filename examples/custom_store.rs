//! Run it: `cargo run --example custom_store`. A token store of your own, here two tables of a database: it keeps the
//! contract of `oauth_client::store::conformance`, and a source that is started anew goes on where the last one stopped.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oauth_client::store::{
    Lease, LeaseGuard, Revision, StoreError, StoreKey, Stored, Swap, TokenStore, conformance,
};
use oauth_client::{Client, ClientAuth, TokenSet, grant};
use oauth_mock::{Endpoint, MockServer};
use tokio::time::Instant;

/// `CREATE TABLE tokens (key TEXT PRIMARY KEY, revision BIGSERIAL, tokens TEXT)` and
/// `CREATE TABLE leases (key TEXT PRIMARY KEY, number BIGSERIAL, until TIMESTAMP)`, as good as.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(Arc<Mutex<Rows>>);

#[derive(Debug, Default)]
struct Rows {
    by_key: HashMap<String, (u64, String)>,
    /// No revision ever comes twice, not even after a row was deleted.
    last_revision: u64,
    /// The number of the last lease on each key, and when it ends. It stays when the lease is given back.
    leases: HashMap<String, (u64, Instant)>,
}

impl Table {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenStore for Table {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        let rows = self.rows();
        let Some((revision, text)) = rows.by_key.get(key.as_str()) else { return Ok(None) };
        // The cause stays out: it may quote a token.
        let tokens =
            serde_json::from_str(text).map_err(|_| StoreError::permanent("a row is damaged; delete it"))?;
        Ok(Some(Stored { tokens, revision: Revision(*revision) }))
    }

    /// `UPDATE … WHERE key = ? AND revision = ? AND NOT (fence > ?)`: one row changed is done, none is a conflict.
    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        let mut rows = self.rows();
        if rows.by_key.get(key.as_str()).map(|(revision, _)| Revision(*revision)) != expected {
            return Ok(Swap::Conflict);
        }
        // A holder that was paused beyond its lease does not write over what its successor wrote.
        let stored = rows.by_key.get(key.as_str());
        let fence = stored.and_then(|(_, text)| serde_json::from_str::<TokenSet>(text).ok()?.fence());
        if tokens.and_then(TokenSet::fence).zip(fence).is_some_and(|(ours, theirs)| ours < theirs) {
            return Ok(Swap::Conflict);
        }
        rows.last_revision += 1;
        let revision = rows.last_revision;
        match tokens.map(serde_json::to_string).transpose() {
            Ok(Some(text)) => rows.by_key.insert(key.as_str().to_owned(), (revision, text)),
            Ok(None) => rows.by_key.remove(key.as_str()),
            Err(_) => return Err(StoreError::new("the tokens cannot be written as JSON")),
        };
        Ok(Swap::Done(Revision(revision)))
    }

    /// `UPDATE leases SET number = nextval(…), until = now() + ? WHERE key = ? AND until <= now()`: one row changed is
    /// taken. A store that a single source uses needs no `lease` at all.
    async fn lease(&self, key: &StoreKey, longest: Duration) -> Result<Option<Lease>, StoreError> {
        let mut rows = self.rows();
        let now = Instant::now();
        let (number, until) = rows.leases.get(key.as_str()).copied().unwrap_or((0, now));
        if until > now {
            return Ok(None);
        }
        rows.leases.insert(key.as_str().to_owned(), (number + 1, now + longest));
        let row = Row { table: self.clone(), key: key.as_str().to_owned(), number: number + 1 };
        Ok(Some(Lease::renewable(row).fenced(number + 1)))
    }
}

/// A lease in the table. It is still ours while no other has a later number.
struct Row {
    table: Table,
    key: String,
    number: u64,
}

impl Row {
    /// `UPDATE leases SET until = ? WHERE key = ? AND number = ?`: was there such a row?
    fn set(&self, until: Instant) -> bool {
        let mut rows = self.table.rows();
        let ours = rows.leases.get_mut(&self.key).filter(|(number, _)| *number == self.number);
        ours.map(|row| row.1 = until).is_some()
    }
}

impl LeaseGuard for Row {
    async fn renew(&self, longest: Duration) -> Result<bool, StoreError> {
        Ok(self.set(Instant::now() + longest))
    }
}

impl Drop for Row {
    // A database that is asked over the network would do this in `LeaseGuard::give_back`, and in a task of its own here.
    fn drop(&mut self) {
        self.set(Instant::now());
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // As a test of your own would: each call opens the store once more, as another process does.
    let table = Table::default();
    let report = conformance::check(async || table.clone()).await?;
    println!("the table keeps {} rules of every store", report.passed().len());

    let server = MockServer::start().await;
    let login = server.issue("svc", "alice", "read").and_then(|tokens| tokens.refresh_token);
    let login = grant::refresh_token(login.ok_or("the mock gave no refresh token")?).subject("alice");
    let client =
        Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "s3cr3t")).build()?;

    let table = Table::default();
    for start in ["first", "second"] {
        let source = client.source(login.clone()).store(table.clone()).build()?;
        let token = source.token().await?;
        println!("{start} start: {:?}", token.tokens());
        // Before a program ends: a refresh that is under way may have spent the refresh token in the table.
        source.settle().await?;
    }
    println!("token requests in all: {}", server.journal().count(Endpoint::Token));
    Ok(())
}
