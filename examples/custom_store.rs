//! Run it: `cargo run --example custom_store`. A token store of your own, here the table of a database: two
//! methods, and a source that is started anew goes on where the last one stopped.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use oauth_client::store::{Revision, StoreError, StoreKey, Stored, Swap, TokenStore};
use oauth_client::{Client, ClientAuth, TokenSet, grant};
use oauth_mock::{Endpoint, MockServer};

/// `CREATE TABLE tokens (key TEXT PRIMARY KEY, revision BIGSERIAL, tokens TEXT)`, as good as.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(Arc<Mutex<Rows>>);

#[derive(Debug, Default)]
struct Rows {
    by_key: HashMap<String, (u64, String)>,
    /// No revision ever comes twice, not even after a row was deleted.
    last_revision: u64,
}

impl TokenStore for Table {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((revision, text)) = rows.by_key.get(key.as_str()) else { return Ok(None) };
        // The cause stays out: it may quote a token.
        let tokens =
            serde_json::from_str(text).map_err(|_| StoreError::new("a row is damaged; delete it"))?;
        Ok(Some(Stored { tokens, revision: Revision(*revision) }))
    }

    /// `UPDATE … WHERE key = ? AND revision = ?`: one row changed is done, none is a conflict.
    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.by_key.get(key.as_str()).map(|(revision, _)| Revision(*revision)) != expected {
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

    // `lease` is left as it is: it always grants, which is right while one process uses the table. For several, take a
    // row lock or an advisory lock here, and give it back when the lease is dropped; or write a holder and a deadline
    // into the row, and return a `Lease::renewable`, which the source renews while its request is pending.
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
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
