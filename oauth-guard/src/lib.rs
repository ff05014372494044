//! Validates OAuth 2.0 bearer tokens in front of any tower service, and hands their claims to your handlers.
//!
//! [`GuardLayer`] wraps a tower service over HTTP: hyper, axum, tonic. It rejects requests without a valid token, and
//! inserts [`Claims`] into the extensions of all others.
//!
//! ```
//! use http::{Request, Response, StatusCode, header};
//! use http_body_util::Full;
//! use oauth_guard::{Algorithm, Claims, Guard, Issuer, Profile};
//! use tower::{Layer, ServiceExt, service_fn};
//! # use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
//! # use bytes::Bytes;
//! # fn token() -> String {
//! #     let signed = format!("{}.{}", B64.encode(r#"{"alg":"HS256"}"#),
//! #         B64.encode(r#"{"iss":"https://auth.example.com","aud":"orders-api","sub":"ada","exp":9000000000}"#));
//! #     let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[7; 32]);
//! #     format!("{signed}.{}", B64.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes())))
//! # }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let secret = [7; 32];
//! let issuer = Issuer::new("https://auth.example.com").audience("orders-api");
//! # let issuer = issuer.profile(Profile::Jwt).hmac_secret(Algorithm::Hs256, secret);
//! let guard = Guard::builder().issuer(issuer).build()?;
//! let service = guard.layer().layer(service_fn(|request: Request<Full<Bytes>>| async move {
//!     let name = request.extensions().get::<Claims>().and_then(|claims| claims.subject()).unwrap_or("stranger");
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(format!("hello {name}")))))
//! }));
//!
//! let request = Request::get("/").header(header::AUTHORIZATION, format!("Bearer {}", token()));
//! let accepted = service.clone().oneshot(request.body(Full::default())?).await?;
//! assert_eq!(accepted.status(), StatusCode::OK);
//!
//! let rejected = service.oneshot(Request::get("/").body(Full::default())?).await?;
//! assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);
//! assert_eq!(rejected.headers()[header::WWW_AUTHENTICATE], r#"Bearer realm="api""#);
//! # Ok(()) }
//! ```
//!
//! # The path of one request
//!
//! | step | module | what happens |
//! |---|---|---|
//! | | `tower` | the middleware loads the snapshot in force once per request |
//! | 1 | `bearer` | find the token: `Authorization`, or a configured header, cookie or query parameter |
//! | 2 | `cache` | a token seen before: check its lifetime, key and issuer again, and skip to step 5 |
//! | 3 | `keys` | the issuer's keys: static, or fetched and refreshed in the background |
//! | 4 | `validate` | form, claims, signature |
//! | | `possession` | the caller proves that a bound token is its own: DPoP, certificates, used proofs in `replay` |
//! | | [`revocation`] | the last check of a valid token, cached or not: was it revoked? |
//! | 5 | `authorize` | the rule of the route and the requirement of the layer |
//! | 6 | `reject` | 400, 401, 403 or 503 with its challenge, or the gRPC status |
//!
//! `snapshot` puts the steps together.
//!
//! # Topics
//!
//! | you want to | read |
//! |---|---|
//! | say which route needs what | [rules](#rules), [`Rule`], [`Requirement`]; [scopes in a handler](#scopes-of-a-handler) |
//! | keep rules and settings in a file, or in the environment | [configuration](#configuration), every key in [`config`], every number in [`defaults`] |
//! | change the configuration while the service runs | [reload](#reload) |
//! | know whether the service can take requests, and start fast | [health](#health) |
//! | know why a token is rejected | [tokens rejected?](#tokens-rejected), and [what callers read](#rejections) |
//! | serve many issuers | [tenants](#tenants) |
//! | accept opaque tokens | [introspection](#introspection), [`Introspection`] |
//! | serve gRPC | [gRPC](#grpc), [`Rule::grpc`] |
//! | describe the API's security in OpenAPI | [`Guard::describe_security`] |
//! | test handlers and rules without a server | [testing](#testing) |
//! | monitor it | [metrics](#metrics) |
//! | end tokens before their time | [revocation](#revocation), logouts and security events in [`mod@revocation`] |
//! | make stolen tokens useless | [proof of possession](#proof-of-possession): DPoP, client certificates |
//! | call other APIs for the caller | [on behalf of the caller](#on-behalf-of-the-caller) |
//! | protect an MCP server | [MCP servers](#mcp-servers) |
//! | accept a provider's tokens | the recipes in [`config`] |
//! | move here from another crate | `migrating` |
//! | know what it does not do | [limits](#limits) |
//!
//! ## Rules
//!
//! [`Rule`] says what the requests of a route need, [`Requirement`] what a token must grant;
//! [`GuardLayer::require`] adds a requirement in code, [`GuardBuilder::dry_run`] tests rules in production, and
//! [`GuardBuilder::deny_by_default`] rejects routes without a rule.
//!
//! ```
//! use oauth_guard::{Guard, Issuer, Requirement, Rule};
//!
//! let guard = Guard::builder()
//!     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
//!     .rule(Rule::new("/orders/{*rest}").require(Requirement::scope("orders:read")))
//!     .rule(Rule::new("/health").public())
//!     .build()?;
//! # Ok::<(), oauth_guard::BuildError>(())
//! ```
//!
//! ## Scopes of a handler
//!
//! A handler can declare itself which scopes it needs: it takes `Scoped` claims (feature `axum`). The challenge names the
//! scopes that are needed, as it does for a rule.
//!
#![cfg_attr(feature = "axum", doc = "```")]
#![cfg_attr(not(feature = "axum"), doc = "```ignore (needs the feature axum)")]
//! use oauth_guard::{Scoped, Scopes};
//!
//! struct WriteOrders;
//!
//! impl Scopes for WriteOrders {
//!     const SCOPES: &[&str] = &["orders:write"];
//! }
//!
//! async fn create(claims: Scoped<WriteOrders>) -> String {
//!     format!("created for {}", claims.subject().unwrap_or("a client"))
//! }
//! # let _: axum::Router = axum::Router::new().route("/orders", axum::routing::post(create));
//! ```
//!
//! ## Configuration
//!
//! [`config`] reads a guard from TOML, from the environment or through serde; [`defaults`] explains
//! every number.
//!
#![cfg_attr(feature = "toml", doc = "```")]
#![cfg_attr(not(feature = "toml"), doc = "```ignore (needs the feature toml)")]
//! let text = "[[issuer]]\nissuer = \"https://auth.example.com\"\naudience = [\"orders-api\"]\n";
//! let guard = oauth_guard::config::GuardConfig::from_toml(text)?.build()?;
//! # Ok::<(), oauth_guard::BuildError>(())
//! ```
//!
//! ## Reload
//!
//! [`Guard::reload`] replaces the whole configuration without a restart. What code adds to a file is part of it, and is not
//! kept: a rule in code that a reload is not given again is gone, and its route is open to every valid token. So make both
//! with one function:
//!
#![cfg_attr(feature = "toml", doc = "```")]
#![cfg_attr(not(feature = "toml"), doc = "```ignore (needs the feature toml)")]
//! use oauth_guard::config::GuardConfig;
//! use oauth_guard::{BuildError, GuardBuilder, Requirement, Rule};
//!
//! /// The file, and what stands in code.
//! fn builder(file: &str) -> Result<GuardBuilder, BuildError> {
//!     let builder = GuardConfig::from_toml(file)?.into_builder();
//!     Ok(builder.deny_by_default().rule(Rule::new("/admin/{*rest}").require(Requirement::role("admin"))))
//! }
//!
//! # let [file, changed] = ["[[issuer]]\nissuer = \"https://auth.example.com\"\naudience = [\"orders-api\"]\n"; 2];
//! let guard = builder(file)?.build()?;
//! guard.reload(builder(changed)?)?;
//! # Ok::<(), BuildError>(())
//! ```
//!
//! ## Health
//!
//! [`Guard::health`] is for a probe, [`Guard::warm_up`] and [`Guard::preload_keys`] are for a fast start, and
//! [`Guard::explain`] is for the operator who wants to know why a token is rejected.
//!
//! ```
//! use oauth_guard::{Guard, Issuer};
//!
//! let guard = Guard::builder().issuer(Issuer::new("https://auth.example.com").audience("orders-api")).build()?;
//! assert!(!guard.health().ok); // no keys yet
//! assert_eq!(guard.explain("not-a-jwt").reason, Some("token_malformed"));
//! # Ok::<(), oauth_guard::BuildError>(())
//! ```
//!
//! ## Tokens rejected?
//!
//! The log says why: the first rejection of each reason within a minute is a warning on target
//! `oauth_guard`, with `code`, `reason` and what to `change`; the others are at debug level. The caller never learns the
//! reason. [`Guard::explain`] shows every check of one token:
//!
//! | `reason` | usual cause | what to change |
//! |---|---|---|
//! | `type_mismatch`; `claim_missing_or_malformed` of `sub`, `client_id`, `iat` or `jti` | the issuer's access tokens are plain JWTs | `profile = "jwt"` |
//! | `claim_missing_or_malformed` of `iss`, `aud` or `exp` | the token is no access token, or the issuer leaves `aud` out | what the issuer issues; `any_audience` with `clients` |
//! | `audience_mismatch` | the token is for another API, or `aud` has another name of this one | `audience` |
//! | `issuer_unknown` | `issuer` differs from `iss`, often in a slash at the end | `issuer` |
//! | `token_malformed` | the tokens are opaque | `[issuer.introspection]` |
//! | `key_unknown` | the token is from another environment | `issuer`, `jwks_uri` |
//! | `expired`, `not_yet_valid` | the clocks differ | `leeway_seconds` |
//! | `insufficient_scope` | scopes or roles are in another claim | `scope_claim`, `roles_claim` |
//! | `missing_token` | the client sends another scheme or none, or it is a CORS preflight | `[dpop]`, the client, `allow_preflight`: the warning says which |
//! | `revocations_unavailable` | a source of revocations is away, such as a `file` that is not there yet | the source, `on_outage` |
//! | `claims_do_not_fit` | a field of the type of [`GuardBuilder::claims`] | `misfit` of the warning, and `explain`, name it |
//!
//! ## Rejections
//!
//! [`Rejection`] has a stable [`code`](Rejection::code) for metrics; [`GuardBuilder::on_rejection`] sets
//! the body. Callers may read [`public_message`](Rejection::public_message); the rest is for the operator.
//!
//! ```
//! use oauth_guard::{Guard, Issuer, RejectionBody};
//!
//! let guard = Guard::builder()
//!     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
//!     .on_rejection(|rejection| RejectionBody::text(rejection.public_message()))
//!     .build()?;
//! # Ok::<(), oauth_guard::BuildError>(())
//! ```
//!
//! ## Tenants
//!
//! [`GuardBuilder::resolve_issuers`] finds issuers at run time, [`Guard::forget_issuer`] removes one.
//!
//! ```
//! use oauth_guard::{Guard, Issuer};
//!
//! let guard = Guard::builder()
//!     .resolve_issuers(|name: String| async move {
//!         let is_tenant = name.starts_with("https://auth.example.com/tenants/");
//!         Ok::<_, std::io::Error>(is_tenant.then(|| Issuer::new(name).audience("orders-api")))
//!     })
//!     .build()?;
//! assert!(!guard.forget_issuer("https://auth.example.com/tenants/acme")); // not resolved yet
//! # Ok::<(), oauth_guard::BuildError>(())
//! ```
//!
//! Issuers are found by the token alone. Where each tenant has a host or a path of its own, the API has to compare it
//! with the tenant of the token, in a handler or a layer behind the guard. Otherwise a token of one tenant is accepted
//! for all other tenants:
//!
//! ```
//! use oauth_guard::Claims;
//!
//! /// Given to the issuer with [`Issuer::data`](oauth_guard::Issuer::data).
//! struct Tenant {
//!     host: String,
//! }
//!
//! fn is_at_home<B>(request: &http::Request<B>, claims: &Claims) -> bool {
//!     // HTTP/2 has the host in the URI, and HTTP/1.1 in a header.
//!     let header = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
//!     let host = request.uri().authority().map(|authority| authority.as_str()).or(header);
//!     let tenant = claims.issuer_data::<Tenant>();
//!     tenant.zip(host).is_some_and(|(tenant, host)| host.eq_ignore_ascii_case(&tenant.host))
//! }
//! ```
//!
//! ## Introspection
//!
//! Only the authorization server can read an opaque token. [`Introspection`] asks it (RFC 7662): one question for each token,
//! however many callers. The response is cached, and an outage of the server is 503.
//!
//! ```
//! use oauth_guard::{ClientAuth, Guard, Introspection, Issuer};
//!
//! let introspection = Introspection::new(ClientAuth::basic("orders-api", "s3cr3t"));
//! let issuer = Issuer::new("https://auth.example.com").audience("orders-api").introspection(introspection);
//! let guard = Guard::builder().issuer(issuer).build()?;
//! # Ok::<(), oauth_guard::BuildError>(())
//! ```
//!
//! ## gRPC
//!
//! The same layer wraps a tonic server. A gRPC call is rejected in gRPC: HTTP status 200, and `grpc-status` 16 for a missing
//! or invalid token, 7 for one that does not grant enough, 14 for 503. [`Rule::grpc`] names services and methods. With
//! [`GuardBuilder::deny_by_default`] give health checks and reflection a rule, too.
//!
//! ```
//! use oauth_guard::{Guard, Issuer, Requirement, Rule};
//!
//! let guard = Guard::builder()
//!     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
//!     .rule(Rule::grpc("orders.Orders/Cancel").require(Requirement::scope("orders:write")))
//!     .rule(Rule::grpc("grpc.health.v1.Health").public())
//!     .build()?;
//! # Ok::<(), oauth_guard::BuildError>(())
//! ```
//!
//! ## Testing
//!
//! [`clock::TestClock`] sets the time, [`HttpClient::from_service`] takes any tower service as the
//! transport, such as a mock authorization server in process, and [`Guard::check`] needs no server at all. With the feature
//! `testing`, `Claims::for_tests` makes the claims of a unit test, `Guard::for_tests` accepts tokens that a test makes, and
//! `testing::issuer` makes them for a guard of your own configuration.
//!
//! ```
//! use oauth_guard::clock::TestClock;
//! use oauth_guard::{Guard, HttpClient, Issuer};
//! use oauth_mock::MockServer;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // An authorization server in this process. Its clock and the guard's begin at the same time.
//! let server = MockServer::builder().audience("orders-api").in_process();
//! let guard = Guard::builder()
//!     .issuer(Issuer::new(server.issuer()).audience("orders-api"))
//!     .http(HttpClient::from_service(server.transport()))
//!     .clock(TestClock::new())
//!     .build()?;
//! let token = server.mint().subject("ada").build();
//! let request = http::Request::get("/orders").header("authorization", format!("Bearer {token}")).body(())?;
//! let claims = guard.check(&request).resolve().await?.ok_or("no token")?;
//! assert_eq!(claims.subject(), Some("ada"));
//!
//! let request = http::Request::get("/orders").body(())?;
//! assert!(guard.check(&request).resolve().await?.is_none()); // no token
//! assert_eq!(guard.authorize(&request, None).unwrap_err().code(), "missing_token");
//! # Ok(()) }
//! ```
//!
//! ## Metrics
//!
//! The feature `metrics` counts through the `metrics` facade. The names are stable:
//!
//! | metric | kind | labels | counts |
//! |---|---|---|---|
//! | `oauth_guard_requests_total` | counter | `result` (`accepted`, `rejected`), `code`, `reason` | requests through layers; `code` and `reason` as of [`Rejection`] |
//! | `oauth_guard_cache_lookups_total` | counter | `result` (`hit`, `miss`) | tokens looked for in the cache |
//! | `oauth_guard_key_fetches_total` | counter | `issuer`, `result` (`fetched`, `failed`), `code` | fetches of key sets, those of issuers resolved at run time as `resolved` |
//! | `oauth_guard_keys_fetched_timestamp_seconds` | gauge | `issuer` | when the keys in use were fetched, in Unix time: their age is the time since |
//! | `oauth_guard_introspections_total` | counter | `issuer`, `result` (`active`, `inactive`, `failed`) | questions about tokens (RFC 7662), those to issuers resolved at run time as `resolved`; tokens that are cached cause none |
//! | `oauth_guard_replay_checks_total` | counter | `result` (`first`, `replayed`, `failed`) | proofs of possession that were looked for in the replay store |
//! | `oauth_guard_revocations_total` | counter | `result` (`received`, `refused`) | logout tokens and security events that were pushed here |
//!
//! `examples/grafana/dashboard.json` in the repository shows them all, and the client's. Without the feature nothing is called.
//! With it, a request with a known token costs two counters more; what a counter costs is up to the recorder.
//!
//! ## Revocation
//!
//! [`Guard::revocations`] ends tokens before their time, and needs no settings; [`revocation`] takes logout tokens and security events,
//! and [`Guard::watch`] ends a long connection with its token.
//!
//! ```
//! use oauth_guard::revocation::RevocationSettings;
//! use oauth_guard::{Guard, Issuer};
//!
//! let guard = Guard::builder()
//!     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
//!     .revocation(RevocationSettings::new().backchannel_logout("/backchannel-logout").client_id("shop"))
//!     .build()?;
//! # Ok::<(), oauth_guard::BuildError>(())
//! ```
//!
//! ## Proof of possession
//!
//! Any party that holds a bearer token can use it. With [`GuardBuilder::dpop`] (RFC 9449) and
//! [`GuardBuilder::certificates`] (RFC 8705) a guard accepts tokens that are bound to a key, and checks with each
//! request that its sender has the key; without them such tokens are refused. [`Requirement::bound`] asks for them on
//! single routes, [`replay`] keeps the proofs that were used.
//!
//! ```
//! use oauth_guard::{Dpop, Guard, Issuer, Requirement, Rule};
//!
//! let guard = Guard::builder()
//!     .issuer(Issuer::new("https://auth.example.com").audience("orders-api"))
//!     .public_url("https://api.example.com") // what callers see, and proofs name
//!     .dpop(Dpop::new())
//!     .rule(Rule::new("/transfers").require(Requirement::bound()))
//!     .build()?;
//! # Ok::<(), oauth_guard::BuildError>(())
//! ```
//!
//! ## On behalf of the caller
//!
//! [`GuardLayer::with_subject_token`] hands the caller's token on to handlers, as a
//! [`SubjectToken`] for `oauth_client`'s exchanger; [`Claims::actor`] reads delegation chains, and
//! [`Requirement::actor`] requires a certain actor.
//!
//! ## MCP servers
//!
//! [`Rule::mcp`] gives each tool, prompt or resource its own requirement,
//! [`GuardBuilder::allowed_origins`] keeps foreign pages out, and [`GuardBuilder::implies`] lets scopes include others.
//!
//! ```
//! use oauth_guard::{Guard, Issuer, Requirement, Rule};
//!
//! let guard = Guard::builder()
//!     .issuer(Issuer::new("https://auth.example.com").audience("https://api.example.com/mcp"))
//!     .resource("https://api.example.com/mcp")
//!     .rule(Rule::new("/mcp").require(Requirement::scope("notes")))
//!     .rule(Rule::new("/mcp").mcp("tools/call").name("delete_*").require(Requirement::scope("notes:delete")))
//!     .allowed_origins(["https://app.example.com"])
//!     .build()?;
//! # Ok::<(), oauth_guard::BuildError>(())
//! ```
//!
//! # Limits
//!
//! - **A JWT is valid until it ends.** A user who has logged out at the issuer can still use it, unless [`revocation`]
//!   or [`Introspection`] is set up. Revocations in code last as long as the process; `tower-oauth-guard-redis`, a file
//!   or a feed make them last longer and reach other machines.
//! - **Clocks may differ by [60 seconds](defaults::LEEWAY).** For that long a token is still accepted after its end.
//! - **It checks access tokens.** There are no sessions, no logins and no cookies that it sets: that is the client's side,
//!   `tower-oauth-client`. ID tokens are not access tokens, and with the default profile (RFC 9068) they are rejected
//!   as such.
//! - **Encrypted tokens** (JWE), `ES512` and symmetric keys that come from a URL are not supported.
//! - **It does not limit rates**, and a flood of forged tokens costs a signature check each: put a limit in front of it.
//! - **Rules see method, path and claims**, the operations of [MCP servers](#mcp-servers) and of gRPC, and no other
//!   part of a body. Whether a caller may see a certain order is for the handler to decide.
//! - **Paths have to mean the same to the router.** Ambiguous ones are rejected; the guard does not know of a proxy or
//!   middleware that rewrites paths in between.
//! - **A tokio runtime with timers is needed** wherever something is fetched. On another executor the bodies that are read
//!   (for MCP rules, log-outs and security events) and a store of used proofs have no time limit.
//! - No one outside of the project has audited it yet.
//!
//! # What jsonwebtoken does here
//!
//! `jsonwebtoken` reads public keys in PEM form, and nothing else. Signatures are verified with `aws-lc-rs` by keys
//! that are parsed once, and header, claims and key sets are read and checked by code of this workspace, because the
//! rules of a resource server are stricter than what `jsonwebtoken::Validation` can express:
//!
//! - **Header**: a critical extension (`crit`), an unencoded or encrypted payload (`b64`, `enc`, `zip`) and the wrong kind
//!   of token (`typ`, `cty`) are accepted there.
//! - **Claims**: `iss` may be a list there, `aud` may be absent or a number unless it is made mandatory, a JSON array can
//!   stand in place of the claims object, and where a member such as `scope` occurs twice the last one counts.
//! - **Time**: a token is accepted there in the second of its `exp`, whose fraction may be rounded up; `nbf` is read only
//!   on request, `iat` never; and the clock cannot be replaced.
//! - **Keys**: `use`, `key_ops` and `alg` of a JWK are not compared there, symmetric keys of a fetched set become secrets,
//!   and weak keys pass: short secrets, Ed25519 points of small order.
//! - **Limits**: tokens of any size are decoded there, and error messages repeat the caller's text.
//!
//! Conversely, every token that a guard accepts is one that `jsonwebtoken` accepts with the same settings; a
//! randomized test compares the two.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `reqwest` | yes | the bundled HTTP client for key fetches; without it, pass an [`HttpClient`] |
//! | `axum` | no | extractors for axum handlers (`Claims`, `Scoped`), and a router for the RFC 9728 document |
//! | `toml` | no | configuration from TOML text and files |
//! | `testing` | no | for tests only: claims and tokens made up by a test, conformance suites for stores and feeds of your own |
//! | `metrics` | no | counters and a gauge through the `metrics` facade |

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// The handle, how it is built, and its configuration.
pub mod config;
pub mod defaults;
mod guard;
mod issuer;

