//! What one request needs: from the rules of its route, and from the layer in front of it.

use http::{HeaderMap, Method};
use oauth_client::clock::Clock;

use super::compiled::{Compiled, VocabularyId};
use super::implied::Implied;
use super::mcp::OfPath;
use super::path::Ambiguous;
use super::requirement::{Facts, Requirement};
use super::rule::{Access, Bindings, RouteRules, Rule};
use crate::claims::Claims;
use crate::reject::Rejection;
use crate::reject::log::{Origin, RejectionLog};
use crate::request::{RequestHead, is_preflight};

/// What a layer asks for in code.
#[derive(Debug, Default)]
pub(crate) struct OfLayer {
    pub(crate) required: Option<Requirement>,
    /// The same, for tokens of which more is known.
    pub(crate) compiled: Option<Compiled>,
    pub(crate) optional: bool,
}

impl OfLayer {
    /// No layer.
    pub(crate) const NOTHING: &Self = &Self { required: None, compiled: None, optional: false };
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

/// The body of the request has to be compared with its headers before it is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyCheck {
    /// What is longer is rejected.
    pub(crate) limit: usize,
    /// What is wrong is only logged.
    pub(crate) dry_run: bool,
}

/// What authorization needs beside rules and claims.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) clock: &'a dyn Clock,
    pub(crate) implied: &'a Implied,
    pub(crate) rules: VocabularyId,
    pub(crate) log: &'a RejectionLog,
}

/// What one request needs. Built without an allocation.
pub(crate) struct Authorization<'a> {
    access: Access,
    /// Two where a slash at the end could select either; the request has to meet both.
    rules: [Option<&'a Rule>; 2],
    /// Those for its MCP operation, in addition.
    mcp: Option<Box<OfPath<'a>>>,
    /// The requirement of the layer or the handler, in addition to the rules'.
    required: Option<&'a Requirement>,
    compiled: Option<&'a Compiled>,
    dry_run: DryRun,
    /// What the challenge of a request without a token depends on.
    bindings: Bindings,
    facts: Facts<'a>,
    log: &'a RejectionLog,
    /// What says why the request has no token.
    head: Option<(&'a Method, &'a HeaderMap)>,
}

impl<'a> Authorization<'a> {
    /// Needs a valid token that meets `required`.
    #[inline]
    pub(crate) fn new(
        required: Option<&'a Requirement>,
        dry_run: DryRun,
        Surroundings { clock, implied, rules, log }: Surroundings<'a>,
    ) -> Self {
        let facts = Facts { clock, implied, rules };
        let (access, rules, bindings) = (Access::Token, [None; 2], Bindings::None);
        Self { access, rules, mcp: None, required, compiled: None, dry_run, bindings, facts, log, head: None }
    }

    /// The rules decide whether a token is needed; without one, the layer does. No rule undoes what a layer requires, and
    /// all requirements add up. What the rules refuse whatever the token is logged.
    #[inline]
    pub(crate) fn for_route(
        rules: &'a RouteRules,
        request: &RequestHead<'a>,
        layer: &'a OfLayer,
        surroundings: Surroundings<'a>,
    ) -> Result<Self, Rejection> {
        let this = Self::new(layer.required.as_ref(), rules.dry_run, surroundings);
        let this = Self { bindings: rules.bindings, ..this };
        let (compiled, log) = (layer.compiled.as_ref(), this.log);
        let head = Some((request.method, request.headers));
        if rules.are_silent() {
            // Written where the caller has it: to move it would take longer than to make it.
            let access = if layer.optional { Access::Optional } else { Access::Token };
            return Ok(Self { access, compiled, head, ..this });
        }
        let found = Self { compiled, head, ..this }.by_rules(rules, *request, layer);
        found.inspect_err(|rejection| log.rejected(rejection, Origin::default))
    }

    fn by_rules(
        mut self,
        rules: &'a RouteRules,
        request: RequestHead<'a>,
        layer: &'a OfLayer,
    ) -> Result<Self, Rejection> {
        if let Some(origins) = &rules.origins {
            origins.check(request.headers)?;
        }
        let found = self.unless_ambiguous(rules.find(request))?;
        let preflight = match rules.preflight {
            Preflight::Never => false,
            Preflight::WithoutRequirement => layer.required.is_none(),
            Preflight::Always => true,
        };
        let is_preflight = preflight && is_preflight(request.method, request.headers);
        if is_preflight {
            // It has a route if the request has that the browser wants to send.
            let found = rules.find_for_preflight(request, found);
            let deny_by_default = rules.deny_by_default && !rules.has_mcp_for_preflight(request);
            self.access_of(&found, deny_by_default, layer)?;
            self.access = Access::Public;
        } else {
            self.mcp = self.unless_ambiguous(rules.find_mcp(request))?.map(Box::new);
            if let Some(mut mcp) = self.mcp.take() {
                self.unless_ambiguous(mcp.read_operation(request))?;
                self.mcp = Some(mcp);
            }
            self.access = self.access_of(&found, rules.deny_by_default, layer)?;
        }
        self.rules = match found {
            [Some(one), Some(other)] if std::ptr::eq(one, other) => [Some(one), None],
            found => found,
        };
        Ok(self)
    }

