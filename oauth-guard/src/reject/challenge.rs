//! Status, `WWW-Authenticate` and `Retry-After` of each rejection (RFC 6750 section 3, RFC 9110 section 11.6.1): the one
//! place that decides them, for HTTP and gRPC alike.

use std::sync::{Arc, OnceLock};

use http::{HeaderValue, StatusCode};

use super::body::Hook;
use super::log::RejectionLog;
use super::rejection::{Rejection, RequiredBinding};
use crate::authorize::Implied;
use crate::defaults::REALM;

/// What every challenge of a guard names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Challenge {
    pub(crate) realm: Option<Box<str>>,
    pub(crate) resource_metadata: Option<Box<str>>,
    /// A token that grants too little for an extractor is logged, not rejected.
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "only extractors reject behind a guard"))]
    pub(crate) dry_run: bool,
    /// The scopes that other scopes include.
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "only extractors reject behind a guard"))]
    pub(crate) implied: Implied,
    /// gRPC requests get HTTP responses too.
    pub(crate) never_grpc: bool,
    /// Where rejections are logged.
    pub(crate) log: Arc<RejectionLog>,
    /// The user's body and headers.
    pub(crate) hook: Option<Hook>,
    /// Where tokens may be bound to a key.
    pub(crate) dpop: Option<DpopChallenge>,
    /// The challenges for invalid tokens, built when they are first needed: of bearer tokens, and of bound ones.
    pub(crate) invalid_token: [OnceLock<[Option<HeaderValue>; 2]>; 2],
}

/// What challenges say of DPoP.
#[derive(Clone, Debug)]
pub(crate) struct DpopChallenge {
    /// The algorithms that proofs may be signed with (RFC 9449 section 7.1).
    algorithms: Box<str>,
    /// Bearer tokens are not accepted at all.
    required: bool,
}

impl DpopChallenge {
    pub(crate) fn new(algorithms: String, required: bool) -> Self {
        Self { algorithms: algorithms.into(), required }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Dpop,
}

/// The part of a response that a rejection decides.
pub(super) struct Decision {
    pub(super) status: StatusCode,
    /// One for each scheme that the caller may use.
    pub(super) challenges: [Option<HeaderValue>; 2],
    pub(super) retry_after: Option<HeaderValue>,
}

impl Challenge {
    /// Status and headers of a rejection. `dpop`: the caller uses the scheme `DPoP`.
    pub(super) fn decide(&self, rejection: &Rejection, dpop: bool) -> Decision {
        let used = if self.dpop.as_ref().is_some_and(|ours| dpop || ours.required) {
            Scheme::Dpop
        } else {
            Scheme::Bearer
        };
        // A flood of invalid tokens gets the same prepared values each time.
        let prepared = matches!(rejection, Rejection::InvalidToken(_)).then(|| self.prepared(used));
        if let Some(challenges) = prepared.and_then(OnceLock::get) {
            let status = StatusCode::UNAUTHORIZED;
            return Decision { status, challenges: challenges.clone(), retry_after: None };
        }
        let max_age = match rejection {
            Rejection::InsufficientAuthentication { max_age, .. } => {
                max_age.map(|age| age.as_secs().to_string())
            }
            _ => None,
        };
        let described = rejection.public_message();
        let (status, attributes): (_, Option<Vec<(&str, &str)>>) = match rejection {
            Rejection::MissingToken | Rejection::MissingBoundToken => {
                (StatusCode::UNAUTHORIZED, Some(vec![]))
            }
            Rejection::MalformedRequest(_) => (
                StatusCode::BAD_REQUEST,
                Some(vec![("error", "invalid_request"), ("error_description", described)]),
            ),
            Rejection::InvalidProof(_) => (
                StatusCode::UNAUTHORIZED,
                Some(vec![("error", "invalid_dpop_proof"), ("error_description", described)]),
            ),
            Rejection::UseDpopNonce => (
                StatusCode::UNAUTHORIZED,
                Some(vec![("error", "use_dpop_nonce"), ("error_description", described)]),
            ),
            Rejection::TokenNotBound(_) => (
                StatusCode::UNAUTHORIZED,
                Some(vec![("error", "invalid_token"), ("error_description", described)]),
            ),
            Rejection::InvalidToken(_) => (
                StatusCode::UNAUTHORIZED,
                Some(vec![("error", "invalid_token"), ("error_description", described)]),
            ),
            Rejection::InsufficientScope { needed } => {
                let mut attributes = vec![("error", "insufficient_scope")];
                if !needed.is_empty() {
                    attributes.push(("scope", needed));
                }
                (StatusCode::FORBIDDEN, Some(attributes))
            }
            Rejection::InsufficientAuthentication { acr_values, .. } => {
                let mut attributes = vec![("error", "insufficient_user_authentication")];
                if !acr_values.is_empty() {
                    attributes.push(("acr_values", acr_values));
                }
                if let Some(age) = &max_age {
                    attributes.push(("max_age", age));
                }
                (StatusCode::UNAUTHORIZED, Some(attributes))
            }
            Rejection::KeysUnavailable { .. }
            | Rejection::IntrospectionUnavailable { .. }
            | Rejection::RevocationsUnavailable { .. }
            | Rejection::ReplayUnavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, None),
            Rejection::NoRule => (StatusCode::FORBIDDEN, Some(vec![("error", "insufficient_scope")])),
            Rejection::OriginNotAllowed => (StatusCode::FORBIDDEN, None),
            Rejection::NotGuarded | Rejection::UncheckedBody => (StatusCode::INTERNAL_SERVER_ERROR, None),
        };
        let retry_after = match rejection {
            Rejection::KeysUnavailable { retry_after }
            | Rejection::IntrospectionUnavailable { retry_after }
            | Rejection::RevocationsUnavailable { retry_after }
            | Rejection::ReplayUnavailable { retry_after } => {
                // Whole seconds, rounded up: RFC 9110 section 10.2.3.
                let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
                Some(HeaderValue::from(seconds.max(1)))
            }
            _ => None,
        };
        let challenges = match (prepared, attributes) {
            (_, None) => [None, None],
            (Some(prepared), Some(attributes)) => {
                prepared.get_or_init(|| self.challenges(rejection, used, &attributes)).clone()
            }
            (None, Some(attributes)) => self.challenges(rejection, used, &attributes),
        };
        Decision { status, challenges, retry_after }
    }

