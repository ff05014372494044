//! Keys that outlive the process: written down by one, read by the next, which then starts without the issuer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::guard::Guard;
use crate::health::Health;

/// The key sets of a guard's issuers as they were last fetched, to be kept in a file or a shared cache as any serde
/// format. They are public keys and no secret, but whoever can change them can sign tokens: keep them where only the
/// service can write.
///
/// ```
/// # use oauth_guard::{Guard, Issuer, KeyExport};
/// # let guard = Guard::builder().issuer(Issuer::new("https://auth.example.com").audience("orders-api")).build()?;
/// let text = serde_json::to_string(&guard.export_keys())?;
/// // … the next start …
/// let taken = guard.preload_keys(&serde_json::from_str::<KeyExport>(&text)?);
/// assert_eq!(taken, 0); // nothing had been fetched yet
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyExport(Vec<ExportedSet>);

/// One issuer's key set and when it was fetched.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ExportedSet {
    issuer: String,
    /// Seconds since the Unix epoch.
    fetched_at: u64,
    keys: serde_json::Value,
}

impl<T: Send + Sync + 'static> Guard<T> {
    /// The key sets held now. Keys that came with the configuration are not among them.
    #[must_use]
    pub fn export_keys(&self) -> KeyExport {
        let mut sets: Vec<_> = self
            .policy()
            .all_issuers()
            .iter()
            .filter_map(|issuer| {
                let (fetched_at, document) = issuer.keys.remote()?.exported()?;
                let keys = serde_json::from_slice(&document).ok()?;
                Some(ExportedSet { issuer: issuer.name().to_owned(), fetched_at, keys })
            })
            .collect();
        sets.sort_by(|one, two| one.issuer.cmp(&two.issuer));
        KeyExport(sets)
    }

    /// Takes over key sets, and says how many. Those of unknown issuers are passed over, and so are those older than
    /// what is held, older than `max_stale`, or from the future. A set that is due is refreshed as ever.
    pub fn preload_keys(&self, export: &KeyExport) -> usize {
        let policy = self.policy();
        let taken = export.0.iter().filter(|set| {
            let issuer = policy.issuers.get(set.issuer.as_str());
            let remote = issuer.and_then(|issuer| issuer.keys.remote());
            remote.is_some_and(|remote| remote.preload(set.fetched_at, set.keys.to_string().into()))
        });
        taken.count()
    }

    /// Fetches the keys of all issuers that have none yet, or none that are good, so that no request has to wait for them, and says how that
    /// went. Optional: without it, the first request of each issuer fetches them. A failure is no error; later
    /// requests try again.
    pub async fn warm_up(&self) -> Health {
        let policy = Arc::clone(&*self.policy());
        let now = policy.clock.now();
        let flights: Vec<_> = policy
            .all_issuers()
            .iter()
            .filter_map(|issuer| issuer.keys.remote()?.fetch_if_due(now))
            .collect();
        for flight in flights {
            // Lost with its runtime or not: the keys tell.
            let _ = flight.landed().await;
        }
        self.health()
    }
}
