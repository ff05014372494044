//! The configurations of RECIPES.md, each with tokens of the shape that its provider documents.

use http::{Request, header};
use oauth_guard::clock::TestClock;
use oauth_guard::config::GuardConfig;
use oauth_guard::{Claims, Guard, Issuer, Rejection};
use oauth_mock::{Alg, Endpoint, MockServer, TestKey, TokenBuilder};
use serde_json::{Value, json};

use crate::log::Log;
use crate::site::Site;

/// The TOML below a heading.
fn recipe(title: &str) -> &'static str {
    let text = include_str!("../../RECIPES.md");
    let (_, section) = text.split_once(&format!("## {title}\n")).unwrap();
    let (_, code) = section.split_once("```toml\n").unwrap();
    code.split_once("```").unwrap().0
}

struct Provider {
    server: MockServer,
    site: Site,
}

impl Provider {
    fn new() -> Self {
        let server = MockServer::builder().algorithms([Alg::Rs256]).in_process();
        Self { server, site: Site::default() }
    }

    /// Metadata at the place where the provider has them, and keys.
    fn serve(&self, metadata: &str, issuer: &str, keys: &str) {
        self.site.metadata(metadata, issuer, keys);
        self.site.keys(keys, &self.server);
    }

    fn guard(&self, title: &str) -> Guard {
        self.guard_of(recipe(title))
    }

    fn guard_of(&self, text: &str) -> Guard {
        let builder = GuardConfig::from_toml(text).unwrap().into_builder();
        builder.http(self.site.http()).clock(TestClock::new()).build().unwrap()
    }

    /// A token with exactly these claims beside the times.
    fn token(&self, claims: &Value) -> TokenBuilder {
        let mint = self.server.mint().typ("JWT");
        let mint = ["sub", "client_id", "jti", "aud", "iss"].into_iter().fold(mint, TokenBuilder::without);
        claims.as_object().unwrap().iter().fold(mint, |mint, (name, value)| mint.claim(name, value.clone()))
    }
}

/// The status of a request, and its claims.
async fn get(guard: &Guard, path: &str, token: &TokenBuilder) -> (u16, Option<Claims>) {
    get_with(guard, path, &token.clone().build()).await
}

async fn get_with(guard: &Guard, path: &str, token: &str) -> (u16, Option<Claims>) {
    let authorization = format!("Bearer {token}");
    let request = Request::get(path).header(header::AUTHORIZATION, authorization).body(()).unwrap();
    let claims = guard.check(&request).resolve().await;
    let claims = claims.and_then(|claims| guard.authorize(&request, claims.as_ref()).map(|()| claims));
    match claims {
        Ok(claims) => (200, claims),
        Err(Rejection::InvalidToken(_)) => (401, None),
        Err(Rejection::InsufficientScope { .. }) => (403, None),
        Err(other) => (503, {
            println!("{other}");
            None
        }),
    }
}

async fn status(guard: &Guard, path: &str, token: &TokenBuilder) -> u16 {
    get(guard, path, token).await.0
}

const TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
const API: &str = "6e74172b-be56-4843-9ff4-e66a39bb12e3";

fn entra(tenant: &str) -> Value {
    json!({
        "aud": API, "iss": format!("https://login.microsoftonline.com/{tenant}/v2.0"), "aio": "E2ZgYLh",
        "azp": "e8b4ad1a-7f3e-4e9d-a2f0-1c2a7a9a6b11", "azpacr": "1", "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        "scp": "access_as_user orders.read", "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "tid": tenant,
        "uti": "fqiBqXLPj0eQa82S-IYFAA", "ver": "2.0", "roles": null,
    })
}

#[tokio::test(start_paused = true)]
async fn entra_with_one_tenant() {
    let provider = Provider::new();
    let issuer = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
    let keys = format!("https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys");
    provider.serve(&format!("{issuer}/.well-known/openid-configuration"), &issuer, &keys);
    let guard = provider.guard("Microsoft Entra ID, one tenant");
    let (status_of_good, claims) = get(&guard, "/orders", &provider.token(&entra(TENANT))).await;
    assert_eq!(status_of_good, 200);
    let claims = claims.unwrap();
    assert!(claims.has_scope("orders.read") && claims.client_id().is_some());
    let other = entra("72f988bf-86f1-41af-91ab-2d7cd011db47");
    assert_eq!(status(&guard, "/orders", &provider.token(&other)).await, 401);
    let v1 = provider.token(&entra(TENANT)).claim("ver", "1.0");
    assert_eq!(status(&guard, "/orders", &v1).await, 401);
}

