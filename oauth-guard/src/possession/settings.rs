//! What is configured about proofs of possession, and the checks in force that follow.

use std::sync::Arc;

use oauth_client::clock::Clock;

use super::dpop::{AHEAD, ClockMark, Past};
use super::{CertificateSource, Certificates, Dpop, Possession, PublicUrl, Replaced, TrustedProxies};
use crate::address::Address;
use crate::authorize::Bindings;
use crate::defaults;
use crate::describe::ResourceMetadata;
use crate::error::Problems;
use crate::reject::DpopChallenge;
use crate::replay::{MemoryReplayStore, Replay};

/// How many replaced stores are asked.
const MOST_REPLACED: usize = 8;
/// For how many seconds one is kept while DPoP is off.
const MOST_KEPT: u64 = 24 * 3600;

/// What a builder collects.
#[derive(Clone, Debug, Default)]
pub(crate) struct PossessionSettings {
    pub(crate) dpop: Option<Dpop>,
    pub(crate) certificates: Option<Certificates>,
    pub(crate) public_url: Option<Address>,
    pub(crate) trusted_proxies: Vec<String>,
    /// Where used proofs are noted, also by a `dpop` that is set later.
    pub(crate) replay_store: Option<Replay>,
    /// A configuration decides whether proofs are accepted.
    pub(crate) is_configured: bool,
}

impl PossessionSettings {
    /// The checks in force, after those before.
    pub(crate) fn possession(
        &self,
        resource: Option<&str>,
        before: Option<&Possession>,
        clock: &Arc<dyn Clock>,
        problems: &mut Problems,
    ) -> Possession {
        let proxies = TrustedProxies::parse(self.trusted_proxies.iter().map(String::as_str));
        let proxies = proxies.unwrap_or_else(|bad| {
            for name in bad {
                problems.add(
                    "trusted_proxies",
                    format!(
                        "{} is no network; expected addresses such as 10.0.0.0/8",
                        crate::escape::escaped(name)
                    ),
                );
            }
            TrustedProxies::default()
        });
        if self.trusted_proxies.is_empty()
            && self.certificates.as_ref().is_some_and(|one| one.source != CertificateSource::Connection)
        {
            problems.add(
                "trusted_proxies",
                "is missing: the certificate comes in a header, which counts only from the proxies named here",
            );
        }
        let public_url = match &self.public_url {
            Some(url) => PublicUrl::new(url).unwrap_or_else(|why| {
                problems.add("public_url", why);
                PublicUrl::default()
            }),
            None => resource.map(PublicUrl::of_resource).unwrap_or_default(),
        };
        let rules_before = before.and_then(|before| before.dpop.as_ref());
        let now = clock.now();
        let wall = now.wall.as_secs();
        let mark =
            before.and_then(|before| before.mark.clone()).unwrap_or_else(|| Arc::new(ClockMark::new(now)));
        let latest = mark.furthest(now);
        let past = before.and_then(|before| Past::of(rules_before, before.past, wall, latest));
        let dpop = self.dpop.as_ref().and_then(|dpop| dpop.rules(rules_before, past, &mark, now, problems));
        let replay = self.replay(before, clock, problems);
        let replaced = replaced(before, replay.as_ref(), wall, latest);
        Possession {
            dpop,
            certificates: self.certificates.clone(),
            public_url,
            proxies,
            replay,
            replaced,
            past,
            mark: Some(mark),
        }
    }

    /// A store that is named, the one in use, or a new one.
    fn replay(
        &self,
        before: Option<&Possession>,
        clock: &Arc<dyn Clock>,
        problems: &mut Problems,
    ) -> Option<Replay> {
        let kept = before.and_then(|before| before.replay.clone());
        let Some(dpop) = &self.dpop else {
            if self.replay_store.is_some() && !self.is_configured {
                problems.add("replay_store", "is given, and no proof is accepted; set dpop too");
            }
            return kept;
        };
        let (own, capacity) = dpop.replay_settings();
        if let (Some(store), Some(own)) = (&self.replay_store, &own)
            && !store.is_same(own)
        {
            problems
                .add("replay_store", "is given, and dpop has a store at another place; set one of the two");
        }
        if let Some(store) = own.or_else(|| self.replay_store.clone()).or(kept) {
            return Some(store);
        }
        let capacity = capacity.unwrap_or(defaults::REPLAY_CAPACITY);
        match MemoryReplayStore::with_clock(capacity, Arc::clone(clock)) {
            Ok(store) => Some(Replay::Memory(Arc::new(store))),
            Err(why) => {
                problems.add("dpop.replay_capacity", why);
                None
            }
        }
    }

    /// What tokens can be bound to.
    pub(crate) fn bindings(&self) -> Bindings {
        match (&self.dpop, &self.certificates) {
            (_, Some(_)) => Bindings::Certificates,
            (Some(_), None) => Bindings::Keys,
            (None, None) => Bindings::None,
        }
    }

    /// What challenges say of DPoP.
    pub(crate) fn challenge(&self) -> Option<DpopChallenge> {
        let dpop = self.dpop.as_ref()?;
        let names: Vec<_> = dpop.supported().iter().map(|one| one.name()).collect();
        Some(DpopChallenge::new(names.join(" "), dpop.is_required()))
    }

    /// The members of the RFC 9728 document.
    pub(crate) fn describe(&self, document: &mut ResourceMetadata) {
        if let Some(dpop) = &self.dpop {
            document.dpop_signing_alg_values_supported =
                dpop.supported().iter().map(|one| one.name().to_owned()).collect();
            document.dpop_bound_access_tokens_required = dpop.is_required();
        }
        document.tls_client_certificate_bound_access_tokens = self.certificates.is_some();
    }
}

/// The stores that have to be asked besides the one in force: what they have noted is not noted there. One that may be the
/// same is none of them, since it would take every proof for a replay.
fn replaced(before: Option<&Possession>, replay: Option<&Replay>, now: u64, latest: u64) -> Vec<Replaced> {
    let (Some(before), Some(replay)) = (before, replay) else { return Vec::new() };
    let last = before
        .replay
        .iter()
        .map(|store| Replaced { store: store.clone(), until: latest.saturating_add(AHEAD) });
    // Of proofs that are too old by now nothing is left to ask.
    let longest = before.dpop.as_ref().map_or(MOST_KEPT, |dpop| dpop.max_age);
    let older = before.replaced.iter().filter(|one| now <= one.until.saturating_add(longest)).cloned();
    let mut replaced: Vec<_> = older.chain(last).filter(|one| one.store.is_another_than(replay)).collect();
    if let Some(too_many) = replaced.len().checked_sub(MOST_REPLACED).filter(|count| *count > 0) {
        tracing::warn!(
            target: "oauth_guard",
            "reloads replace the store of used proofs all the time: a proof noted before the last {MOST_REPLACED} may be used again"
        );
        replaced.drain(..too_many);
    }
    replaced
}
