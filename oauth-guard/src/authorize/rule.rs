//! Rules: what the requests of a route need.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::Method;
use http::header::ACCESS_CONTROL_REQUEST_METHOD;

use super::authorization::{DryRun, Preflight};
use super::compiled::{Compiled, Vocabulary, VocabularyId};
use super::implied::Implied;
use super::mcp::{self, McpRules, Name, Operations};
use super::origin::Origins;
use super::path::Ambiguous;
use super::requirement::{Facts, Requirement};
use super::routes::{Lookup, PatternError, Routes};
use crate::claims::Claims;
use crate::defaults::MCP_BODY_BYTES;
use crate::error::Problems;
use crate::request::RequestHead;

/// What the requests of one route need. Passed to [`GuardBuilder::rule`](crate::GuardBuilder::rule), or written as
/// `[[rule]]` in a [configuration](crate::config).
///
/// A pattern is compared with the raw path of the request, segment by segment:
/// - text is compared exactly and case-sensitively; write it percent-encoded, as it is sent;
/// - `{id}` matches any one segment;
/// - `{*rest}`, at the end, matches the path up to it, with a slash and without, and everything below. (A catch-all of
///   axum's router matches only what is below. And axum tries fallbacks last, nested ones too: its route
///   `/{tenant}/{*rest}` gets requests below `/api` before the fallback of a router that is nested there, while the
///   guard applies a rule for `/api/{*rest}` to them.) `/{*rest}` covers every request, also those whose target has no slash
///   at the start: `OPTIONS *`, and `CONNECT host:443` or `POST host`, whose path is empty.
///
/// Of all rules that match a request's path and method, only the most specific one applies: from left to right, text
/// before `{id}` before `{*rest}`; then a rule with the method before one without. A rule for `GET` applies to `HEAD`
/// and to WebSockets over HTTP/2 (`CONNECT` with a path, RFC 8441) too, unless another rule names that method. Frameworks
/// differ about `CONNECT`: where one pattern has a rule for `GET` and one without methods, and none for `CONNECT`, such a
/// request is rejected with 400. Where no rule matches, a valid token is needed, or nothing is forwarded with
/// [`deny_by_default`](crate::GuardBuilder::deny_by_default).
///
/// `/docs` and `/docs/` are one resource for some routers and two for others. So a request that differs from the rule's
/// pattern in a slash at the end has to satisfy two rules: that one, and the one that would apply if that one did not
/// exist. With a public `/docs`, a request for `/docs/` needs a token, unless a rule such as `/docs/{*rest}` makes that
/// public too. Write the pattern as the route is written.
///
/// Requests whose path two servers could read differently are rejected with 400 where they could evade a rule: `.` and
/// `..`, `//`, `;`, encoded slashes and backslashes, text of a rule in another percent-encoding, an empty path where there
/// is a rule for `/`, and `*` where there is one for `/{id}`.
///
/// With the feature `axum`, the path is the one that the outermost router received, so a layer on a nested router sees
/// the prefix too. Elsewhere, a middleware in front of the guard that rewrites paths changes what the guard sees.
///
/// ```
/// use http::Method;
/// use oauth_guard::{Guard, Issuer, Requirement, Rule};
///
/// let guard = Guard::builder()
///     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
///     .rule(Rule::new("/orders/{*rest}").require(Requirement::scope("orders:read")))
///     .rule(Rule::new("/orders/{id}").methods([Method::PUT]).require(Requirement::scope("orders:write")))
///     .rule(Rule::grpc("orders.Orders/Cancel").require(Requirement::scope("orders:write")))
///     .rule(Rule::new("/health").public())
///     .build()?;
/// # Ok::<(), oauth_guard::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "pass the rule to `GuardBuilder::rule`"]
pub struct Rule {
    pub(crate) path: String,
    pub(crate) methods: Option<Vec<Method>>,
    pub(crate) access: Access,
    pub(crate) requirement: Option<Requirement>,
    /// The same, in a guard and for tokens of which more is known.
    compiled: Option<Arc<Compiled>>,
    pub(crate) dry_run: bool,
    /// The MCP operations that it is for; then it adds to the rule of the route.
    pub(crate) mcp: Option<Operations>,
    /// A name was set, and no operation.
    pub(super) unnamed_mcp: bool,
    /// Made by [`Rule::grpc`]; errors then name that key.
    pub(super) is_grpc: bool,
}