#[tokio::test(start_paused = true)]
async fn entra_with_many_tenants() {
    let provider = Provider::new();
    // Entra's keys name their issuer, with the hole.
    let mut jwk = provider.server.keys().current().public_jwk();
    jwk["issuer"] = "https://login.microsoftonline.com/{tenantid}/v2.0".into();
    jwk["x5c"] = json!(["MIIC"]);
    provider
        .site
        .json("https://login.microsoftonline.com/common/discovery/v2.0/keys", &json!({ "keys": [jwk] }));
    let guard = provider.guard("Microsoft Entra ID, many tenants");
    for tenant in [TENANT, "72f988bf-86f1-41af-91ab-2d7cd011db47"] {
        assert_eq!(status(&guard, "/orders", &provider.token(&entra(tenant))).await, 200);
    }
    let stranger = entra("00000000-0000-0000-0000-000000000001");
    assert_eq!(status(&guard, "/orders", &provider.token(&stranger)).await, 403, "no customer");
    let forged = provider.token(&entra("00000000-0000-0000-0000-000000000001")).claim("tid", TENANT);
    assert_eq!(status(&guard, "/orders", &forged).await, 401);
}

#[tokio::test(start_paused = true)]
async fn keycloak() {
    let provider = Provider::new();
    let issuer = "https://sso.example.com/realms/shop";
    let keys = format!("{issuer}/protocol/openid-connect/certs");
    provider.serve(&format!("{issuer}/.well-known/openid-configuration"), issuer, &keys);
    let guard = provider.guard("Keycloak");
    let claims = json!({
        "jti": "trrtcc:0c6a44ca-0bb5-4a1c-8bb4-2ad0e4a2b9d1", "iss": issuer, "aud": ["orders-api", "account"],
        "sub": "f1c4f64e-2c0c-4cda-8c9f-9f3f8f3a2b0e", "typ": "Bearer", "azp": "shop-web",
        "sid": "4c0a3a8a-3a47-4f2f-8e89-9e5f9b0a0a0a", "acr": "1", "allowed-origins": ["https://shop.example.com"],
        "realm_access": {"roles": ["default-roles-shop", "offline_access"]},
        "resource_access": {"orders-api": {"roles": ["orders-editor"]}, "account": {"roles": ["manage-account"]}},
        "scope": "openid profile email", "email_verified": true, "preferred_username": "ada",
    });
    let token = provider.token(&claims);
    let (status_of_good, known) = get(&guard, "/orders/7", &token).await;
    assert_eq!(status_of_good, 200);
    let known = known.unwrap();
    assert!(known.has_role("offline_access") && known.has_role("orders-editor"));
    assert!(!known.has_role("manage-account"), "another client's role");
    assert_eq!(known.client_id(), Some("shop-web"));
    let by_realm = json!({"roles": ["orders-editor"]});
    let by_realm = token.clone().claim("realm_access", by_realm).without("resource_access");
    assert_eq!(status(&guard, "/orders/7", &by_realm).await, 200);
    let of_another = json!({"billing-api": {"roles": ["orders-editor"]}});
    let of_another = token.clone().claim("resource_access", of_another);
    assert_eq!(status(&guard, "/orders/7", &of_another).await, 403);
    // An ID token for a client of the API's name, and a token without the audience mapper.
    for other in [token.clone().claim("typ", "ID").audience("orders-api"), token.audience("account")] {
        assert_eq!(status(&guard, "/orders/7", &other).await, 401);
    }
}

#[tokio::test(start_paused = true)]
async fn auth0() {
    let provider = Provider::new();
    let issuer = "https://shop.eu.auth0.com/";
    let keys = format!("{issuer}.well-known/jwks.json");
    provider.serve(&format!("{issuer}.well-known/openid-configuration"), issuer, &keys);
    let guard = provider.guard("Auth0");
    let users = json!({
        "iss": issuer, "sub": "auth0|6553da60a54af58e29493993",
        "aud": ["https://orders.example.com", "https://shop.eu.auth0.com/userinfo"],
        "azp": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja", "scope": "openid profile read:orders",
        "permissions": ["read:orders"],
    });
    let machines = json!({
        "iss": issuer, "sub": "awZfdIir8YFdGZWkvCejDoUb7SjTDicx@clients", "aud": "https://orders.example.com",
        "azp": "awZfdIir8YFdGZWkvCejDoUb7SjTDicx", "gty": "client-credentials", "permissions": ["read:orders"],
    });
    for claims in [&users, &machines] {
        let token = provider.token(claims);
        let (status_of_good, known) = get(&guard, "/orders/7", &token).await;
        assert_eq!(status_of_good, 200);
        assert_eq!(known.unwrap().client_id(), claims["azp"].as_str());
        let less = token.clone().claim("permissions", json!(["read:invoices"]));
        assert_eq!(status(&guard, "/orders/7", &less).await, 403);
        // An ID token is for the client.
        let id = token.audience("K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja");
        assert_eq!(status(&guard, "/orders/7", &id).await, 401);
    }
    // The other profile of access tokens, without `profile` in the configuration.
    let text = recipe("Auth0").replace("profile = \"jwt\"\n", "");
    let guard = provider.guard_of(&text);
    let rfc9068 = provider.token(&users).without("azp").typ("at+jwt").client_id("K1AU").claim("jti", "73Wa");
    assert_eq!(status(&guard, "/orders/7", &rfc9068).await, 200);
    assert_eq!(status(&guard, "/orders/7", &provider.token(&users)).await, 401);
}

