//! Rules against a real axum router, at random: whichever handler responds, the rule for its own route was applied.
//!
//! Routers have nested routers, fallbacks, placeholders, catch-alls, and routes with a slash at the end. Each request is
//! a path of a route, often changed: slashes, dots, encodings, parameters. A seed is printed, and always the same.

use std::collections::BTreeSet;
use std::future::{Ready, ready};

use ::axum::Router;
use ::axum::body::Body;
use ::axum::routing::{MethodRouter, any, get, post};
use http::{Method, Request, StatusCode, header};
use oauth_guard::{Guard, Requirement, Rule};
use tower::ServiceExt;

use crate::support::{Fixture, Random};

const SEED: u64 = 0x006f_6175_7468_3230;
const ROUTERS: usize = 250;
const REQUESTS: usize = 40;
const SCOPES: [&str; 4] = ["s0", "s1", "s2", "s3"];

/// What a handler's own rule asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Need {
    Public,
    Token,
    Scope(&'static str),
    /// It has no rule: the default, unless a rule for a wider path covers the request.
    NoRule,
}

#[derive(Clone, Debug)]
struct Handler {
    /// The whole pattern, prefix of a nested router included. A fallback has that of everything below it.
    pattern: String,
    /// `None`: all methods.
    method: Option<Method>,
    need: Need,
}

/// Handlers by their number, and how they are put together.
struct Plan {
    handlers: Vec<Handler>,
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

#[tokio::test(start_paused = true)]
async fn whichever_handler_responds_its_own_rule_was_applied() {
    println!("seed {SEED:#018x}");
    let mut random = Random::new(SEED);
    let fixture = Fixture::new();
    let tokens: Vec<(BTreeSet<&str>, String)> = (0..16_u32)
        .map(|set| {
            let scopes: BTreeSet<_> =
                SCOPES.into_iter().enumerate().filter(|(n, _)| set >> n & 1 == 1).collect();
            let scopes: BTreeSet<&str> = scopes.into_iter().map(|(_, scope)| scope).collect();
            let words = scopes.iter().copied().collect::<Vec<_>>().join(" ");
            (scopes, fixture.server.mint().scope(words).build())
        })
        .collect();
    let (mut responses, mut rejections, mut by_fallback, mut by_nested, mut slashed) = (0, 0, 0, 0, 0);
    for round in 0..ROUTERS {
        let plan = Plan::random(&mut random);
        let guard = plan.guard(&fixture);
        let router = plan.router(&guard, random.below(3));
        for _ in 0..REQUESTS {
            let (method, path) = plan.request(&mut random);
            let token = random.chance(80).then(|| random.pick(&tokens));
            let mut request = Request::builder().method(&method).uri(&path);
            if let Some((_, token)) = token {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            // What the `http` crate does not take arrives at no handler.
            let Ok(request) = request.body(Body::empty()) else { continue };
            let response = router.clone().oneshot(request).await.unwrap();
            let Some(handler) = response.headers().get("x-handler") else {
                rejections += usize::from(response.status() != StatusCode::NOT_FOUND);
                continue;
            };
            let handler = &plan.handlers[handler.to_str().unwrap().parse::<usize>().unwrap()];
            let scopes = token.map(|(scopes, _)| scopes);
            let what = format!("router {round}: {method} {path} with {scopes:?} reached {handler:?}");
            match handler.need {
                Need::Public => {}
                Need::Token => assert!(scopes.is_some(), "{what}"),
                Need::Scope(scope) => assert!(scopes.is_some_and(|all| all.contains(scope)), "{what}"),
                Need::NoRule if plan.has_rule_for(&method, &path) => {}
                Need::NoRule => assert!(scopes.is_some() && !plan.deny, "{what}"),
            }
            responses += 1;
            by_fallback += usize::from(handler.pattern.ends_with("{*fallback}"));
            by_nested += usize::from(handler.pattern.starts_with("/api"));
            slashed += usize::from(path.len() > 1 && path.split('?').next().unwrap().ends_with('/'));
        }
    }
    let requests = ROUTERS * REQUESTS;
    println!(
        "{requests} requests, {responses} responses of handlers ({by_fallback} of fallbacks, {by_nested} nested, {slashed} with a slash at the end), {rejections} rejections"
    );
    // It proves nothing if little gets through, or everything.
    assert!(responses > requests / 5 && rejections > requests / 5, "{responses} {rejections}");
    assert!(by_fallback > 100 && by_nested > 100 && slashed > 100, "{by_fallback} {by_nested} {slashed}");
}

impl Plan {
    fn random(random: &mut Random) -> Self {
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

    fn guard(&self, fixture: &Fixture) -> Guard {
        let issuer = fixture.issuer().jwks_json(fixture.server.keys().jwks_json());
        let mut builder = fixture.builder().issuer(issuer);
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
    fn router(&self, guard: &Guard, place: usize) -> Router {
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
    fn request(&self, random: &mut Random) -> (Method, String) {
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
