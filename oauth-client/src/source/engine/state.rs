//! What is noted between the refreshes: the one under way, logins, failures.

use std::time::Duration;

use http::StatusCode;

use super::{Failure, Flight, State};
use crate::error::Error;
use crate::grant::Renewal;
use crate::retry::after_failures;
use crate::token::{AccessToken, Secret, TokenSet};

/// How long a password is held back once it was refused, at first: most servers lock an account after a handful of
/// wrong ones within some minutes.
const LOCKOUT_WAIT: Duration = Duration::from_secs(15 * 60);

/// So many times that at most, after as many rejections in a row: an hour.
const MAX_LOCKOUT_WAITS: u32 = 4;

/// The codes of a lasting refusal that is about the client or the request: RFC 6749 section 5.2, RFC 8707 section 2 and
/// RFC 9449 section 5.
const ABOUT_SOMETHING_ELSE: &[&str] = &[
    "invalid_client",
    "invalid_dpop_proof",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "unauthorized_client",
    "unsupported_grant_type",
    "use_dpop_nonce",
];

/// When a refresh that goes on beyond its callers' limit is asked about again.
const OVERDUE_AGAIN: Duration = Duration::from_secs(1);

impl State {
    pub(in crate::source) fn live_flight(&mut self) -> Option<Flight> {
        // A flight that died without a result has lost its sender.
        self.flight.take_if(|flight| flight.has_changed().is_err());
        self.flight.clone()
    }

    /// The shared failure, while its time has not come yet.
    pub(in crate::source) fn backed_off(&self, now: Duration) -> Option<Error> {
        let failure = self.failure.as_ref()?;
        let left = failure.not_before.checked_sub(now).filter(|left| !left.is_zero())?;
        Some(failure.error.clone().with_retry_after(Some(left)))
    }

    /// What a caller gets who comes while the refresh goes on beyond the callers' limit.
    pub(in crate::source) fn overdue(&self, error: Error, now: Duration) -> Error {
        self.backed_off(now).unwrap_or_else(|| error.with_retry_after(Some(OVERDUE_AGAIN)))
    }

    /// Ends a refresh that goes on beyond its callers' limit: a login makes what it may bring worthless.
    pub(in crate::source) fn abandon(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }

    /// Notes a login, which the next refresh takes, and forgets past failures.
    pub(in crate::source) fn start_login(&mut self, tokens: TokenSet) {
        self.login = Some(tokens);
        self.logins += 1;
        (self.failure, self.failures, self.rejections) = (None, 0, 0);
    }

    /// Lets the token of a login be used once, if it still is that login's (`own`) and the one in hand: another login, a
    /// log-out or a rejection may have come meanwhile.
    pub(in crate::source) fn grant_one_use(&mut self, token: &AccessToken, own: &Secret) {
        let is_held = self.ledger.held.usable().is_some_and(|held| held.generation() == token.generation());
        if self.login.is_none() && is_held && token.secret() == own {
            self.for_one_use = Some(token.clone());
        }
    }

    /// Notes a failure, and until when no request is sent.
    pub(super) fn back_off(&mut self, error: Error, renewal: Renewal, now: Duration) -> Error {
        self.failures = self.failures.saturating_add(1);
        let careful = renewal == Renewal::AnewWithCare && is_about_the_grant(&error);
        self.rejections = if careful { self.rejections.saturating_add(1) } else { self.rejections };
        let asked_for = error.retry_after().filter(|wait| !wait.is_zero());
        let wait = match careful {
            // The server may ask for more time than that.
            true => LOCKOUT_WAIT
                .saturating_mul(self.rejections.min(MAX_LOCKOUT_WAITS))
                .max(asked_for.unwrap_or_default()),
            false => asked_for.unwrap_or_else(|| after_failures(self.failures)),
        };
        let error = error.with_retry_after(Some(wait));
        self.failure = Some(Failure { error: error.clone(), not_before: now.saturating_add(wait) });
        error
    }
}

/// Whether a server refused what the grant itself shows, in whatever words: RFC 6749 section 5.2 has `invalid_grant` for
/// that, Teen Quotes `invalid_credentials`. Not so where the code is about something else, nor where there is none, or
/// one that only repeats a status: that may be a proxy's response. A server that says no more than "Unauthorized" to a
/// wrong password says it with a 401, so that one counts.
fn is_about_the_grant(error: &Error) -> bool {
    let Some(response) = error.error_response().filter(|_| !error.is_transient()) else { return false };
    let may_be = matches!(response.status.as_u16(), 200..=299 | 400 | 401 | 403);
    let names_it =
        may_be && response.provider_code.as_deref().is_some_and(|code| is_own(code, response.status));
    response.code == "invalid_grant" || names_it && !ABOUT_SOMETHING_ELSE.contains(&response.code.as_str())
}

/// Whether a code says more than a status: gateways and frameworks write "Forbidden" or "Bad Request" there, SailPoint
/// "403 Forbidden" and "400.1 Bad Request Content". In lower case it may be a code. Of a 401 its own words are enough.
fn is_own(code: &str, status: StatusCode) -> bool {
    let is_phrase =
        |of: StatusCode| of.canonical_reason().is_some_and(|words| words.eq_ignore_ascii_case(code));
    let is_capital = code.starts_with(|first: char| first.is_ascii_uppercase());
    let phrase_of =
        (400..600).filter_map(|of| StatusCode::from_u16(of).ok()).find(|of| is_capital && is_phrase(*of));
    let number = code.strip_prefix(status.as_str());
    let begins_with_it = number.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()));
    match phrase_of {
        Some(of) => of == status && status == StatusCode::UNAUTHORIZED,
        None => !begins_with_it || status == StatusCode::UNAUTHORIZED,
    }
}
