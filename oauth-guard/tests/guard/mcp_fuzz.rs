//! Random MCP rules and random requests, against an oracle that knows only the definition. Whatever the headers say, a
//! request that is forwarded had what its body needs.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::Method;
use oauth_guard::{GuardBuilder, Requirement, Rule};

use crate::mcp::{Ask, send};
use crate::support::{Fixture, Random};

const SCOPES: [&str; 4] = ["a", "b", "c", "d"];
const METHODS: [&str; 4] = ["tools/call", "tools/list", "resources/read", "x/y"];
const NAMES: [&str; 4] = ["get_all", "delete_all", "delete_ü", "*"];
const METHOD_PATTERNS: [&str; 6] = ["tools/call", "tools/list", "tools/*", "*", "resources/read", "x/*"];
const NAME_PATTERNS: [&str; 5] = ["delete_*", "*_all", "get_all", "*", "*l*_*l"];
const PATHS: [&str; 2] = ["/mcp", "/other"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    Public,
    Optional,
    Token,
}

#[derive(Clone, Debug)]
struct Spec {
    path: &'static str,
    /// `None`: the rule of the route.
    mcp: Option<(&'static str, Option<&'static str>)>,
    post_only: bool,
    access: Access,
    scope: Option<&'static str>,
}

impl Spec {
    fn random(random: &mut Random) -> Self {
        let method = random.word(&METHOD_PATTERNS);
        let may_name = !matches!(method, "tools/list");
        let name = (may_name && random.chance(50)).then(|| random.word(&NAME_PATTERNS));
        let access =
            *random.pick(&[Access::Token, Access::Token, Access::Token, Access::Optional, Access::Public]);
        Self {
            path: random.word(&PATHS),
            mcp: random.chance(80).then_some((method, name)),
            post_only: random.chance(30),
            access,
            scope: (access != Access::Public && random.chance(80)).then(|| random.word(&SCOPES)),
        }
    }

    fn rule(&self) -> Rule {
        let mut rule = Rule::new(self.path);
        if let Some((method, name)) = self.mcp {
            rule = rule.mcp(method);
            rule = name.map_or(rule.clone(), |name| rule.name(name));
        }
        if self.post_only {
            rule = rule.methods([Method::POST]);
        }
        rule = match self.access {
            Access::Public => rule.public(),
            Access::Optional => rule.optional(),
            Access::Token => rule,
        };
        match self.scope {
            Some(scope) => rule.require(Requirement::scope(scope)),
            None => rule,
        }
    }
}

/// By the definition of `*`.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_at_checked(1) {
        None => text.is_empty(),
        Some(("*", rest)) => {
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| fits(rest, &text[at..]))
        }
        Some((wanted, rest)) => text.strip_prefix(wanted).is_some_and(|text| fits(rest, text)),
    }
}

struct World {
    rules: Vec<Spec>,
    implies: Vec<(&'static str, &'static str)>,
    deny: bool,
}

/// An operation with its name; `None` for one that is not said.
type Operation = Option<(&'static str, Option<&'static str>)>;

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Forward,
    Reject(u16),
}

impl World {
    fn random(random: &mut Random) -> Self {
        let mut rules: Vec<Spec> = Vec::new();
        for _ in 0..random.below(7) {
            let rule = Spec::random(random);
            let is_same = |other: &Spec| {
                other.path == rule.path
                    && other.mcp == rule.mcp
                    && (other.mcp.is_none() || other.post_only == rule.post_only)
            };
            if !rules.iter().any(is_same) {
                rules.push(rule);
            }
        }
        let implies = (0..random.below(4)).map(|_| (random.word(&SCOPES), random.word(&SCOPES))).collect();
        Self { rules, implies, deny: random.chance(25) }
    }

    fn has(&self, granted: &BTreeSet<&'static str>, scope: &str) -> bool {
        let mut all = granted.clone();
        for _ in 0..SCOPES.len() {
            let more: Vec<_> =
                self.implies.iter().filter(|(one, _)| all.contains(one)).map(|(_, two)| *two).collect();
            all.extend(more);
        }
        all.contains(scope)
    }

    fn decide(
        &self,
        path: &str,
        method: &Method,
        operation: Operation,
        granted: Option<&BTreeSet<&'static str>>,
    ) -> Verdict {
        let here = |rule: &&Spec| rule.path == path && (!rule.post_only || *method == Method::POST);
        let of_route = self.rules.iter().filter(here).find(|rule| rule.mcp.is_none());
        let of_operation: Vec<_> = self
            .rules
            .iter()
            .filter(here)
            .filter(|rule| match (rule.mcp, operation) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some((method, name)), Some((real, real_name))) => {
                    fits(method, real) && name.zip(real_name).is_none_or(|(name, real)| fits(name, real))
                }
            })
            .collect();
        let uncovered = of_route.is_none() && (operation.is_none() || of_operation.is_empty());
        if uncovered && self.deny {
            return Verdict::Reject(403);
        }
        let rules: Vec<_> = of_operation.into_iter().chain(of_route).collect();
        let by_default = uncovered.then_some(Access::Token);
        let access = rules.iter().map(|rule| rule.access).chain(by_default).max().unwrap_or(Access::Token);
        match granted {
            _ if access == Access::Public => Verdict::Forward,
            None if access == Access::Optional => Verdict::Forward,
            None => Verdict::Reject(401),
            Some(granted)
                if rules.iter().filter_map(|rule| rule.scope).all(|scope| self.has(granted, scope)) =>
            {
                Verdict::Forward
            }
            Some(_) => Verdict::Reject(403),
        }
    }

    /// Whether bodies of these requests are read.
    fn is_mcp(&self, path: &str, method: &Method) -> bool {
        let here = |rule: &&Spec| rule.path == path && (!rule.post_only || *method == Method::POST);
        self.rules.iter().filter(here).any(|rule| rule.mcp.is_some())
    }
}

