//! Every route, as one table: what is documented is what is served.

use std::sync::Arc;

use bytes::Bytes;
use http::header::ALLOW;
use http::{Method, Request, StatusCode};
use serde_json::{Map, Value, json};

use super::journal::Pieces;
use super::socket::refuse;
use super::{accounts, journal, keys, logins, page, rules, server, statements, tls, tokens};
use crate::encode::form_pairs;
use crate::json;
use crate::settings::{Fields, Mistakes, read};
use crate::shared::{Issuer, Shared};
use crate::wire::response::MockResponse;

/// A request that found its route.
pub(super) struct Order<'a> {
    pub(super) shared: &'a Shared,
    /// The part of the path that the route leaves open, decoded.
    pub(super) name: String,
    /// The parameters of the query; each route takes those it knows.
    query: Vec<(String, String)>,
    body: Value,
}

/// What a route says: a status other than 200 only when something was made or is not there.
pub(super) type Reply = Result<(StatusCode, Value), Refusal>;

/// Why an order was not carried out.
pub(super) enum Refusal {
    /// 404: what the path names does not exist.
    NoSuch(String),
    /// 400.
    Bad(Mistakes),
}

pub(super) struct Route {
    method: &'static str,
    /// A word in braces stands for one segment.
    path: &'static str,
    about: &'static str,
    serve: fn(&Order<'_>) -> Reply,
}

macro_rules! routes {
    ($($method:ident $path:literal $about:literal $serve:path;)*) => {
        [$(Route { method: stringify!($method), path: $path, about: $about, serve: $serve }),*]
    };
}

pub(super) static ROUTES: &[Route] = &routes! {
    GET "/v1" "every route" index;
    GET "/v1/health" "200 while the server runs" server::health;
    GET "/v1/state" "issuers, keys, clients, users, faults, clock: all at once" server::state;
    POST "/v1/reset" "back to how the server started" server::reset;
    POST "/v1/pause" "refuse every connection of the server, and cut the open ones" server::pause;
    POST "/v1/resume" "come back, with everything it knew" server::resume;
    GET "/v1/clock" "the server's time" server::clock;
    POST "/v1/clock" "set, advance, step or stop the server's time" server::set_clock;
    POST "/v1/mint" "any token, good or bad" tokens::mint;
    POST "/v1/decode" "what a token says, and whether a key of this server signed it" tokens::decode;
    POST "/v1/issue" "tokens that the server's records know" tokens::issue;
    POST "/v1/revoke" "revoke a token" tokens::revoke;
    POST "/v1/logout_token" "a logout token, sent if asked" statements::logout_token;
    POST "/v1/security_event" "a security event token, pushed, or waiting to be polled" statements::security_event;
    POST "/v1/end_session" "end a session, and send its clients logout tokens" statements::end_session;
    GET "/v1/polled_events" "the security events that pollers acknowledged or refused" statements::polled;
    POST "/v1/login" "play the browser: log a user in at an authorization URL" tokens::login;
    GET "/v1/ca" "the authority's certificate, for HTTPS" tls::ca;
    POST "/v1/client_certificates" "a certificate for a client" tls::client_certificate;
    GET "/v1/keys" "the key set, and which key signs" keys::list;
    POST "/v1/keys" "publish another key, new or as any JSON" keys::add;
    DELETE "/v1/keys" "publish no key at all" keys::clear;
    DELETE "/v1/keys/{kid}" "stop publishing a key" keys::withdraw;
    POST "/v1/keys/rotate" "sign with a new key" keys::rotate;
    POST "/v1/keys/retire" "stop publishing every key but the one that signs" keys::retire;
    POST "/v1/keys/max_age" "send Cache-Control: max-age with the key set" keys::max_age;
    GET "/v1/faults" "the faults in force" server::faults;
    POST "/v1/faults" "make an endpoint fail" server::add_fault;
    DELETE "/v1/faults" "end all faults" server::clear_faults;
    DELETE "/v1/faults/{id}" "end one fault" server::remove_fault;
    GET "/v1/claims" "the claims and members that some requests get" rules::list;
    POST "/v1/claims" "claims and members by client, scope, grant or parameter" rules::add;
    DELETE "/v1/claims" "end all of them" rules::clear;
    GET "/v1/scenarios" "the scenarios that have left their first state" rules::scenarios;
    PUT "/v1/scenarios/{name}" "take a scenario to a state" rules::set_scenario;
    DELETE "/v1/scenarios" "take all scenarios to their first state" rules::reset_scenarios;
    POST "/v1/provider_failures" "fail as the provider's page documents" server::provider_failure;
    GET "/v1/flaws" "the responses that are wrong in one point" server::tampers;
    GET "/v1/gates" "the closed gates, which hold responses back" server::gates;
    POST "/v1/gates/{name}/open" "send the responses that a gate holds back" server::open_gate;
    GET "/v1/clients" "the clients, secrets included" accounts::clients;
    PUT "/v1/clients/{client_id}" "register a client, or replace it" accounts::set_client;
    DELETE "/v1/clients/{client_id}" "forget a client" accounts::remove_client;
    GET "/v1/users" "the users, passwords included" accounts::users;
    PUT "/v1/users/{name}" "add a user, or replace it" accounts::set_user;
    DELETE "/v1/users/{name}" "forget a user" accounts::remove_user;
    GET "/v1/journal" "what arrived; waits for it if asked" journal::never;
    DELETE "/v1/journal" "forget what arrived" journal::clear;
    POST "/v1/fingerprint" "how a secret is written in the journal" journal::fingerprint;
    GET "/v1/expectations" "whether everything expected has come" journal::expectations;
    POST "/v1/expectations" "expect so many requests to an endpoint" journal::expect;
    DELETE "/v1/expectations" "expect nothing any more" journal::clear_expectations;
    POST "/v1/flaws" "make responses wrong in one point" logins::add_tamper;
    DELETE "/v1/flaws" "end all tampers" logins::clear_tampers;
    POST "/v1/devices" "approve or deny a waiting device" logins::decide_device;
    POST "/v1/backchannel" "say yes or no for a user who is asked on a device" logins::decide_backchannel;
    POST "/v1/dpop/nonces" "invalidate the DPoP nonces, or ask for other ones" server::dpop_nonces;
};

/// A response, and the pieces of its body if it is too long to be made at once.
pub(super) type Served = (MockResponse, Option<Pieces>);

pub(super) async fn serve(shared: &Arc<Shared>, request: &Request<Bytes>) -> Served {
    match find(request) {
        Err(response) => (*response, None),
        Ok((route, name, query, body)) => {
            let order = Order { shared, name, query, body };
            if let Err(mistakes) = journal::wait(&order, route.path).await {
                return (refuse(StatusCode::BAD_REQUEST, &mistakes), None);
            }
            if (route.method, route.path) == ("GET", "/v1/journal") {
                return match journal::pieces(&order) {
                    Ok(pieces) => (MockResponse::new(StatusCode::OK, "application/json", ""), Some(pieces)),
                    Err(mistakes) => (refuse(StatusCode::BAD_REQUEST, &mistakes), None),
                };
            }
            let response = match (route.serve)(&order) {
                Ok((status, body)) => MockResponse::json(status, &body),
                Err(Refusal::NoSuch(what)) => refuse(StatusCode::NOT_FOUND, &Mistakes::one("", what)),
                Err(Refusal::Bad(mistakes)) => refuse(StatusCode::BAD_REQUEST, &mistakes),
            };
            (response, None)
        }
    }
}

/// A route, the name in its path, the query and the body.
type Found = (&'static Route, String, Vec<(String, String)>, Value);

/// The route of a request, or the response of one that has none.
fn find(request: &Request<Bytes>) -> Result<Found, Box<MockResponse>> {
    let path = request.uri().path();
    if path == "/" && matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Box::new(page::page("")));
    }
    let here: Vec<_> = ROUTES.iter().filter_map(|route| Some((route, matched(route.path, path)?))).collect();
    // `/v1/keys/rotate` is no key, so a route without a name goes first.
    let plain = here.iter().any(|(_, name)| name.is_empty());
    let mut here = here.into_iter().filter(|(_, name)| name.is_empty() == plain);
    let methods: Vec<_> = here.clone().map(|(route, _)| route.method).collect();
    let Some((route, name)) = here.find(|(route, _)| route.method == request.method().as_str()) else {
        return Err(Box::new(if methods.is_empty() {
            let problem = format!("{path} is no route of this port; GET /v1 lists them");
            refuse(StatusCode::NOT_FOUND, &Mistakes::one("", problem))
        } else {
            let problem = format!("{} is not served here; use {}", request.method(), methods.join(" or "));
            refuse(StatusCode::METHOD_NOT_ALLOWED, &Mistakes::one("", problem))
                .with(ALLOW, &methods.join(", "))
        }));
    };
    let query = form_pairs(request.uri().query().unwrap_or_default().as_bytes()).unwrap_or_default();
    let body = match request.body().as_ref() {
        [] => Value::Object(Map::new()),
        bytes => json::value(bytes).map_err(|error| {
            let mistake = Mistakes::one("", format!("not valid JSON: {error}"));
            Box::new(refuse(StatusCode::BAD_REQUEST, &mistake))
        })?,
    };
    Ok((route, name, query, body))
}

