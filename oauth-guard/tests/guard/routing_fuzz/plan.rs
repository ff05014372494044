//! A router at random, the rules of its handlers, and requests for it. The fuzz targets include it.

use std::collections::BTreeSet;
use std::future::{Ready, ready};

use ::axum::Router;
use ::axum::routing::{MethodRouter, any, get, post};
use http::Method;
use oauth_guard::{Guard, GuardBuilder, Requirement, Rule};

use crate::support::Random;

pub(super) const SCOPES: [&str; 4] = ["s0", "s1", "s2", "s3"];

/// What a handler's own rule asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Need {
    Public,
    Token,
    Scope(&'static str),
    /// It has no rule: the default, unless a rule for a wider path covers the request.
    NoRule,
}

/// What responds at a route.
#[derive(Clone, Debug)]
pub(super) struct Handler {
    /// The whole pattern, prefix of a nested router included. A fallback has that of everything below it.
    pub(super) pattern: String,
    /// `None`: all methods.
    method: Option<Method>,
    need: Need,
}

/// Handlers by their number, and how they are put together.
pub(super) struct Plan {
    pub(super) handlers: Vec<Handler>,
    outer: Part,
    nested: Vec<(&'static str, Part)>,
    deny: bool,
}

#[derive(Default)]
struct Part {
    /// Route inside of the router, and its handlers.
    routes: Vec<(String, Vec<usize>)>,
    fallback: Option<usize>,
}

impl Plan {
    pub(super) fn random(random: &mut Random) -> Self {
        let mut plan = Self {
            handlers: Vec::new(),
            outer: Part::default(),
            nested: Vec::new(),
            deny: random.chance(25),
        };
        plan.outer = plan.part(random, "", true);
        for prefix in ["/api", "/api/v2", "/{tenant}/api"] {
            // Nested routers whose prefixes overlap are an error of the program.
            if random.chance(40)
                && !(prefix == "/api/v2" && plan.nested.iter().any(|(one, _)| *one == "/api"))
            {
                // axum takes no fallback below a placeholder: it has one at the root, its own or ours.
                let may_fall_back = !prefix.starts_with("/{");
                let part = plan.part(random, prefix, may_fall_back);
                plan.nested.push((prefix, part));
            }
        }
        plan
    }

    /// One router's routes. At one place there is either a placeholder or a catch-all: axum takes no more.
    fn part(&mut self, random: &mut Random, prefix: &str, may_fall_back: bool) -> Part {
        let mut part = Part::default();
        let (mut placeholders, mut catch_alls) = (BTreeSet::new(), BTreeSet::new());
        if prefix.is_empty() {
            // That of a nested router below `/{tenant}`.
            placeholders.insert(String::new());
        }
        for _ in 0..random.below(6) + 1 {
            let mut route = String::new();
            for depth in 0..random.below(3) + 1 {
                if random.chance(35) && !catch_alls.contains(&route) {
                    placeholders.insert(route.clone());
                    let name = if prefix.is_empty() && depth == 0 {
                        "tenant".to_owned()
                    } else {
                        format!("p{depth}")
                    };
                    route.push_str(&format!("/{{{name}}}"));
                } else {
                    route.push('/');
                    route.push_str(random.word(&["a", "b", "public", "docs", "caf%C3%A9"]));
                }
            }
            if random.chance(30) {
                if random.chance(30) {
                    // Everything below the first segment.
                    route.truncate(route[1..].find('/').map_or(route.len(), |at| at + 1));
                }
                if placeholders.contains(&route) {
                    continue;
                }
                catch_alls.insert(route.clone());
                // The rule is for the path up to it as well, so the handler is, too, unless another one is there.
                let number = self.handler(random, format!("{prefix}{route}/{{*rest}}"), None);
                for form in [format!("{route}/{{*rest}}"), route.clone(), format!("{route}/")] {
                    if part.routes.iter().all(|(one, _)| *one != form) {
                        part.routes.push((form, vec![number]));
                    }
                }
                continue;
            }
            if random.chance(20) {
                route.push('/');
            }
            if part.routes.iter().any(|(one, _)| *one == route) {
                continue;
            }
            let pattern = format!("{prefix}{route}");
            let handlers = match random.below(4) {
                0 => vec![self.handler(random, pattern, Some(Method::GET))],
                1 => vec![
                    self.handler(random, pattern.clone(), Some(Method::GET)),
                    self.handler(random, pattern, Some(Method::POST)),
                ],
                _ => vec![self.handler(random, pattern, None)],
            };
            part.routes.push((route, handlers));
        }
        if may_fall_back && random.chance(60) {
            let number = self.handler(random, format!("{prefix}/{{*fallback}}"), None);
            // axum asks all routes before any fallback, so a route below a placeholder takes requests from the fallback of
            // a nested router. A rule for all paths below the prefix is one for those requests, too.
            if !prefix.is_empty() && self.handlers.iter().any(|other| other.pattern.starts_with("/{tenant}"))
            {
                self.handlers[number].need = Need::NoRule;
            }
            part.fallback = Some(number);
        }
        part
    }

