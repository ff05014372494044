//! The signature algorithms that a guard accepts.

pub use oauth_client::sign::Algorithm;

/// What is accepted when nothing else is configured: every asymmetric algorithm that a guard supports.
pub(crate) const DEFAULT: [Algorithm; 9] = [
    Algorithm::Rs256,
    Algorithm::Ps256,
    Algorithm::Es256,
    Algorithm::EdDsa,
    Algorithm::Rs384,
    Algorithm::Ps384,
    Algorithm::Es384,
    Algorithm::Rs512,
    Algorithm::Ps512,
];

/// Whether a guard supports it. A client knows `ES512` as well.
pub(crate) fn is_supported(algorithm: Algorithm) -> bool {
    DEFAULT.contains(&algorithm) || algorithm.is_symmetric()
}
