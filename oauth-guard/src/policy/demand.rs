//! What one request has to bring: from the rule that counts for it, and from the layer in front of it.

use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN};
use oauth_client::clock::Clock;

use super::path::Ambiguous;
use super::requirement::Requirement;
use super::rule::{Access, Rule};
use crate::claims::Claims;
use crate::guard::RequestHead;
use crate::judge::Policy;
use crate::refuse::{Refusal, log};

/// What is asked of one request. Made without an allocation.
pub(crate) struct Demand<'a> {
    access: Access,
    rule: Option<&'a Rule>,
    /// What the layer or the handler asks for besides.
    besides: Option<&'a Requirement>,
    dry_run: bool,
    clock: &'a dyn Clock,
}

impl<T> Policy<T> {
    /// The rule decides who is let through at all; where there is none, the layer does. What both ask for adds up.
    pub(crate) fn demand<'a>(
        &'a self,
        request: RequestHead<'_>,
        besides: Option<&'a Requirement>,
        optional: bool,
    ) -> Result<Demand<'a>, Refusal> {
        let dry_run = self.challenge.dry_run;
        let mut demand = Demand { besides, ..Demand::open(self) };
        if self.rules.preflight && is_preflight(request) {
            demand.access = Access::Public;
            return Ok(demand);
        }
        if !self.rules.is_empty() {
            demand.rule = match self.rules.find(request.path(), request.method) {
                Ok(rule) => rule,
                Err(Ambiguous(why)) if dry_run => {
                    would_refuse(&Refusal::MalformedRequest(why), None, None);
                    None
                }
                Err(Ambiguous(why)) => return Err(Refusal::MalformedRequest(why)),
            };
        }
        demand.access = match demand.rule {
            // What is written beside the handler is not undone by a file.
            Some(rule) if rule.access == Access::Public && besides.is_some() => Access::Token,
            Some(rule) => rule.access,
            None if optional => Access::Optional,
            None => Access::Token,
        };
        Ok(demand)
    }
}

impl<'a> Demand<'a> {
    /// Of whoever has a token, this alone.
    pub(crate) fn of<T>(policy: &'a Policy<T>, requirement: &'a Requirement) -> Self {
        Self { besides: Some(requirement), ..Self::open(policy) }
    }

    fn open<T>(policy: &'a Policy<T>) -> Self {
        Self {
            access: Access::Token,
            rule: None,
            besides: None,
            dry_run: policy.challenge.dry_run,
            clock: &*policy.clock,
        }
    }

    /// Whether the token is of no interest.
    pub(crate) fn is_public(&self) -> bool {
        self.access == Access::Public
    }

    /// Hands the claims on if they are enough.
    pub(crate) fn pass<T>(&self, claims: Option<Claims<T>>) -> Result<Option<Claims<T>>, Refusal> {
        self.admit(claims.as_ref()).map(|()| claims)
    }

    pub(crate) fn admit<T>(&self, claims: Option<&Claims<T>>) -> Result<(), Refusal> {
        // What is wrong with a token has been noted by whoever found it.
        self.judge(claims)
            .inspect_err(|refusal| log::note(refusal, &claims.map(Claims::origin).unwrap_or_default()))
    }

    fn judge<T>(&self, claims: Option<&Claims<T>>) -> Result<(), Refusal> {
        let Some(claims) = claims else {
            return if self.access == Access::Token { Err(Refusal::MissingToken) } else { Ok(()) };
        };
        let of_rule = self.rule.and_then(|rule| rule.requirement.as_ref());
        match self.rule {
            // What the rule asks for is tried out, what the layer asks for counts.
            Some(rule) if rule.dry_run && !self.dry_run => {
                if let Err(refusal) = self.check([of_rule, None], claims) {
                    would_refuse(&refusal, self.rule, Some(claims.issuer()));
                }
                self.check([None, self.besides], claims)
            }
            _ => match self.check([of_rule, self.besides], claims) {
                Err(refusal) if self.dry_run => {
                    would_refuse(&refusal, self.rule, Some(claims.issuer()));
                    Ok(())
                }
                outcome => outcome,
            },
        }
    }

    fn check<T>(&self, requirements: [Option<&Requirement>; 2], claims: &Claims<T>) -> Result<(), Refusal> {
        Requirement::check(requirements.into_iter().flatten(), claims, self.clock)
    }
}

/// Says what would have happened. The rule stands for the path, which may hold somebody's data.
#[cold]
pub(crate) fn would_refuse(refusal: &Refusal, rule: Option<&Rule>, issuer: Option<&str>) {
    let (code, rule) = (refusal.code(), rule.map(|rule| rule.path.as_str()));
    let needed = match refusal {
        Refusal::InsufficientScope { needed } => Some(&**needed),
        Refusal::InsufficientAuthentication { acr_values, .. } => Some(&**acr_values),
        _ => None,
    };
    tracing::info!(target: "oauth_guard", code, rule, needed, issuer, dry_run = true, "would be refused: {refusal}");
}

/// The request by which a browser asks whether it may send another (Fetch standard, CORS-preflight): it never has
/// credentials.
fn is_preflight(request: RequestHead<'_>) -> bool {
    *request.method == Method::OPTIONS
        && request.headers.contains_key(ORIGIN)
        && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && !request.headers.contains_key(AUTHORIZATION)
}