    /// The challenges for invalid tokens.
    fn prepared(&self, used: Scheme) -> &OnceLock<[Option<HeaderValue>; 2]> {
        let [bearer, bound] = &self.invalid_token;
        if used == Scheme::Dpop { bound } else { bearer }
    }

    /// The scheme that the error is about, and the other one where the caller may use that instead.
    fn challenges(
        &self,
        rejection: &Rejection,
        used: Scheme,
        attributes: &[(&str, &str)],
    ) -> [Option<HeaderValue>; 2] {
        let has_dpop = self.dpop.is_some();
        match rejection {
            Rejection::InvalidProof(_)
            | Rejection::UseDpopNonce
            | Rejection::MissingBoundToken
            | Rejection::TokenNotBound(RequiredBinding::Key)
                if has_dpop =>
            {
                [self.render(Scheme::Dpop, attributes), None]
            }
            Rejection::MissingToken | Rejection::InvalidToken(_) if has_dpop && used == Scheme::Bearer => {
                [self.render(Scheme::Bearer, attributes), self.render(Scheme::Dpop, &[])]
            }
            _ => [self.render(used, attributes), None],
        }
    }

    fn render(&self, scheme: Scheme, attributes: &[(&str, &str)]) -> Option<HeaderValue> {
        // RFC 6750 section 3: at least one parameter follows the scheme. The realm is always there, so that all
        // challenges name the same protection space.
        let realm = [("realm", self.realm.as_deref().unwrap_or(REALM))];
        let metadata = self.resource_metadata.as_deref().map(|url| ("resource_metadata", url));
        let common = realm.into_iter().chain(metadata);
        let ours = self.dpop.as_ref().filter(|_| scheme == Scheme::Dpop);
        let algorithms = ours.map(|ours| ("algs", &*ours.algorithms));
        let mut text = String::from(if scheme == Scheme::Dpop { "DPoP" } else { "Bearer" });
        for (index, (name, value)) in common.chain(attributes.iter().copied()).chain(algorithms).enumerate() {
            text.push_str(if index == 0 { " " } else { ", " });
            text.push_str(name);
            text.push_str("=\"");
            // RFC 9110 section 5.6.4: only these two need a backslash; control characters are rejected when the guard
            // is built.
            for char in value.chars() {
                if matches!(char, '"' | '\\') {
                    text.push('\\');
                }
                text.push(char);
            }
            text.push('"');
        }
        HeaderValue::try_from(text).ok()
    }
}