impl Order<'_> {
    /// Reads the body field by field.
    pub(super) fn read<T>(&self, take: impl FnOnce(&Fields<'_>) -> T) -> Result<T, Refusal> {
        read(self.body.clone(), take).map_err(Refusal::Bad)
    }

    pub(super) fn body(&self) -> &Value {
        &self.body
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A number of the query.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Mistakes> {
        let number = |text: &str| {
            text.parse().map_err(|_| Mistakes::one(name, "a whole number, not negative, is needed"))
        };
        self.query(name).map(number).transpose()
    }

    /// The issuer that `?issuer=` names; the first one without it.
    pub(super) fn issuer(&self) -> Result<&Issuer, Refusal> {
        let name = self.query("issuer").unwrap_or_default();
        self.shared.issuers.iter().find(|issuer| issuer.name == name).ok_or_else(|| {
            let names: Vec<_> =
                self.shared.issuers.iter().map(|issuer| format!("{:?}", issuer.name)).collect();
            Refusal::Bad(Mistakes::one(
                "issuer",
                format!("there is no {name:?}; use one of: {}", names.join(", ")),
            ))
        })
    }
}

impl From<Mistakes> for Refusal {
    fn from(mistakes: Mistakes) -> Self {
        Self::Bad(mistakes)
    }
}

pub(super) fn ok(body: Value) -> Reply {
    Ok((StatusCode::OK, body))
}

/// For what changes something and returns nothing.
pub(super) fn done() -> Reply {
    ok(json!({}))
}

fn index(_: &Order<'_>) -> Reply {
    let route = |route: &Route| json!({"method": route.method, "path": route.path, "about": route.about});
    ok(json!({"version": 1, "routes": ROUTES.iter().map(route).collect::<Vec<_>>()}))
}

/// What stands in place of the word in braces, decoded; empty if the pattern has none. A name is never empty.
fn matched(pattern: &str, path: &str) -> Option<String> {
    let Some((before, rest)) = pattern.split_once('{') else { return (pattern == path).then(String::new) };
    let (_, after) = rest.split_once('}')?;
    let name = path.strip_prefix(before)?.strip_suffix(after)?;
    if name.is_empty() || name.contains('/') {
        return None;
    }
    percent_decode(name)
}

fn percent_decode(text: &str) -> Option<String> {
    // A form reads a plus sign as a space, a path does not.
    crate::encode::form_decode(text.replace('+', "%2B").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_and_decoded() {
        let of = |path| matched("/v1/gates/{name}/open", path);
        assert_eq!(of("/v1/gates/a%2Fb%20c+d/open").as_deref(), Some("a/b c+d"));
        assert_eq!((of("/v1/gates//open"), of("/v1/gates/a/b/open"), of("/v1/gates/a")), (None, None, None));
        assert_eq!(matched("/v1/keys", "/v1/keys").as_deref(), Some(""));
    }

    #[test]
    fn every_route_is_documented() {
        let text = include_str!("../../CONTROL.md");
        for route in ROUTES {
            let heading = format!("### `{} {}`", route.method, route.path);
            assert!(
                text.lines().any(|line| line.starts_with(&heading)),
                "CONTROL.md has no heading {heading}"
            );
        }
        let headings = text.lines().filter(|line| line.starts_with("### `")).count();
        assert_eq!(headings, ROUTES.len(), "CONTROL.md documents a route that does not exist");
    }
}