// The tower middleware.
mod tower;

// The path of one request.

// What the guard reads of a request: head and body.
mod request;

// The configuration in force: puts the steps below together.
mod snapshot;

// The result: available at once, or after a fetch.
mod check;

// 1: find the token.
mod bearer;

// 2: seen before?
mod cache;

// 3: whose signature?
mod keys;

// 4: is it valid? Form and header, claims, signature.
mod jose;
mod validate;

// Or ask its server.
mod introspect;

// Revoked since?
pub mod revocation;

// And is the caller the one it was issued to?
mod possession;
// Which proofs of possession were used.
pub mod replay;

// What a valid token says, and how handlers get it.
mod claims;

// 5: is it enough? Rules by route, requirements.
mod authorize;

// 6: reject. Challenge, HTTP, gRPC, log.
mod reject;

// Beside the path.

// Issuers resolved at run time.
mod tenants;

// The checks of one token, reported to the operator.
mod explain;

// The RFC 9728 document, and what the rules mean for the operations of an OpenAPI document.
mod describe;

// Counters, for those who want them.
mod telemetry;

// Extractors and a router for axum.
#[cfg(feature = "axum")]
mod axum;

// Claims and tokens made up by a test.
#[cfg(feature = "testing")]
pub mod testing;

// What the suites for stores and feeds of one's own report.
#[cfg(any(test, feature = "testing"))]
mod conformance;