    fn handler(&mut self, random: &mut Random, pattern: String, method: Option<Method>) -> usize {
        let form = |pattern: &str| pattern.trim_end_matches('/').to_owned();
        // Two rules for one path, with a slash and without, are an error.
        let taken = self
            .handlers
            .iter()
            .any(|other| form(&other.pattern) == form(&pattern) && other.method == method);
        let need = match random.below(10) {
            _ if taken => Need::NoRule,
            0..4 => Need::Public,
            4..6 => Need::Token,
            6..9 => Need::Scope(random.word(&SCOPES)),
            _ => Need::NoRule,
        };
        self.handlers.push(Handler { pattern, method, need });
        self.handlers.len() - 1
    }

    fn ruled(&self) -> impl Iterator<Item = &Handler> {
        self.handlers.iter().filter(|handler| handler.need != Need::NoRule)
    }

    pub(super) fn guard(&self, mut builder: GuardBuilder) -> Guard {
        for handler in self.ruled() {
            let mut rule = Rule::new(&handler.pattern).methods(handler.method.clone());
            if handler.method.is_none() {
                rule = Rule::new(&handler.pattern);
            }
            builder = builder.rule(match handler.need {
                Need::Public => rule.public(),
                Need::Scope(scope) => rule.require(Requirement::scope(scope)),
                _ => rule,
            });
        }
        if self.deny {
            builder = builder.deny_by_default();
        }
        builder.build().unwrap()
    }

    /// The guard is in front of the whole router, in front of each part, or a layer of the whole.
    pub(super) fn router(&self, guard: &Guard, place: usize) -> Router {
        let mut outer = build(&self.outer, &self.handlers);
        for (prefix, part) in &self.nested {
            if let Some(number) = part.fallback {
                // A fallback covers the prefix and what is below it, but in axum not the prefix and a slash.
                outer = outer.route(&format!("{prefix}/"), any(named(number)));
            }
        }
        if place == 0 {
            outer = outer.layer(guard.layer());
        }
        for (prefix, part) in &self.nested {
            let mut nested = build(part, &self.handlers);
            if place == 0 {
                nested = nested.layer(guard.layer());
            }
            outer = outer.nest(prefix, nested);
        }
        match place {
            0 => outer,
            1 => outer.layer(guard.layer()),
            _ => Router::new().fallback_service(tower::Layer::layer(&guard.layer(), outer)),
        }
    }

