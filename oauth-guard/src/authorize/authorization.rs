//! What one request needs: from the rule of its route, and from the layer in front of it.

use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN};
use oauth_client::clock::Clock;

use super::path::Ambiguous;
use super::requirement::Requirement;
use super::rule::{Access, RouteRules, Rule};
use crate::claims::Claims;
use crate::reject::{Rejection, log};
use crate::request::RequestHead;

/// What one request needs. Built without an allocation.
pub(crate) struct Authorization<'a> {
    access: Access,
    rule: Option<&'a Rule>,
    /// The requirement of the layer or the handler, in addition to the rule's.
    required: Option<&'a Requirement>,
    dry_run: bool,
    clock: &'a dyn Clock,
}

impl<'a> Authorization<'a> {
    /// Needs a valid token that meets `required`.
    pub(crate) fn new(required: Option<&'a Requirement>, dry_run: bool, clock: &'a dyn Clock) -> Self {
        Self { access: Access::Token, rule: None, required, dry_run, clock }
    }

    /// The rule decides whether a token is needed; without one, the layer does. The requirements of both add up.
    pub(crate) fn for_route(
        mut self,
        rules: &'a RouteRules,
        request: RequestHead<'_>,
        optional: bool,
    ) -> Result<Self, Rejection> {
        if rules.preflight && is_preflight(request) {
            self.access = Access::Public;
            return Ok(self);
        }
        if !rules.is_empty() {
            self.rule = match rules.find(request.path(), request.method) {
                Ok(rule) => rule,
                Err(Ambiguous(why)) if self.dry_run => {
                    log_dry_run(&Rejection::MalformedRequest(why), None, None);
                    None
                }
                Err(Ambiguous(why)) => return Err(Rejection::MalformedRequest(why)),
            };
        }
        self.access = match self.rule {
            // A requirement written next to the handler is not undone by a configuration file.
            Some(rule) if rule.access == Access::Public && self.required.is_some() => Access::Token,
            Some(rule) => rule.access,
            None if optional => Access::Optional,
            None => Access::Token,
        };
        Ok(self)
    }

    /// Whether the token is not looked at.
    pub(crate) fn is_public(&self) -> bool {
        self.access == Access::Public
    }

    /// The claims, if they are enough.
    pub(crate) fn forward<T>(&self, claims: Option<Claims<T>>) -> Result<Option<Claims<T>>, Rejection> {
        self.authorize(claims.as_ref()).map(|()| claims)
    }

    /// Whether the claims are enough. `None`: the request has no token.
    pub(crate) fn authorize<T>(&self, claims: Option<&Claims<T>>) -> Result<(), Rejection> {
        // An invalid token was logged by the validation.
        self.decide(claims).inspect_err(|rejection| {
            log::rejected(rejection, &claims.map(Claims::origin).unwrap_or_default());
        })
    }

    fn decide<T>(&self, claims: Option<&Claims<T>>) -> Result<(), Rejection> {
        let Some(claims) = claims else {
            return if self.access == Access::Token { Err(Rejection::MissingToken) } else { Ok(()) };
        };
        let of_rule = self.rule.and_then(|rule| rule.requirement.as_ref());
        match self.rule {
            // The rule's requirement is only logged, the layer's is enforced.
            Some(rule) if rule.dry_run && !self.dry_run => {
                if let Err(rejection) = self.check([of_rule, None], claims) {
                    log_dry_run(&rejection, self.rule, Some(claims.issuer()));
                }
                self.check([None, self.required], claims)
            }
            _ => match self.check([of_rule, self.required], claims) {
                Err(rejection) if self.dry_run => {
                    log_dry_run(&rejection, self.rule, Some(claims.issuer()));
                    Ok(())
                }
                outcome => outcome,
            },
        }
    }

    fn check<T>(&self, requirements: [Option<&Requirement>; 2], claims: &Claims<T>) -> Result<(), Rejection> {
        Requirement::check(requirements.into_iter().flatten(), claims, self.clock)
    }
}

/// Logs what would be rejected. The rule stands for the path, which may hold personal data.
#[cold]
pub(crate) fn log_dry_run(rejection: &Rejection, rule: Option<&Rule>, issuer: Option<&str>) {
    let (code, rule) = (rejection.code(), rule.map(|rule| rule.path.as_str()));
    let needed = match rejection {
        Rejection::InsufficientScope { needed } => Some(&**needed),
        Rejection::InsufficientAuthentication { acr_values, .. } => Some(&**acr_values),
        _ => None,
    };
    tracing::info!(target: "oauth_guard", code, rule, needed, issuer, dry_run = true, "would be rejected: {rejection}");
}

/// The request that a browser sends ahead of a cross-origin one (Fetch standard, CORS-preflight). It never has
/// credentials.
fn is_preflight(request: RequestHead<'_>) -> bool {
    *request.method == Method::OPTIONS
        && request.headers.contains_key(ORIGIN)
        && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && !request.headers.contains_key(AUTHORIZATION)
}
