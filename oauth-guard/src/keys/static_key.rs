//! A key that the configuration gives one by one.

use std::fmt;

use crate::jose::Algorithm;

/// One key of an issuer's configuration, not parsed yet.
#[derive(Clone)]
pub(crate) enum StaticKey {
    Pem { key_id: Option<String>, algorithm: Algorithm, pem: Vec<u8> },
    Secret { algorithm: Algorithm, secret: Vec<u8> },
}

impl StaticKey {
    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Pem { algorithm, .. } | Self::Secret { algorithm, .. } => *algorithm,
        }
    }

    /// The configuration field that holds it.
    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::Pem { .. } => "key_pem",
            Self::Secret { .. } => "hmac_secret",
        }
    }
}

impl fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem { key_id, algorithm, .. } => f
                .debug_struct("Pem")
                .field("key_id", key_id)
                .field("algorithm", algorithm)
                .finish_non_exhaustive(),
            Self::Secret { algorithm, .. } => {
                f.debug_struct("Secret").field("algorithm", algorithm).finish_non_exhaustive()
            }
        }
    }
}
