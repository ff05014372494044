//! Bad tokens, headers and key sets, once, as one table: what to send, what must come back, and which clause says so.
//!
//! Every attack is aimed at an API that trusts one issuer and one audience, wants RFC 9068 access tokens and one scope.
//! The table also holds good requests that look suspicious (a scheme in odd case, an audience list …): a guard that
//! refuses everything does not pass.
//!
//! Nothing here opens a connection: a test in Rust sends the requests itself. [`suite`](crate::suite) sends them to an
//! API over its address, and reports.
//!
//! ```
//! use oauth_mock::MockServer;
//! use oauth_mock::attack::{self, AttackContext};
//!
//! for attack in attack::all() {
//!     // A server of its own for each: some attacks change the published keys.
//!     let server = MockServer::builder().algorithms(attack::ALGORITHMS).in_process();
//!     let context = AttackContext::new(&server).scope("read");
//!     for request in attack.requests(&context) {
//!         // Some are about what a cache does later: wait, or step a clock, by `request.wait()`.
//!         let http = request.to_http("https://api.test/orders");
//!         // Send it to the API under test and compare the response with `request.expected()`; nothing of
//!         // `request.unmentionable()` may be in it.
//!         # assert!(http.is_some() || request.is_wire_only());
//!     }
//! #   break;
//! }
//! assert!(attack::find("alg-none").is_some());
//! ```

mod alg;
mod certificate;
mod claims;
mod context;
mod der;
mod header;
mod http;
mod json;
mod keys;
pub(crate) mod possession;
mod reach;
mod request;
mod scope;
mod signature;
mod structure;
mod time;

use std::fmt;
use std::time::Duration;

pub use self::context::AttackContext;
pub use self::possession::{CertificateHeader, Part};
pub use self::request::{AttackRequest, Expected};
use crate::keys::Alg;

/// Every algorithm the table signs with: give them to the server beforehand
/// ([`algorithms`](crate::MockServerBuilder::algorithms)), and no key appears after the target has fetched the key set.
pub const ALGORITHMS: [Alg; 8] =
    [Alg::Rs256, Alg::Ps256, Alg::Ps384, Alg::Es256, Alg::EdDsa, Alg::Ed25519, Alg::Es512, Alg::Es256k];

/// One row of the table.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Attack {
    /// A stable name for reports and metrics, such as `alg-none`.
    pub id: &'static str,
    /// The number of the case it belongs to; several rows may share one.
    pub case: &'static str,
    /// What part of a request it corrupts.
    pub area: Area,
    /// What must hold, in one sentence.
    pub rule: &'static str,
    /// Where that is written.
    pub clause: &'static str,
    /// What an attacker or a user has of it when it does not hold.
    pub why: &'static str,
    /// How firmly it is asked for, unless a request says otherwise.
    pub level: RequirementLevel,
    /// How the target must be set up for it.
    pub setup: Setup,
    /// The response its requests expect, unless a request says otherwise.
    pub expected: Expected,
    make: fn(&AttackContext) -> Vec<AttackRequest>,
}

/// How firmly the standards ask for the expected response: what it means when a request is accepted all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequirementLevel {
    /// A caller gets in who should not: the token is forged, expired, withdrawn, or meant for another API.
    Must,
    /// RFC 9068 asks for it: the same for an API that takes only `at+jwt`, a choice for any other.
    Profile,
    /// A standard forbids it, though by itself it accepts no forged token: only the holder of a good token could send
    /// it, or only an issuer that makes a mistake.
    Strict,
    /// No standard forbids it: being strict here is a choice.
    Choice,
}

/// The part of a request that an attack corrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Area {
    /// Algorithm and key confusion.
    Alg,
    /// The signature's value.
    Signature,
    /// Parts, base64url and size.
    Structure,
    /// The JSON of header and claims.
    Json,
    /// Trust in the token's own header.
    Header,
    /// `exp`, `nbf`, `iat`.
    Time,
    /// `iss`, `aud`, `sub`.
    Claims,
    /// What the token may do.
    Scope,
    /// The `Authorization` header and its imitations; other methods, paths, origins and headers.
    Http,
    /// The published key set. These change the server's keys when their requests are made.
    Keys,
    /// Proofs of a key, and the tokens that are bound to it: [`Part::Dpop`].
    Dpop,
    /// Certificates in headers, and the tokens that are bound to them: [`Part::Certificates`].
    Certificates,
    /// What an introspection endpoint says of a token (RFC 7662). These are no requests that could be made beforehand: a
    /// [suite](crate::suite::Suite::opaque) is the endpoint.
    Introspection,
}