#[tokio::test(start_paused = true)]
async fn okta() {
    let provider = Provider::new();
    let issuer = "https://shop.okta.com/oauth2/default";
    let keys = format!("{issuer}/v1/keys");
    provider.serve(&format!("{issuer}/.well-known/openid-configuration"), issuer, &keys);
    let guard = provider.guard("Okta");
    let claims = json!({
        "ver": 1, "jti": "AT.MNAoEQ_jbKqoinrQo1D0XKjMX28U5d7ZszBceot7-Ts", "iss": issuer, "aud": "api://default",
        "cid": "0oa1orders2web3app4", "uid": "00u1a2b3c4d5e6f7g8h9", "scp": ["openid", "orders:read"],
        "auth_time": 1_688_145_909, "sub": "ada@example.com", "groups": ["Everyone", "editors"],
    });
    let token = provider.token(&claims).without_header("typ");
    let (status_of_good, known) = get(&guard, "/orders/7", &token).await;
    assert_eq!(status_of_good, 200);
    assert!(known.is_some_and(|known| known.has_role("editors") && known.has_scope("orders:read")));
    assert_eq!(status(&guard, "/orders/7", &token.clone().claim("cid", "0oa5nightly6job7app8")).await, 200);
    assert_eq!(status(&guard, "/orders/7", &token.clone().claim("scp", json!(["openid"]))).await, 403);
    let others = [
        token.clone().claim("cid", "0oa9another0app"),
        token.clone().without("cid"),
        token.clone().audience("https://shop.okta.com"),
        token.issuer("https://shop.okta.com"),
    ];
    for other in others {
        assert_eq!(status(&guard, "/orders/7", &other).await, 401);
    }
}

#[tokio::test(start_paused = true)]
async fn zitadel() {
    let provider = Provider::new();
    let issuer = "https://shop-k4x2ab.zitadel.cloud";
    let keys = format!("{issuer}/oauth/v2/keys");
    provider.serve(&format!("{issuer}/.well-known/openid-configuration"), issuer, &keys);
    let guard = provider.guard("ZITADEL");
    let roles = "urn:zitadel:iam:org:project:roles";
    let claims = json!({
        "iss": issuer, "sub": "170012345678901234", "aud": ["268998765432109876@shop", "268912345678901234"],
        "jti": "V2_26-at_27", "azp": "268998765432109876@shop",
        roles: {"orders-editor": {"167890123456789012": "shop.example.com"}},
    });
    let token = provider.token(&claims);
    assert_eq!(status(&guard, "/orders/7", &token).await, 200);
    for granted in [
        json!({"orders-reader": {"167890123456789012": "shop.example.com"}}),
        json!({"orders-editor": {"999999999999999999": "shop.example.com"}}),
        json!({}),
    ] {
        assert_eq!(status(&guard, "/orders/7", &token.clone().claim(roles, granted)).await, 403);
    }
    let elsewhere = token.clone().audience("268998765432109876@shop");
    assert_eq!(status(&guard, "/orders/7", &elsewhere).await, 401, "for the client alone");
}