/// Which requests are forwarded at all, the strictest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    /// All; the token is not validated.
    Public,
    /// Those without a token too; an invalid token is rejected.
    Optional,
    /// Those with a valid token.
    Token,
}

impl Rule {
    /// A rule for the requests to this path, such as `/orders/{id}`. By default it needs a valid token.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            methods: None,
            access: Access::Token,
            requirement: None,
            compiled: None,
            dry_run: false,
            mcp: None,
            unnamed_mcp: false,
            is_grpc: false,
        }
    }

    /// A rule for a gRPC method, `package.Service/Method`, or for all methods of a service, `package.Service`. A name without
    /// its package is another service. With [`deny_by_default`](crate::GuardBuilder::deny_by_default) a method that no
    /// rule names is closed, and so is one whose name is misspelt here.
    ///
    /// ```
    /// use oauth_guard::{Requirement, Rule};
    ///
    /// Rule::grpc("orders.Orders").require(Requirement::scope("orders:read"));
    /// Rule::grpc("orders.Orders/Cancel").require(Requirement::scope("orders:write"));
    /// ```
    pub fn grpc(method: impl AsRef<str>) -> Self {
        let method = method.as_ref().strip_prefix('/').unwrap_or(method.as_ref());
        let path = if method.contains('/') { format!("/{method}") } else { format!("/{method}/{{*method}}") };
        Self { is_grpc: true, ..Self::new(path) }
    }

    /// Makes it a rule for an operation of an MCP server (Model Context Protocol), such as `tools/call`; `*` stands for
    /// any text. With [`name`](Self::name), only for some tools, prompts, resources or tasks.
    ///
    /// It adds to the other rules: a request has to satisfy the rule of its route, if there is one, and every MCP rule
    /// of its path that matches its operation, and one challenge names all scopes that it needs. A request that no MCP
    /// rule matches needs only what its route needs.
    ///
    /// The operation is read from the headers `Mcp-Method` and `Mcp-Name`, which clients send since version 2026-07-28 of
    /// the protocol. A request without them, or of an older version, could be anything: it has to satisfy every MCP
    /// rule of its path, and what the path needs without them. A malformed or doubled header is 400.
    ///
    /// The caller writes both headers and body. So once the token is found sufficient, the guard reads the body,
    /// compares it with the headers, and hands it on as it came. These are 400: a contradiction, a batch, a body with a
    /// `Content-Encoding`, a body that is not a JSON object or that parsers could read differently, and one of more
    /// than [`mcp_body_bytes`](crate::GuardBuilder::mcp_body_bytes). In stacks other than axum the body's type has to
    /// be [`RequestBody`](crate::RequestBody).
    ///
    /// ```
    /// use oauth_guard::{Guard, Issuer, Requirement, Rule};
    ///
    /// let guard = Guard::builder()
    ///     .issuer(Issuer::new("https://auth.example.com").audience("https://api.example.com/mcp"))
    ///     .rule(Rule::new("/mcp").require(Requirement::scope("mcp")))
    ///     .rule(Rule::new("/mcp").mcp("tools/call").name("delete_*").require(Requirement::scope("delete")))
    ///     .build()?;
    /// # Ok::<(), oauth_guard::BuildError>(())
    /// ```
    pub fn mcp(mut self, method: impl Into<String>) -> Self {
        let name = self.mcp.take().and_then(|mcp| mcp.name);
        self.mcp = Some(Operations { method: method.into(), name });
        self.unnamed_mcp = false;
        self
    }

    /// The names that an [MCP rule](Self::mcp) is for: of a tool or a prompt, the URI of a resource, the id of a task.
    /// `*` stands for any text: `delete_*`. By default all.
    ///
    /// Names are compared as texts, and a URI has many spellings. So a request is answered 400 where its URI, in lower case,
    /// decoded and with `..` resolved, matches the pattern (treated alike) and its text does not, or the reverse:
    /// `FILE:///secret`, `file:///public/../secret` and `file:///secret%2Fkeys` go past no rule. A query is part of the
    /// URI: end the pattern with `*` to include all.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        match &mut self.mcp {
            Some(mcp) => mcp.name = Some(Name::new(name.into())),
            None => self.unnamed_mcp = true,
        }
        self
    }

    /// The only HTTP methods it applies to. By default all.
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = Some(methods.into_iter().collect());
        self
    }

    /// What the token must grant. Call again to require both.
    pub fn require(mut self, requirement: Requirement) -> Self {
        self.requirement = Some(match self.requirement {
            Some(other) => other & requirement,
            None => requirement,
        });
        self
    }

    /// Whether the token is enough for this rule.
    #[inline]
    pub(super) fn is_met_by<T>(&self, claims: &Claims<T>, facts: Facts<'_>) -> bool {
        match (&self.compiled, &self.requirement) {
            (Some(compiled), _) => compiled.is_met_by(claims, facts),
            (None, Some(requirement)) => requirement.is_met_by(claims, facts),
            (None, None) => true,
        }
    }

    /// Forwards requests without a token too, without claims. An invalid token is still rejected, and so is a request
    /// without a token where [`GuardLayer::require`](crate::GuardLayer::require) asks for one.
    pub fn optional(mut self) -> Self {
        self.access = Access::Optional;
        self
    }

    /// Forwards every request without claims; its token is not validated. It does not undo a
    /// [`GuardLayer::require`](crate::GuardLayer::require).
    pub fn public(mut self) -> Self {
        self.access = Access::Public;
        self
    }

    /// Only logs what [`require`](Self::require) would reject, see [`GuardBuilder::dry_run`](crate::GuardBuilder::dry_run).
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }
}

