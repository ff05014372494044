//! A store that is in trouble.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oauth_client::TokenSet;
use oauth_client::store::{
    Lease, LeaseGuard, MemoryStore, Revision, StoreError, StoreKey, Stored, Swap, TokenStore,
};

use super::server::{Random, Server};

/// A store that is slow, fails, hangs, and loses responses.
#[derive(Clone, Debug)]
pub(super) struct Troubled {
    pub(super) inner: MemoryStore,
    pub(super) random: Random,
    pub(super) state: Arc<Mutex<Trouble>>,
    pub(super) server: Arc<Mutex<Server>>,
    /// Whether its leases are numbered.
    pub(super) is_fenced: bool,
    /// Whether the user's entry says that the login has ended.
    pub(super) says_ended: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
pub(super) struct Trouble {
    calm: bool,
    pub(super) no_writes_until: Option<tokio::time::Instant>,
    pub(super) away_until: Option<tokio::time::Instant>,
    leases: u64,
    /// Of renewals that failed in a row: a lease that cannot be renewed ends, and with it the promise.
    unrenewed: u32,
}

impl Trouble {
    pub(super) fn calm(&mut self) {
        (self.calm, self.no_writes_until, self.away_until) = (true, None, None);
    }

    fn next_lease(&mut self) -> u64 {
        self.leases += 1;
        self.leases
    }

    pub(super) fn is_calm(&self) -> bool {
        self.calm
    }

    pub(super) fn takes_no_writes(&self) -> bool {
        self.no_writes_until.is_some_and(|until| tokio::time::Instant::now() < until)
    }

    fn is_away(&self) -> bool {
        self.away_until.is_some_and(|until| tokio::time::Instant::now() < until)
    }
}

impl Troubled {
    fn failed() -> StoreError {
        StoreError::new("it fails, as the schedule wants it to; try again")
    }

    /// What stands in an entry now. That of a derived source has no refresh token, and says nothing about the login.
    fn written(&self, tokens: &TokenSet) {
        if tokens.is_ended() || tokens.refresh_token().is_some() {
            self.says_ended.store(tokens.is_ended(), Ordering::Relaxed);
        }
        let login = tokens.refresh_token().and_then(|token| token.expose().rsplit_once('.'));
        let mut server = self.server.lock().unwrap();
        if let Some((login, number)) = login
            && server.ended.contains(login)
        {
            server.faults.push(format!("{login}.{number} was written after the log-out"));
        }
    }

    /// Before a call: slow, failing or hanging.
    async fn before(&self) -> Result<(), StoreError> {
        if self.state.lock().unwrap().calm {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(self.random.below(300))).await;
        if self.state.lock().unwrap().is_away() || self.random.chance(8) {
            self.server.lock().unwrap().counts.store_faults += 1;
            return Err(Self::failed());
        }
        if self.random.chance(3) {
            self.server.lock().unwrap().counts.store_faults += 1;
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        Ok(())
    }

    /// After a call: the response is lost.
    async fn after(&self) -> Result<(), StoreError> {
        if self.state.lock().unwrap().calm {
            return Ok(());
        }
        match self.random.below(100) {
            0..=4 => Err(Self::failed()),
            5..=6 => {
                tokio::time::sleep(Duration::from_secs(600)).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl TokenStore for Troubled {
    async fn load(&self, key: &StoreKey) -> Result<Option<Stored>, StoreError> {
        self.before().await?;
        let stored = self.inner.load(key).await?;
        self.after().await?;
        Ok(stored)
    }

    async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: Option<Revision>,
        tokens: Option<&TokenSet>,
    ) -> Result<Swap, StoreError> {
        self.before().await?;
        if self.state.lock().unwrap().takes_no_writes() {
            return Err(Self::failed());
        }
        let swap = self.inner.compare_and_swap(key, expected, tokens).await?;
        if let (Swap::Done(_), Some(tokens)) = (&swap, tokens) {
            self.written(tokens);
        }
        self.after().await?;
        Ok(swap)
    }

    async fn lease(&self, key: &StoreKey, longest: Duration) -> Result<Option<Lease>, StoreError> {
        self.before().await?;
        let lease = self.inner.lease(key, longest).await?;
        self.after().await?;
        Ok(lease.map(|inner| {
            let lease = Lease::renewable(Renewed { inner, store: self.clone() });
            match self.is_fenced {
                true => lease.fenced(self.state.lock().unwrap().next_lease()),
                false => lease,
            }
        }))
    }
}

struct Renewed {
    inner: Lease,
    store: Troubled,
}

impl LeaseGuard for Renewed {
    async fn renew(&self, longest: Duration) -> Result<bool, StoreError> {
        // At most two in a row fail by chance, so that the lease does not end.
        let spared = self.store.state.lock().unwrap().unrenewed >= 2;
        if !spared {
            self.store.state.lock().unwrap().unrenewed += 1;
            self.store.before().await?;
        }
        if self.store.state.lock().unwrap().is_away() {
            return Err(Troubled::failed());
        }
        self.store.state.lock().unwrap().unrenewed = 0;
        self.inner.renew(longest).await
    }
}