#[tokio::test(start_paused = true)]
async fn opaque_tokens() {
    let provider = Provider::new();
    let issuer = "https://auth.example.com";
    let endpoint = format!("{issuer}/introspect");
    let metadata =
        json!({"issuer": issuer, "jwks_uri": format!("{issuer}/jwks"), "introspection_endpoint": endpoint});
    provider.site.json(&format!("{issuer}/.well-known/openid-configuration"), &metadata);
    let secret =
        std::env::temp_dir().join(format!("oauth-guard-{}-introspection.secret", std::process::id()));
    std::fs::write(&secret, "s3cr3t\n").unwrap();
    let text = recipe("Opaque tokens").replace("introspection.secret", secret.to_str().unwrap());
    let guard = provider.guard_of(&text);
    for (response, expected, questions) in [
        (json!({"active": true, "aud": "orders-api", "scope": "orders:read", "sub": "ada"}), 200, 1),
        (json!({"active": true, "aud": "orders-api", "scope": "orders", "sub": "ada"}), 403, 1),
        // What names another API is not remembered.
        (json!({"active": true, "scope": "orders:read", "sub": "ada"}), 401, 2),
        (json!({"active": false}), 401, 1),
    ] {
        provider.site.json(&endpoint, &response);
        let before = provider.site.header(&endpoint, "authorization").len();
        let token = format!("opaque-{before}");
        for _ in 0..2 {
            assert_eq!(get_with(&guard, "/orders/7", &token).await.0, expected, "{response}");
        }
        let sent = provider.site.header(&endpoint, "authorization");
        assert_eq!(sent.len() - before, questions, "{response}");
        // orders-api:s3cr3t
        assert!(sent.iter().all(|sent| sent.as_deref() == Some("Basic b3JkZXJzLWFwaTpzM2NyM3Q=")));
    }
    std::fs::remove_file(secret).unwrap();
}