// From other crates to this one: before and after.
#[cfg(all(feature = "axum", feature = "reqwest"))]
#[doc = include_str!("../MIGRATING.md")]
pub mod migrating {}

// What all of them stand on.

// What can be wrong with a configuration, and with a token.
mod error;

// URLs of the configuration, without their passwords.
mod address;

// Text of others, for log lines.
mod escape;

// What threads share, as models of concurrency have it too, and what each has for itself.
mod sync;

#[cfg(feature = "axum")]
pub use self::axum::{Scoped, ScopedRejection, Scopes};
pub use oauth_client::ClientAuth;
pub use oauth_client::clock::{self, Clock};
pub use oauth_client::transport::HttpClient;

#[doc(inline)]
pub use self::authorize::{ClaimValue, Requirement, Rule};
pub use self::check::{Check, CheckFuture};
pub use self::claims::{Actor, Claims, SubjectToken, Untyped};
pub use self::describe::ResourceMetadata;
pub use self::error::{BuildError, InvalidToken, Problem};
pub use self::explain::{ExplainedCheck, ExplainedMember, Explanation, Outcome};
pub use self::guard::{CacheHealth, Guard, GuardBuilder, Health, IssuerHealth, TenantsHealth};
pub use self::introspect::{IntrospectedTokens, Introspection, IntrospectionHealth};
pub use self::issuer::{Issuer, Profile};
pub use self::jose::Algorithm;
pub use self::keys::{KeyExport, KeyPolicy};
pub use self::possession::{CertificateSource, Certificates, Dpop, PeerAddr, TlsPeer};
pub use self::reject::{InvalidProof, Rejection, RejectionBody, RequiredBinding};
pub use self::request::{RequestBody, RequestHead};
pub use self::tower::{GuardBody, GuardLayer, GuardService, ResponseFuture};
// Strict JSON is read all over the crate.
use self::jose::json;

/// The README's samples are compiled with the docs.
#[cfg(all(doctest, feature = "axum", feature = "reqwest"))]
#[doc = include_str!("../README.md")]
#[expect(dead_code, reason = "it is there for its docs")]
struct Readme;