/// The rules of a guard, by route.
#[derive(Debug)]
pub(crate) struct RouteRules {
    routes: Routes,
    pub(super) all: Box<[Rule]>,
    mcp: McpRules,
    vocabulary: VocabularyId,
    pub(super) origins: Option<Origins>,
    pub(super) implied: Implied,
    pub(super) preflight: Preflight,
    pub(super) dry_run: DryRun,
    pub(super) deny_by_default: bool,
    pub(super) bindings: Bindings,
}

/// What the tokens of a guard can be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bindings {
    None,
    /// A key alone (RFC 9449).
    Keys,
    /// A client certificate (RFC 8705), and perhaps a key.
    Certificates,
}

/// What the requests of a route need, with the requirements that all have to be met.
#[derive(Debug)]
pub(crate) enum Need<'a> {
    /// Not even a token.
    Nothing,
    /// A valid token, if there is one.
    Optional(Vec<&'a Requirement>),
    /// A valid token.
    Token(Vec<&'a Requirement>),
    /// No request is forwarded.
    Denied,
    /// What the MCP rules of the path say of each operation, and this besides. `optional`: some may need no token.
    Operations { requirements: Vec<&'a Requirement>, optional: bool },
}

/// What holds beside the rules.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Defaults {
    pub(crate) preflight: Preflight,
    pub(crate) dry_run: DryRun,
    /// Whether a route without a rule is rejected.
    pub(crate) deny_by_default: bool,
}

/// What holds beside them, and takes memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    pub(crate) allowed_origins: Option<Vec<String>>,
    /// A scope, and those that it includes.
    pub(crate) implies: Vec<(String, Vec<String>)>,
    /// The longest body that is compared with the headers of an MCP request.
    pub(crate) mcp_body_bytes: Option<usize>,
    /// The headers of MCP requests are believed.
    pub(crate) trust_mcp_headers: bool,
}

