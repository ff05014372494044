//! What one request needs: from the rules of its route, and from the layer in front of it.

use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN};
use oauth_client::clock::Clock;

use super::path::Ambiguous;
use super::requirement::Requirement;
use super::rule::{Access, RouteRules, Rule};
use crate::claims::Claims;
use crate::reject::{Rejection, log};
use crate::request::RequestHead;

/// What a layer asks for in code.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OfLayer<'a> {
    pub(crate) required: Option<&'a Requirement>,
    pub(crate) optional: bool,
}

/// What of a requirement that is not met is only logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DryRun {
    #[default]
    Off,
    /// What rules ask for. A configuration file cannot go further: what a layer requires stands next to the handler.
    Rules,
    /// What rules, layers and handlers ask for.
    All,
}

/// Which CORS preflight requests are forwarded without a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Preflight {
    #[default]
    Never,
    /// Where the layer requires nothing: what a configuration file can allow.
    WithoutRequirement,
    Always,
}

/// What one request needs. Built without an allocation.
pub(crate) struct Authorization<'a> {
    access: Access,
    /// Two where a slash at the end could select either; the request has to meet both.
    rules: [Option<&'a Rule>; 2],
    /// The requirement of the layer or the handler, in addition to the rules'.
    required: Option<&'a Requirement>,
    dry_run: DryRun,
    clock: &'a dyn Clock,
}

impl<'a> Authorization<'a> {
    /// Needs a valid token that meets `required`.
    pub(crate) fn new(required: Option<&'a Requirement>, dry_run: DryRun, clock: &'a dyn Clock) -> Self {
        Self { access: Access::Token, rules: [None; 2], required, dry_run, clock }
    }

    /// The rules decide whether a token is needed; without one, the layer does. No rule undoes what a layer requires, and
    /// all requirements add up.
    pub(crate) fn for_route(
        rules: &'a RouteRules,
        request: RequestHead<'_>,
        layer: OfLayer<'a>,
        clock: &'a dyn Clock,
    ) -> Result<Self, Rejection> {
        let mut this = Self::new(layer.required, rules.dry_run, clock);
        let found = match rules.find(request) {
            Ok(found) => found,
            Err(Ambiguous(why)) if this.dry_run != DryRun::Off => {
                log_dry_run(&Rejection::MalformedRequest(why), None, None);
                [None; 2]
            }
            Err(Ambiguous(why)) => return Err(Rejection::MalformedRequest(why)),
        };
        this.access = this.access_of(&found, rules.deny_by_default, layer)?;
        let preflight = match rules.preflight {
            Preflight::Never => false,
            Preflight::WithoutRequirement => layer.required.is_none(),
            Preflight::Always => true,
        };
        if preflight && is_preflight(request) {
            this.access = Access::Public;
        }
        this.rules = match found {
            [Some(one), Some(other)] if std::ptr::eq(one, other) => [Some(one), None],
            found => found,
        };
        Ok(this)
    }

    /// The strictest of what the rules say and of what the layer requires.
    fn access_of(
        &self,
        found: &[Option<&Rule>; 2],
        deny_by_default: bool,
        layer: OfLayer<'_>,
    ) -> Result<Access, Rejection> {
        let by_layer = if layer.optional { Access::Optional } else { Access::Token };
        if deny_by_default && found.iter().any(Option::is_none) {
            if self.dry_run == DryRun::Off {
                return Err(Rejection::NoRule);
            }
            log_dry_run(&Rejection::NoRule, found.iter().flatten().next().copied(), None);
        }
        let by_rules = found.iter().map(|rule| rule.map_or(by_layer, |rule| rule.access)).max();
        let least = if layer.required.is_some() { by_layer } else { Access::Public };
        Ok(by_rules.unwrap_or(by_layer).max(least))
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
        if let Err(rejection) = Requirement::check(self.requirements(true), claims, self.clock) {
            log_dry_run(&rejection, self.rules.iter().flatten().next().copied(), Some(claims.issuer()));
        }
        Requirement::check(self.requirements(false), claims, self.clock)
    }

    /// Those that are only logged, or those that are enforced.
    fn requirements(&self, logged: bool) -> impl Iterator<Item = &'a Requirement> + Clone {
        let rules_are_logged = self.dry_run != DryRun::Off;
        let of_rules = self.rules.into_iter().flatten();
        let of_rules = of_rules.filter(move |rule| (rule.dry_run || rules_are_logged) == logged);
        let of_layer = self.required.filter(|_| (self.dry_run == DryRun::All) == logged);
        of_rules.filter_map(|rule| rule.requirement.as_ref()).chain(of_layer)
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
