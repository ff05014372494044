//! What requests have to bring, by route.

use http::Method;

use super::path::Ambiguous;
use super::requirement::Requirement;
use super::routes::{Routes, Wrong};
use crate::error::Problems;

/// What the requests of one route have to bring. Given to [`GuardBuilder::rule`](crate::GuardBuilder::rule), or written
/// as `[[rule]]` in a [configuration](crate::config).
///
/// A path is compared with the raw path of the request as it was received, segment by segment:
/// - text is compared exactly, upper and lower case apart, and is written percent-encoded as it is sent;
/// - `{id}` stands for one segment, whatever it holds;
/// - `{*rest}`, at the end, stands for the path up to it and everything below;
/// - a slash at the end makes no difference.
///
/// Of the rules that fit a request's path and method, the most specific one counts, and no other: from left to right,
/// text before `{id}` before `{*rest}`; then a rule that names the method before one that does not. A rule for `GET`
/// counts for `HEAD` too, unless another one names `HEAD`. Where no rule fits, a valid token is needed.
///
/// Requests whose path two servers could read differently are refused with 400 where a rule could be got around with
/// them: `.` and `..`, `//`, slashes and backslashes in disguise, and text of a rule in other percent-encodings.
///
/// With the feature `axum`, the path is the one that the outermost router received, so that a layer on a nested router
/// sees its prefix as well. Elsewhere, what stands in front of the guard and rewrites paths decides what it sees.
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
#[must_use = "a rule counts once a guard has it"]
pub struct Rule {
    pub(crate) path: String,
    pub(crate) methods: Option<Vec<Method>>,
    pub(crate) access: Access,
    pub(crate) requirement: Option<Requirement>,
    pub(crate) dry_run: bool,
}

/// Who is let through at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whoever has a good token.
    #[default]
    Token,
    /// Those without a token too.
    Optional,
    /// Everybody; a token is not looked at.
    Public,
}

impl Rule {
    /// A rule for the requests to this path, such as `/orders/{id}`. Without more it asks for a valid token.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), methods: None, access: Access::Token, requirement: None, dry_run: false }
    }

    /// A rule for a gRPC method, `package.Service/Method`, or for all of a service's, `package.Service`.
    ///
    /// ```
    /// use oauth_guard::{Requirement, Rule};
    ///
    /// Rule::grpc("orders.Orders").require(Requirement::scope("orders:read"));
    /// Rule::grpc("orders.Orders/Cancel").require(Requirement::scope("orders:write"));
    /// ```
    pub fn grpc(method: impl AsRef<str>) -> Self {
        let method = method.as_ref().trim_start_matches('/');
        Self::new(if method.contains('/') { format!("/{method}") } else { format!("/{method}/{{*method}}") })
    }

    /// The only methods it counts for. By default all.
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = Some(methods.into_iter().collect());
        self
    }

    /// What the token has to grant. Call again to ask for both.
    pub fn require(mut self, requirement: Requirement) -> Self {
        self.requirement = Some(match self.requirement {
            Some(other) => other & requirement,
            None => requirement,
        });
        self
    }

    /// Lets requests without a token through as well, without claims. A bad token is still refused.
    pub fn optional(mut self) -> Self {
        self.access = Access::Optional;
        self
    }

    /// Lets every request through without a look at its token, and without claims.
    pub fn public(mut self) -> Self {
        self.access = Access::Public;
        self
    }

    /// Only logs what [`require`](Self::require) would refuse, see [`GuardBuilder::dry_run`](crate::GuardBuilder::dry_run).
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }
}

/// The rules of a guard, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    routes: Routes,
    all: Box<[Rule]>,
    /// Requests that a browser sends ahead of another one pass.
    pub(super) preflight: bool,
}

impl Rules {
    pub(crate) fn new(rules: &[Rule], preflight: bool, problems: &mut Problems) -> Self {
        let mut routes = Routes::default();
        for (index, rule) in rules.iter().enumerate() {
            let field = |name: &str| format!("rule[{index}].{name}");
            if rule.methods.as_ref().is_some_and(Vec::is_empty) {
                problems.add(field("methods"), "an empty list fits no request; leave it out for all methods");
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
                    "the rule is public, so no token is looked at; drop one of the two",
                );
            }
            if let Some(Err(why)) = rule.requirement.as_ref().map(Requirement::validate) {
                problems.add(field("require"), why);
            }
            match routes.insert(&rule.path, rule.methods.as_deref().unwrap_or_default(), index) {
                Ok(()) => {}
                Err(Wrong::Pattern(why)) => problems.add(field("path"), why),
                Err(Wrong::Twice(other)) => problems.add(
                    field("path"),
                    format!("counts for the same requests as rule[{other}]; make one of them, or name other methods"),
                ),
            }
        }
        Self { routes, all: rules.into(), preflight }
    }

    /// The rule that counts for a request.
    pub(super) fn find(&self, path: &str, method: &Method) -> Result<Option<&Rule>, Ambiguous> {
        Ok(self.routes.find(path, method)?.and_then(|rule| self.all.get(rule)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Every scope that some route asks for, in alphabetical order.
    pub(crate) fn scopes(&self) -> Vec<String> {
        let mut scopes = std::collections::BTreeSet::new();
        self.all.iter().filter_map(|rule| rule.requirement.as_ref()).for_each(|it| it.scopes(&mut scopes));
        scopes.into_iter().map(str::to_owned).collect()
    }
}