impl RouteRules {
    pub(crate) fn new(
        rules: &[Rule],
        defaults: Defaults,
        extras: &Extras,
        bindings: Bindings,
        problems: &mut Problems,
    ) -> Self {
        let mut routes = Routes::default();
        for (index, rule) in rules.iter().enumerate() {
            let field = |name: &str| format!("rule[{index}].{name}");
            let path = || field(if rule.is_grpc { "grpc" } else { "path" });
            if rule.is_grpc && !is_grpc_method(&rule.path) {
                problems.add(
                    path(),
                    "expected package.Service/Method, or package.Service alone for all methods of the service",
                );
                continue;
            }
            if let Some((service, method)) = dotted_grpc_method(rule) {
                problems.add(
                    path(),
                    format!(
                        "\"{service}.{method}\" names a service, so no call of the method {method} would match; write \
                         \"{service}/{method}\". If it is a service, give its path: \"/{service}.{method}/{{*method}}\""
                    ),
                );
                continue;
            }
            if rule.methods.as_ref().is_some_and(Vec::is_empty) {
                problems
                    .add(field("methods"), "an empty list matches no request; leave it out for all methods");
            }
            if rule.is_grpc && rule.methods.as_deref().is_some_and(names_no_grpc_method) {
                problems.add(
                    field("methods"),
                    "the rule would apply to no gRPC call; for other requests use path",
                );
            }
            for method in rule.methods.iter().flatten() {
                if method.as_str().bytes().any(|byte| byte.is_ascii_lowercase()) {
                    problems.add(
                        field("methods"),
                        format!("methods are written in capitals: {}", method.as_str().to_uppercase()),
                    );
                }
            }
            if rule.access == Access::Public && rule.requirement.is_some() {
                problems.add(
                    field("require"),
                    "the rule is public, so no token is validated; remove one of the two",
                );
            }
            if let Some(Err(why)) = rule.requirement.as_ref().map(Requirement::validate) {
                problems.add(field("require"), why);
            }
            if bindings == Bindings::None && rule.requirement.as_ref().is_some_and(Requirement::needs_binding)
            {
                problems.add(
                    field("require"),
                    "asks for a bound token, and bound tokens are refused without dpop or certificates; set one of the two",
                );
            }
            if rule.mcp.is_some() {
                continue;
            }
            match routes.insert(&rule.path, rule.methods.as_deref().unwrap_or_default(), index) {
                Ok(()) => {}
                Err(PatternError::Invalid(why)) => problems.add(path(), why),
                Err(PatternError::Duplicate(other)) => problems.add(
                    path(),
                    format!(
                        "applies to the same requests as rule[{other}]; merge them, or name other methods"
                    ),
                ),
            }
        }
        let Defaults { preflight, dry_run, deny_by_default } = defaults;
        if extras.mcp_body_bytes == Some(0) {
            problems.add("mcp_body_bytes", "expected a length above zero");
        }
        let body_bytes = extras.mcp_body_bytes.unwrap_or(MCP_BODY_BYTES);
        let mcp = McpRules::new(rules, (!extras.trust_mcp_headers).then_some(body_bytes), problems);
        let origins = extras.allowed_origins.as_deref().map(|origins| Origins::new(origins, problems));
        let implied = Implied::new(&extras.implies, problems);
        let vocabulary = Vocabulary::new();
        let mut all: Box<[Rule]> = rules.into();
        for rule in &mut all {
            rule.compiled = rule.requirement.as_ref().map(|needed| Arc::new(vocabulary.compile(needed)));
        }
        let vocabulary = vocabulary.id();
        Self { routes, all, mcp, vocabulary, origins, implied, preflight, dry_run, deny_by_default, bindings }
    }

    /// Whether they say nothing about any request, so that the layer decides.
    #[inline]
    pub(super) fn are_silent(&self) -> bool {
        // MCP rules are among all rules.
        self.all.is_empty()
            && self.origins.is_none()
            && self.preflight == Preflight::Never
            && !self.deny_by_default
    }

    /// By which the facts are known that they ask for.
    pub(crate) fn vocabulary(&self) -> VocabularyId {
        self.vocabulary
    }

    pub(crate) fn dry_run(&self) -> DryRun {
        self.dry_run
    }

    pub(crate) fn denies_by_default(&self) -> bool {
        self.deny_by_default
    }

    /// The rules that apply to a request, `None` for the default: the same one twice, unless a slash at the end could
    /// select another.
    pub(super) fn find(&self, request: RequestHead<'_>) -> Result<[Option<&Rule>; 2], Ambiguous> {
        if self.all.is_empty() {
            return Ok([None; 2]);
        }
        let as_get = request.is_routed_as_get();
        let lookup =
            Lookup { method: request.method, as_get, as_any: as_get && *request.method == Method::CONNECT };
        let found = self.routes.find(request.path(), lookup)?;
        Ok(found.map(|rule| rule.and_then(|rule| self.all.get(rule))))
    }