fn member(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" => Some("name"),
        "resources/read" => Some("uri"),
        _ => None,
    }
}

fn body(method: &str, name: Option<&str>) -> String {
    match (member(method), name) {
        (Some(member), Some(name)) => {
            format!(r#"{{"id":1,"method":"{method}","params":{{"{member}":"{name}"}}}}"#)
        }
        _ => format!(r#"{{"id":1,"method":"{method}"}}"#),
    }
}

fn written(name: &str) -> String {
    use base64::Engine;
    if name.is_ascii() {
        return name.to_owned();
    }
    format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(name))
}

#[tokio::test(start_paused = true)]
async fn whatever_the_headers_say_a_request_had_what_its_body_needs() {
    let fixture = Fixture::new();
    let subsets: Vec<BTreeSet<&'static str>> = (0..16)
        .map(|bits| {
            SCOPES.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, scope)| *scope).collect()
        })
        .collect();
    let tokens: Vec<String> = subsets
        .iter()
        .map(|scopes| {
            fixture.server.mint().scope(scopes.iter().copied().collect::<Vec<_>>().join(" ")).build()
        })
        .collect();
    let mut random = Random::new(23);
    let (mut forwarded, mut lies, mut strict) = (0, 0, 0);
    for _ in 0..400 {
        let world = World::random(&mut random);
        let mut builder = fixture.builder().issuer(fixture.issuer());
        builder = world.rules.iter().map(Spec::rule).fold(builder, GuardBuilder::rule);
        builder = world.implies.iter().fold(builder, |builder, (one, other)| builder.implies(*one, [*other]));
        let builder = if world.deny { builder.deny_by_default() } else { builder };
        let layer = builder.build().unwrap().layer();
        for _ in 0..12 {
            let path = random.word(&PATHS);
            let http = if random.chance(80) { Method::POST } else { Method::PUT };
            let real = random.word(&METHODS);
            let real_name = member(real).map(|_| random.word(&NAMES));
            let (said, said_name) = if random.chance(60) {
                (real, real_name)
            } else {
                (random.word(&METHODS), random.chance(80).then(|| random.word(&NAMES)))
            };
            let mut headers = vec![("mcp-method", said.to_owned())];
            headers.extend(said_name.map(|name| ("mcp-name", written(name))));
            let mut operation = match (member(said), said_name) {
                (Some(_), None) => None,
                (Some(_), name) => Some((said, name)),
                (None, _) => Some((said, None)),
            };
            // A name that the body has not is a lie, whatever the method.
            let mut contradicts = said != real || said_name.is_some() && said_name != real_name;
            let mut doubled = false;
            match random.below(10) {
                0 => {
                    headers.clear();
                    (operation, contradicts) = (None, false);
                }
                1 => {
                    headers.push(("mcp-protocol-version", "2025-06-18".to_owned()));
                    operation = None;
                }
                2 => headers.push(("mcp-protocol-version", "2026-07-28".to_owned())),
                3 => {
                    headers.push(("mcp-method", real.to_owned()));
                    doubled = true;
                }
                _ => {}
            }
            let who = random.chance(85).then(|| random.below(16));
            let granted = who.map(|who| &subsets[who]);
            let is_mcp = world.is_mcp(path, &http);
            let expected = if is_mcp && doubled {
                Verdict::Reject(400)
            } else {
                match world.decide(path, &http, if is_mcp { operation } else { None }, granted) {
                    Verdict::Forward if is_mcp && contradicts => Verdict::Reject(400),
                    verdict => verdict,
                }
            };
            let text = body(real, real_name);
            let token = who.map(|who| &*tokens[who]);
            let what = || format!("{path} {http} {headers:?} {text} {granted:?}\n{:#?}", world.rules);
            let headers_sent = headers.clone();
            let ask = Ask {
                method: http.clone(),
                path,
                headers: headers_sent,
                body: Bytes::from(text.clone()).into(),
                token,
            };
            let (status, _, echoed) = send(&layer, ask).await;
            let found = if status == 200 { Verdict::Forward } else { Verdict::Reject(status) };
            assert_eq!(found, expected, "{}", what());
            if found == Verdict::Forward {
                assert_eq!(echoed, text);
                // The security of it, apart from all forms: an honest request would have been forwarded too.
                let honest = world.decide(path, &http, Some((real, real_name)), granted);
                assert_eq!(honest, Verdict::Forward, "{}", what());
                forwarded += 1;
            }
            lies += u32::from(is_mcp && contradicts && found == Verdict::Reject(400));
            strict += u32::from(is_mcp && operation.is_none() && found == Verdict::Reject(403));
        }
    }
    assert!(forwarded > 1_000 && lies > 100 && strict > 100, "{forwarded} {lies} {strict}");
}