    /// The strictest of what the rules say and of what the layer requires.
    fn access_of(
        &self,
        found: &[Option<&Rule>; 2],
        deny_by_default: bool,
        layer: &OfLayer,
    ) -> Result<Access, Rejection> {
        let by_layer = if layer.optional { Access::Optional } else { Access::Token };
        let by_mcp = self.mcp.as_deref().map(OfPath::access).unwrap_or_default();
        let is_known = self.mcp.as_deref().is_some_and(OfPath::is_known);
        // MCP rules that match a known operation stand in for a rule of the route, and add to one that is there.
        let without_rule =
            |rule: &Option<&Rule>, mcp: Option<Access>| rule.is_none() && (mcp.is_none() || !is_known);
        let closed = || found.iter().zip(by_mcp).any(|(rule, mcp)| without_rule(rule, mcp));
        if deny_by_default && closed() {
            if self.dry_run == DryRun::Off {
                return Err(Rejection::NoRule);
            }
            log_dry_run(&Rejection::NoRule, found.iter().flatten().next().copied(), None);
        }
        let by_rules = found.iter().zip(by_mcp).map(|(rule, mcp)| {
            let by_route = match rule {
                Some(rule) => Some(rule.access),
                None => without_rule(rule, mcp).then_some(by_layer),
            };
            by_route.max(mcp)
        });
        let least = if layer.required.is_some() { by_layer } else { Access::Public };
        Ok(by_rules.flatten().max().unwrap_or(by_layer).max(least))
    }

    /// In a dry run, what is ambiguous is logged and taken for nothing that a rule is about.
    fn unless_ambiguous<V: Default>(&self, found: Result<V, Ambiguous>) -> Result<V, Rejection> {
        match found {
            Ok(found) => Ok(found),
            Err(Ambiguous(why)) if self.dry_run != DryRun::Off => {
                log_dry_run(&Rejection::MalformedRequest(why), None, None);
                Ok(V::default())
            }
            Err(Ambiguous(why)) => Err(Rejection::MalformedRequest(why)),
        }
    }

    /// What has to be done about the body before the request is forwarded.
    #[inline]
    pub(crate) fn body_check(&self) -> Option<BodyCheck> {
        let limit = self.mcp.as_ref()?.body_bytes?;
        Some(BodyCheck { limit, dry_run: self.dry_run != DryRun::Off })
    }

    /// Whether the token is not looked at.
    pub(crate) fn is_public(&self) -> bool {
        self.access == Access::Public
    }

    /// Whether the claims are enough. `None`: the request has no token.
    #[inline]
    pub(crate) fn authorize<T>(&self, claims: Option<&Claims<T>>) -> Result<(), Rejection> {
        // An invalid token was logged by the validation.
        self.decide(claims).inspect_err(|rejection| {
            self.log
                .rejected(rejection, || claims.map_or_else(|| Origin::nowhere(self.head), Claims::origin));
        })
    }

    #[inline]
    fn decide<T>(&self, claims: Option<&Claims<T>>) -> Result<(), Rejection> {
        let Some(claims) = claims else {
            return if self.access == Access::Token { Err(self.missing_token()) } else { Ok(()) };
        };
        if self.is_met_by(claims) {
            return Ok(());
        }
        if let Err(rejection) = Requirement::check(self.requirements(true), claims, self.facts) {
            let rule = self.rules.iter().flatten().next().copied();
            let rule = rule.or_else(|| self.mcp.as_ref()?.rules().next());
            log_dry_run(&rejection, rule, Some(claims.issuer()));
        }
        Requirement::check(self.requirements(false), claims, self.facts)
    }

    /// Where only a bound token helps, a client that follows a challenge for bearer tokens would be rejected again.
    #[cold]
    fn missing_token(&self) -> Rejection {
        let is_key_needed =
            self.bindings == Bindings::Keys && self.requirements(false).any(Requirement::needs_binding);
        if is_key_needed { Rejection::MissingBoundToken } else { Rejection::MissingToken }
    }

    /// Whether all requirements are met, those that are only logged among them.
    #[inline]
    fn is_met_by<T>(&self, claims: &Claims<T>) -> bool {
        let of_mcp =
            || self.mcp.as_ref().is_none_or(|mcp| mcp.rules().all(|rule| rule.is_met_by(claims, self.facts)));
        self.rules.iter().flatten().all(|rule| rule.is_met_by(claims, self.facts))
            && of_mcp()
            && match (self.compiled, self.required) {
                (Some(compiled), _) => compiled.is_met_by(claims, self.facts),
                (None, Some(required)) => required.is_met_by(claims, self.facts),
                (None, None) => true,
            }
    }

    /// Those that are only logged, or those that are enforced.
    fn requirements(&self, logged: bool) -> impl Iterator<Item = &'a Requirement> + Clone + use<'_, 'a> {
        let rules_are_logged = self.dry_run != DryRun::Off;
        let of_mcp = self.mcp.as_deref().into_iter().flat_map(OfPath::rules);
        let of_rules = self.rules.into_iter().flatten().chain(of_mcp);
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