/// What must differ from the usual target: one issuer, one audience, every asymmetric algorithm, a token required.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Setup {
    /// Allows only these algorithms.
    pub only_algorithms: Option<&'static [Alg]>,
    /// Refuses tokens issued longer ago than this.
    pub max_token_age: Option<Duration>,
    /// Lets requests without a token through.
    pub optional: bool,
    /// Trusts [`AttackContext::second_issuer`] as well.
    pub two_issuers: bool,
}

/// The table of tokens that are shown as bearer tokens, in the order a request is checked: [`Part::Tokens`].
pub fn all() -> impl Iterator<Item = &'static Attack> {
    [
        http::ATTACKS,
        reach::ATTACKS,
        structure::ATTACKS,
        json::ATTACKS,
        header::ATTACKS,
        alg::ATTACKS,
        keys::ATTACKS,
        signature::ATTACKS,
        time::ATTACKS,
        claims::ATTACKS,
        scope::ATTACKS,
    ]
    .into_iter()
    .flatten()
}

/// The rows of one part.
///
/// Those of [`Part::Dpop`] and [`Part::Certificates`] make no requests before the context knows what they need
/// ([`AttackContext::dpop`], [`AttackContext::certificates`]).
pub fn of(part: Part) -> impl Iterator<Item = &'static Attack> {
    let tokens = (part == Part::Tokens).then(all).into_iter().flatten();
    tokens.chain(possession::attacks(part).iter().copied().flatten())
}

/// The attack of this name, in any part.
#[must_use]
pub fn find(id: &str) -> Option<&'static Attack> {
    Part::ALL.into_iter().flat_map(of).find(|attack| attack.id == id)
}

impl Attack {
    /// Makes the requests; an attack of [`Area::Keys`] first changes the server's keys. None, when the context lacks
    /// what it takes (a scope, a second issuer).
    #[must_use]
    pub fn requests(&self, context: &AttackContext) -> Vec<AttackRequest> {
        (self.make)(context).into_iter().map(|request| request.or(self.expected, self.level)).collect()
    }

    /// A row whose requests are refused as RFC 6750 section 3.1 says for a bad token.
    pub(crate) const fn refused(
        area: Area,
        id: &'static str,
        case: &'static str,
        clause: &'static str,
        rule: &'static str,
        why: &'static str,
        make: fn(&AttackContext) -> Vec<AttackRequest>,
    ) -> Self {
        let (setup, expected, level) = (Setup::NONE, Expected::INVALID_TOKEN, RequirementLevel::Must);
        Self { id, case, area, rule, clause, why, level, setup, expected, make }
    }

    /// A row whose requests are accepted: a control.
    pub(crate) const fn accepted(
        area: Area,
        id: &'static str,
        case: &'static str,
        clause: &'static str,
        rule: &'static str,
        why: &'static str,
        make: fn(&AttackContext) -> Vec<AttackRequest>,
    ) -> Self {
        Self::refused(area, id, case, clause, rule, why, make).expecting(Expected::ACCEPTED)
    }

    pub(crate) const fn expecting(mut self, expected: Expected) -> Self {
        self.expected = expected;
        self
    }

    const fn of_the_profile(mut self) -> Self {
        self.level = RequirementLevel::Profile;
        self
    }

    pub(crate) const fn strict(mut self) -> Self {
        self.level = RequirementLevel::Strict;
        self
    }

    pub(crate) const fn by_choice(mut self) -> Self {
        self.level = RequirementLevel::Choice;
        self
    }

    const fn with(mut self, setup: Setup) -> Self {
        self.setup = setup;
        self
    }
}

impl Setup {
    const NONE: Self =
        Self { only_algorithms: None, max_token_age: None, optional: false, two_issuers: false };
}

impl fmt::Debug for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attack").field("id", &self.id).field("case", &self.case).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