    /// The MCP rules of the request's path, if it has any.
    pub(super) fn find_mcp<'a>(
        &'a self,
        request: RequestHead<'a>,
    ) -> Result<Option<mcp::OfPath<'a>>, Ambiguous> {
        self.mcp.find(&self.all, request)
    }

    pub(crate) fn implied(&self) -> &Implied {
        &self.implied
    }

    /// The rules that say whether a preflight request has a route: where none names `OPTIONS`, those for the method that the
    /// browser wants to use.
    #[cold]
    pub(super) fn find_for_preflight<'a>(
        &'a self,
        request: RequestHead<'_>,
        found: [Option<&'a Rule>; 2],
    ) -> [Option<&'a Rule>; 2] {
        if found.iter().all(Option::is_some) {
            return found;
        }
        let Some(wanted) = wanted(request) else { return found };
        let mut request = request;
        request.method = &wanted;
        self.find(request).unwrap_or(found)
    }

    /// What a request needs by its rules alone, for a description of the API. A path that is read in two ways needs a
    /// token.
    pub(crate) fn need(&self, request: RequestHead<'_>) -> Need<'_> {
        let found = match self.find(request) {
            Ok(found) => found,
            Err(Ambiguous(_)) => return Need::Token(Vec::new()),
        };
        let of_mcp = self.find_mcp(request).ok().flatten();
        if self.deny_by_default && of_mcp.is_none() && found.iter().any(Option::is_none) {
            return Need::Denied;
        }
        let access = found.iter().map(|rule| rule.map_or(Access::Token, |rule| rule.access)).max();
        // The same rule twice, but for a slash at the end.
        let twice = matches!(found, [Some(one), Some(two)] if std::ptr::eq(one, two));
        let rules = found.into_iter().take(if twice { 1 } else { 2 }).flatten();
        let has_rule = found.iter().any(Option::is_some);
        let requirements = rules.filter_map(|rule| rule.requirement.as_ref()).collect();
        if let Some(of_mcp) = of_mcp {
            let is_open = |access: Access| access < Access::Token;
            let by_operation = of_mcp.rules().any(|rule| is_open(rule.access));
            let optional = if has_rule { access.is_some_and(is_open) } else { by_operation };
            return Need::Operations { requirements, optional };
        }
        match access {
            Some(Access::Public) => Need::Nothing,
            Some(Access::Optional) => Need::Optional(requirements),
            _ => Need::Token(requirements),
        }
    }

    /// Whether MCP rules are for what the browser wants to send.
    #[cold]
    pub(super) fn has_mcp_for_preflight(&self, request: RequestHead<'_>) -> bool {
        let Some(wanted) = wanted(request) else { return false };
        let mut request = request;
        request.method = &wanted;
        matches!(self.find_mcp(request), Ok(Some(_)))
    }

    /// Every scope that a route requires, in alphabetical order.
    pub(crate) fn scopes(&self) -> Vec<String> {
        let mut scopes = BTreeSet::new();
        self.all.iter().filter_map(|rule| rule.requirement.as_ref()).for_each(|it| it.scopes(&mut scopes));
        scopes.into_iter().map(str::to_owned).collect()
    }
}

/// The method that a preflight request asks about.
fn wanted(request: RequestHead<'_>) -> Option<Method> {
    Method::from_bytes(request.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}

/// Whether no request to a gRPC service has one of these methods. A call is a POST; Connect has a GET as well, which is
/// routed for HEAD too, and a browser asks with OPTIONS before either.
fn names_no_grpc_method(methods: &[Method]) -> bool {
    let some = [Method::POST, Method::GET, Method::HEAD, Method::OPTIONS];
    !methods.is_empty() && !methods.iter().any(|method| some.contains(method))
}

/// Service and method of a rule that was written with a dot between them: it would match no call. Packages are written in
/// lower case, so what two capitalised words end in is taken for that.
fn dotted_grpc_method(rule: &Rule) -> Option<(&str, &str)> {
    let name = rule.path.strip_suffix("/{*method}").filter(|_| rule.is_grpc)?.strip_prefix('/')?;
    let (service, method) = name.rsplit_once('.')?;
    let is_capitalised = |word: &str| word.starts_with(|first: char| first.is_ascii_uppercase());
    let last = service.rsplit('.').next()?;
    (is_capitalised(method) && is_capitalised(last)).then_some((service, method))
}

/// Whether it is the path of a gRPC method, or of all methods of a service: two segments without a `*` of another router.
fn is_grpc_method(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(parts[..], ["", service, method]
        if !service.is_empty() && !method.is_empty() && !service.contains('*')
            && (!method.contains('*') || method == "{*method}"))
}