#[test]
fn every_recipe_is_a_configuration_and_has_a_test() {
    let tests = include_str!("recipes.rs");
    let titles: Vec<_> =
        include_str!("../../RECIPES.md").lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert!(titles.len() >= 11, "{titles:?}");
    for title in titles {
        // The files are those of the reader's machine.
        let problems = GuardConfig::from_toml(recipe(title)).err();
        let problems = problems.iter().flat_map(|error| error.problems());
        let own: Vec<_> = problems.filter(|problem| !problem.message.contains("cannot be read")).collect();
        assert!(own.is_empty(), "{title}: {own:?}");
        let named = [format!("guard(\"{title}\")"), format!("recipe(\"{title}\")")];
        assert!(named.iter().any(|use_of| tests.contains(use_of)), "no test uses the recipe {title}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_entra_has_for_all_tenants_is_warned_about() {
    let lines = Log::listen();
    let warned = |issuer: &str| {
        let builder = Guard::builder().http(Site::default().http()).clock(TestClock::new());
        let keys =
            Issuer::new(issuer).jwks_uri("https://login.microsoftonline.com/common/discovery/v2.0/keys");
        builder.issuer(keys.audience(API)).build().unwrap();
        lines.take().contains("{tenantid}")
    };
    for shared in [
        "https://login.microsoftonline.com/common/v2.0",
        "https://login.microsoftonline.com/organizations/v2.0",
        "https://login.microsoftonline.us/organizations/v2.0/",
        "https://login.microsoftonline.com/consumers/v2.0",
        "https://sts.windows.net/common/",
    ] {
        assert!(warned(shared), "{shared}");
    }
    for real in [
        &format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
        "https://login.microsoftonline.com/{tenantid}/v2.0",
        "https://sso.example.com/realms/common",
        "https://auth.example.com/common",
    ] {
        assert!(!warned(real), "{real}");
    }
}

#[tokio::test(start_paused = true)]
async fn cognito() {
    let provider = Provider::new();
    let issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab12Cd34E";
    let keys = format!("{issuer}/.well-known/jwks.json");
    provider.serve(&format!("{issuer}/.well-known/openid-configuration"), issuer, &keys);
    let guard = provider.guard("Amazon Cognito");
    let access = json!({
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "cognito:groups": ["admins"], "iss": issuer, "version": 2,
        "client_id": "1example23456789", "origin_jti": "aaaaaaaa", "token_use": "access", "scope": "orders/read openid",
        "auth_time": 1_676_312_777, "jti": "bbbbbbbb", "username": "my-test-user",
    });
    let (status_of_good, claims) = get(&guard, "/", &provider.token(&access)).await;
    assert_eq!(status_of_good, 200);
    assert!(claims.is_some_and(|claims| claims.has_role("admins") && claims.has_scope("orders/read")));
    let id = json!({
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "iss": issuer, "aud": "1example23456789", "token_use": "id",
        "cognito:username": "my-test-user",
    });
    let others = [
        provider.token(&id),
        provider.token(&access).claim("token_use", "id"),
        provider.token(&access).client_id("2example"),
    ];
    for other in others {
        assert_eq!(status(&guard, "/", &other).await, 401);
    }
}

#[tokio::test(start_paused = true)]
async fn google() {
    let provider = Provider::new();
    let issuer = "https://accounts.google.com";
    let keys = "https://www.googleapis.com/oauth2/v3/certs";
    provider.serve(&format!("{issuer}/.well-known/openid-configuration"), issuer, keys);
    let guard = provider.guard("Google");
    for iss in [issuer, "accounts.google.com"] {
        let claims = json!({
            "aud": "https://orders.example.com", "azp": "112010400000000710080", "iss": iss, "sub": "112010400000000710080",
            "email": "nightly@orders-project.iam.gserviceaccount.com", "email_verified": true,
        });
        assert_eq!(status(&guard, "/orders", &provider.token(&claims)).await, 200, "{iss}");
        let other = provider.token(&claims).claim("email", "nightly@evil.iam.gserviceaccount.com");
        assert_eq!(status(&guard, "/orders", &other).await, 403, "{iss}");
        let unverified = provider.token(&claims).claim("email_verified", false);
        assert_eq!(status(&guard, "/orders", &unverified).await, 401, "{iss}");
        let elsewhere = provider.token(&claims).audience("https://other.example.com");
        assert_eq!(status(&guard, "/orders", &elsewhere).await, 401, "{iss}");
    }
}

#[tokio::test(start_paused = true)]
async fn github_actions() {
    let provider = Provider::new();
    let issuer = "https://token.actions.githubusercontent.com";
    let keys = format!("{issuer}/.well-known/jwks");
    provider.serve(&format!("{issuer}/.well-known/openid-configuration"), issuer, &keys);
    let guard = provider.guard("GitHub Actions");
    let claims = json!({
        "jti": "example-id", "sub": "repo:octo-org/octo-repo:environment:production", "environment": "production",
        "aud": "orders-api", "ref": "refs/heads/main", "sha": "example-sha", "repository": "octo-org/octo-repo",
        "repository_owner": "octo-org", "actor_id": "12", "repository_visibility": "private", "repository_id": "74",
        "repository_owner_id": "65", "run_id": "example-run-id", "runner_environment": "github-hosted",
        "event_name": "workflow_dispatch", "ref_type": "branch", "iss": issuer,
    });
    assert_eq!(status(&guard, "/deploy", &provider.token(&claims)).await, 200);
    let fork = provider.token(&claims).claim("repository_id", "75").claim("repository_owner_id", "66");
    assert_eq!(status(&guard, "/deploy", &fork).await, 401);
    let branch = provider.token(&claims).claim("ref", "refs/heads/try");
    assert_eq!(status(&guard, "/deploy", &branch).await, 403);
    assert_eq!(status(&guard, "/orders", &branch).await, 200, "the rule is for /deploy");
    let foreign = provider.token(&claims).signed_with(&TestKey::generate(Alg::Rs256));
    assert_eq!(status(&guard, "/deploy", &foreign).await, 401);
}

#[tokio::test]
async fn kubernetes() {
    let cluster = MockServer::builder().algorithms([Alg::Rs256]).tls().start().await;
    let directory = std::env::temp_dir().join(format!("oauth-guard-{}-serviceaccount", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("ca.crt"), cluster.ca_pem()).unwrap();
    std::fs::write(directory.join("token"), "pod-token-1\n").unwrap();
    let text = recipe("Kubernetes service account tokens")
        .replace("/var/run/secrets/kubernetes.io/serviceaccount", directory.to_str().unwrap())
        .replace("https://kubernetes.default.svc/openid/v1/jwks", &cluster.endpoint(Endpoint::Jwks));
    let guard = GuardConfig::from_toml(&text).unwrap().build().unwrap();
    let provider = Provider { server: cluster, site: Site::default() };
    let claims = json!({
        "aud": ["orders-api"], "iss": "https://kubernetes.default.svc.cluster.local",
        "kubernetes.io": {"namespace": "shop", "pod": {"name": "billing-6c"}, "serviceaccount": {"name": "billing"}},
        "sub": "system:serviceaccount:shop:billing",
    });
    let token = provider.token(&claims).without_header("typ");
    assert_eq!(status(&guard, "/orders", &token).await, 200);
    let other = token.clone().subject("system:serviceaccount:shop:frontend");
    assert_eq!(status(&guard, "/orders", &other).await, 403);
    let asked = provider.server.journal().requests();
    let sent = asked.iter().find(|request| request.endpoint == Endpoint::Jwks).unwrap();
    let expected = provider.server.journal().fingerprint("Bearer pod-token-1");
    assert_eq!(sent.header("authorization"), Some(&*expected));
    std::fs::remove_dir_all(&directory).unwrap();
}
