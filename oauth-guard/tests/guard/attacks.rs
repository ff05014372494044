//! Every row of the attack table against the real layer; after each, a valid token is still accepted.
//!
//! `cargo test -p tower-oauth-guard --test guard attacks -- --nocapture` prints it: case, attack, expected, got.

use std::fmt::Write;

use bytes::Bytes;
use http_body_util::Full;
use oauth_guard::clock::TestClock;
use oauth_guard::{Algorithm, Guard, GuardLayer, HttpClient, Issuer, Requirement};
use oauth_mock::attack::{self, Attack, AttackContext};
use oauth_mock::{Endpoint, MockServer};

use crate::support::{Reply, send_request};

#[tokio::test(start_paused = true)]
async fn every_attack_gets_the_right_response() {
    let mut table = String::new();
    let (mut requests, mut wrong) = (0, 0);
    for attack in attack::all() {
        let target = Target::new(attack);
        for request in attack.requests(&target.context) {
            // Only a raw socket can send these; hyper rejects them before any service is called.
            // Paused time: the guard's clock moves on with it.
            tokio::time::sleep(request.wait()).await;
            let Some(http) = request.to_http("https://api.example.com/orders") else { continue };
            let (expected, reply) = (request.expected(), target.send(http.map(Full::new)).await);
            let (status, error) = reply.summary();
            let good = (expected.tolerated.contains(&status)
                || (status == expected.status && error == expected.error))
                && reply.leaks_nothing(request.token())
                && !request.unmentionable().iter().any(|text| reply.mentions(text));
            requests += 1;
            wrong += usize::from(!good);
            let mark = if good { "  " } else { "✗ " };
            writeln!(
                table,
                "{mark}{:5} {:44} {:36} {} {:22} {status} {}",
                attack.case,
                attack.id,
                request.variant().chars().take(36).collect::<String>(),
                expected.status,
                expected.error.unwrap_or("-"),
                error.unwrap_or("-"),
            )
            .unwrap();
        }
        // An issuer without keys has no valid tokens.
        let afterwards = if target.server.keys().kids().is_empty() { 401 } else { 200 };
        assert_eq!(target.send_good().await.status, afterwards, "{}: a good token afterwards", attack.id);
        assert_eq!(
            target.server.journal().count(Endpoint::Trap),
            0,
            "{}: the token chose an address",
            attack.id
        );
    }
    println!("{table}{requests} requests, {wrong} with a wrong response");
    assert_eq!(wrong, 0);
    assert!(requests > 500, "the table has {requests} requests only");
}

pub(crate) struct Target {
    pub(crate) server: MockServer,
    pub(crate) context: AttackContext,
    pub(crate) guard: Guard,
    layer: GuardLayer,
}

impl Target {
    pub(crate) fn new(attack: &Attack) -> Self {
        let mut builder = MockServer::builder().algorithms(attack::ALGORITHMS);
        if attack.setup.two_issuers {
            builder = builder.issuer("second");
        }
        let server = builder.in_process();
        let context = AttackContext::new(&server).scope("read");
        let issuer = |name: &str| {
            let mut issuer = Issuer::new(name).audience(server.audience());
            if let Some(only) = attack.setup.only_algorithms {
                issuer = issuer.algorithms(only.iter().filter_map(|alg| Algorithm::from_name(alg.as_str())));
            }
            if let Some(age) = attack.setup.max_token_age {
                issuer = issuer.max_token_age(age);
            }
            issuer
        };
        let mut guard = Guard::builder()
            .http(HttpClient::from_service(server.transport()))
            .clock(TestClock::new())
            .issuer(issuer(server.issuer()));
        if let Some(second) = context.second_issuer().filter(|_| attack.setup.two_issuers) {
            guard = guard.issuer(issuer(second));
        }
        let guard = guard.build().unwrap();
        let mut layer = guard.layer().require(Requirement::scope("read"));
        if attack.setup.optional {
            layer = layer.optional();
        }
        Self { server, context, guard, layer }
    }

    async fn send(&self, request: http::Request<Full<Bytes>>) -> Reply {
        send_request(&self.layer, request).await
    }

    async fn send_good(&self) -> Reply {
        let request = http::Request::get("https://api.example.com/orders")
            .header(http::header::AUTHORIZATION, format!("Bearer {}", self.context.good().build()))
            .body(Full::default())
            .unwrap();
        self.send(request).await
    }
}