    /// A path of a handler, often changed.
    pub(super) fn request(&self, random: &mut Random) -> (Method, String) {
        let handler = random.pick(&self.handlers);
        let mut path = String::new();
        for segment in handler.pattern.split('/').skip(1) {
            path.push('/');
            match segment {
                "{*rest}" | "{*fallback}" => {
                    path.push_str(random.word(&["x", "x/y", "a", "public/docs", ""]));
                }
                _ if segment.starts_with('{') => {
                    path.push_str(random.word(&["x", "a", "public", "7%20", "a.b"]));
                }
                text => path.push_str(text),
            }
        }
        for _ in 0..random.below(3) {
            let at = random.below(path.len() + 1);
            match random.below(12) {
                0..4 => path.push('/'),
                4 => path.push_str(random.word(&["/a", "/public", "/x/"])),
                5 => path = path.trim_end_matches('/').to_owned(),
                6 if path.is_char_boundary(at) => {
                    path.insert_str(
                        at,
                        random.word(&["/", "//", "/./", "/../", ";x", ";", "%2F", "%2e", "\\", "%7F"]),
                    );
                }
                7 => path = path.rsplit_once('/').map_or_else(String::new, |(parent, _)| parent.to_owned()),
                8 => path.push_str(random.word(&["/..", "/.", "/..;", ";v=1", "/%2e%2e", "%00", "//"])),
                9 => {
                    // One letter in another spelling.
                    if let Some(letter) =
                        path.get(at..).and_then(|rest| rest.chars().next()).filter(char::is_ascii_lowercase)
                    {
                        path.replace_range(at..=at, &format!("%{:02x}", u32::from(letter)));
                    }
                }
                10 => path = path.to_uppercase(),
                _ => path = path.replacen('a', "b", 1),
            }
        }
        if !path.starts_with('/') {
            path.insert(0, '/');
        }
        if random.chance(10) {
            path.push_str("?x=/a/../b");
        }
        let method = match &handler.method {
            Some(method) if random.chance(70) => method.clone(),
            _ => {
                random.pick(&[Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::OPTIONS]).clone()
            }
        };
        (method, path)
    }

    /// Asserts that the rule of the handler that responded was applied to a request with these scopes, `None` without a
    /// token.
    pub(super) fn assert_applied(
        &self,
        handler: &Handler,
        method: &Method,
        path: &str,
        scopes: Option<&BTreeSet<&str>>,
    ) {
        let what = format!("{method} {path} with {scopes:?} reached {handler:?}");
        match handler.need {
            Need::Public => {}
            Need::Token => assert!(scopes.is_some(), "{what}"),
            Need::Scope(scope) => assert!(scopes.is_some_and(|all| all.contains(scope)), "{what}"),
            Need::NoRule if self.has_rule_for(method, path) => {}
            Need::NoRule => assert!(scopes.is_some() && !self.deny, "{what}"),
        }
    }

    /// Whether some rule covers the request, read naively.
    fn has_rule_for(&self, method: &Method, path: &str) -> bool {
        let path = path.split('?').next().unwrap_or_default().trim_matches('/');
        self.ruled().any(|handler| {
            let mut given = path.split('/').filter(|segment| !segment.is_empty());
            let fits = handler.pattern.trim_matches('/').split('/').all(|segment| {
                segment.starts_with("{*")
                    || given.next().is_some_and(|one| segment.starts_with('{') || segment == one)
            });
            let all = handler.pattern.contains("{*") || given.next().is_none();
            let as_get = *method == Method::HEAD && handler.method == Some(Method::GET);
            fits && all && (as_get || handler.method.as_ref().is_none_or(|one| one == method))
        })
    }
}

/// A handler that responds with its number.
fn named(number: usize) -> impl Fn() -> Ready<[(&'static str, String); 1]> + Clone + Send + Sync + 'static {
    move || ready([("x-handler", number.to_string())])
}

fn build(part: &Part, handlers: &[Handler]) -> Router {
    let mut router = Router::new();
    for (route, numbers) in &part.routes {
        let mut methods = MethodRouter::new();
        for number in numbers {
            methods = methods.merge(match handlers[*number].method {
                Some(Method::GET) => get(named(*number)),
                Some(_) => post(named(*number)),
                None => any(named(*number)),
            });
        }
        router = router.route(route, methods);
    }
    match part.fallback {
        Some(number) => router.fallback(named(number)),
        None => router,
    }
}
