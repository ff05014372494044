//! Tokens that are bound to a certificate, and every place that the certificate comes from.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::Full;
use oauth_guard::{CertificateSource, Certificates, Dpop, PeerAddr, Rule, TlsPeer};
use serde_json::json;

use super::super::support::Fixture;
use super::{Answer, Bound, ask, reason, request};

const PROXY: &str = "10.0.0.1:4000";
const STRANGER: &str = "203.0.113.9:4000";

/// Something with the outer form of a certificate, of another length for each number.
fn der(number: u8) -> Vec<u8> {
    let body = vec![number; 300 + usize::from(number)];
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[0x30, 0x82, length[0], length[1]], &body[..]].concat()
}

fn sha256(der: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As nginx escapes it, and Envoy.
fn escaped_pem(der: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    pem.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

struct Api {
    fixture: Fixture,
    token: String,
}

impl Api {
    fn new() -> Self {
        let fixture = Fixture::new();
        let print = BASE64_URL_SAFE_NO_PAD.encode(sha256(&der(1)));
        let token = fixture.server.mint().subject("ada").claim("cnf", json!({"x5t#S256": print})).build();
        Self { fixture, token }
    }

    fn builder(&self, certificates: Certificates) -> oauth_guard::GuardBuilder {
        self.fixture
            .builder()
            .issuer(self.fixture.issuer())
            .certificates(certificates)
            .trusted_proxies(["10.0.0.0/8"])
    }

    fn request(&self, peer: &str, headers: &[(&'static str, String)]) -> Request<Full<Bytes>> {
        let mut sent = request("Bearer", &self.token, &[]);
        sent.extensions_mut().insert(PeerAddr(peer.parse().unwrap()));
        for (name, value) in headers {
            sent.headers_mut().append(*name, HeaderValue::try_from(value).unwrap());
        }
        sent
    }
}

fn accepted(answer: &Answer) -> bool {
    // No header that speaks of certificates reaches the service.
    (answer.status, &*answer.body) == (200, "ada: authorization")
}

#[tokio::test(start_paused = true)]
async fn the_connection_shows_the_certificate() {
    let api = Api::new();
    let guard = api.builder(Certificates::from(CertificateSource::Connection)).build().unwrap();
    let header = ("client-cert", format!(":{}:", BASE64_STANDARD.encode(der(1))));
    for (name, peer, expected) in [
        ("its own", Some(TlsPeer::with_certificate(der(1))), "accepted"),
        ("another", Some(TlsPeer::with_certificate(der(2))), "certificate_mismatch"),
        ("none", Some(TlsPeer::without_certificate()), "certificate_mismatch"),
        ("no extension", None, "certificate_mismatch"),
    ] {
        for headers in [&[][..], std::slice::from_ref(&header)] {
            let mut sent = api.request(PROXY, headers);
            sent.extensions_mut().extend(peer.map_or_else(http::Extensions::new, |peer| {
                let mut extensions = http::Extensions::new();
                extensions.insert(peer);
                extensions
            }));
            assert_eq!(reason(&guard, &sent).await, expected, "{name}");
            let answer = ask(&guard.layer(), sent).await;
            match expected {
                "accepted" => assert!(accepted(&answer), "{answer:?}"),
                _ => assert_eq!(answer.summary(), (401, "Bearer invalid_token".to_owned()), "{name}"),
            }
        }
    }
    // It is a bearer token all the same (RFC 8705 section 3), not one for DPoP.
    let mut sent = api.request(PROXY, &[]);
    sent.headers_mut().insert("authorization", format!("DPoP {}", api.token).parse().unwrap());
    assert_eq!(ask(&guard.layer(), sent).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn each_header_has_its_form() {
    let api = Api::new();
    let (own, other) = (der(1), der(2));
    let (hash, others) = (hex(&sha256(&own)), hex(&sha256(&other)));
    let b64 = |der: &[u8]| BASE64_STANDARD.encode(der);
    let cut = &own[..own.len() - 1];
    let one = |value: String| vec![value];
    let cases: Vec<(CertificateSource, &str, Vec<String>, &str)> = vec![
        (CertificateSource::ClientCert, "its own", one(format!(":{}:", b64(&own))), "accepted"),
        (
            CertificateSource::ClientCert,
            "without padding",
            one(format!(":{}:", b64(&own).trim_end_matches('='))),
            "accepted",
        ),
        (CertificateSource::ClientCert, "another", one(format!(":{}:", b64(&other))), "certificate_mismatch"),
        (CertificateSource::ClientCert, "none", vec![], "certificate_mismatch"),
        (CertificateSource::ClientCert, "no colons", one(b64(&own)), "invalid_request"),
        (CertificateSource::ClientCert, "empty", one(String::new()), "certificate_mismatch"),
        (CertificateSource::ClientCert, "no bytes", one("::".into()), "invalid_request"),
        (CertificateSource::ClientCert, "not base64", one(":*:".into()), "invalid_request"),
        (CertificateSource::ClientCert, "cut", one(format!(":{}:", b64(cut))), "invalid_request"),
        (
            CertificateSource::ClientCert,
            "and more",
            one(format!(":{}:", b64(&[&own[..], &[0]].concat()))),
            "invalid_request",
        ),
        (
            CertificateSource::ClientCert,
            "two",
            vec![format!(":{}:", b64(&own)), format!(":{}:", b64(&own))],
            "invalid_request",
        ),
        (CertificateSource::ClientCert, "a list", one(format!(":{0}:, :{0}:", b64(&own))), "invalid_request"),
        (CertificateSource::Xfcc, "Hash", one(format!("Hash={hash}")), "accepted"),
        (
            CertificateSource::Xfcc,
            "Hash in capitals",
            one(format!(
                "By=spiffe://a/b;Hash={};Subject=\"CN=a, O=\\\"b;c\\\"\";URI=spiffe://x",
                hash.to_uppercase()
            )),
            "accepted",
        ),
        (CertificateSource::Xfcc, "Hash in quotes", one(format!("Hash=\"{hash}\"")), "accepted"),
        (CertificateSource::Xfcc, "Cert", one(format!("Cert=\"{}\"", escaped_pem(&own))), "accepted"),
        (
            CertificateSource::Xfcc,
            "both",
            one(format!("Hash={hash};Cert=\"{}\";Subject=\"\"", escaped_pem(&own))),
            "accepted",
        ),
        (
            CertificateSource::Xfcc,
            "both, and they disagree",
            one(format!("Hash={hash};Cert=\"{}\"", escaped_pem(&other))),
            "invalid_request",
        ),
        (
            CertificateSource::Xfcc,
            "the last of two elements",
            one(format!("Hash={others};By=a,Hash={hash};By=b")),
            "accepted",
        ),
        (
            CertificateSource::Xfcc,
            "the first of two elements",
            one(format!("Hash={hash},Hash={others}")),
            "certificate_mismatch",
        ),
        (
            CertificateSource::Xfcc,
            "a comma in quotes",
            one(format!("Subject=\"a,Hash={hash}\";Hash={others}")),
            "certificate_mismatch",
        ),
        // What a caller sends in front of the element of a proxy that adds its own.
        (
            CertificateSource::Xfcc,
            "a quote in a name, left open around the proxy's element",
            one(format!("Hash={hash};\",Hash={others}")),
            "invalid_request",
        ),
        (
            CertificateSource::Xfcc,
            "a quote in a value, left open around the proxy's element",
            one(format!("Hash={hash};By=\",Hash={others};Subject=\"CN=a\"")),
            "invalid_request",
        ),
        (CertificateSource::Xfcc, "neither", one("By=spiffe://a".into()), "invalid_request"),
        (CertificateSource::Xfcc, "Hash twice", one(format!("Hash={hash};Hash={hash}")), "invalid_request"),
        (CertificateSource::Xfcc, "a short Hash", one(format!("Hash={}", &hash[..40])), "invalid_request"),
        (
            CertificateSource::Xfcc,
            "an open quote",
            one(format!("Hash={hash};Subject=\"a")),
            "invalid_request",
        ),
        (CertificateSource::Xfcc, "no pairs", one(hash.clone()), "invalid_request"),
        (CertificateSource::Xfcc, "empty", one(String::new()), "certificate_mismatch"),
        (CertificateSource::Xfcc, "none", vec![], "certificate_mismatch"),
        (
            CertificateSource::Xfcc,
            "two headers",
            vec![format!("Hash={others}"), format!("Hash={hash}")],
            "invalid_request",
        ),
        (CertificateSource::Nginx, "its own", one(escaped_pem(&own)), "accepted"),
        (CertificateSource::Nginx, "another", one(escaped_pem(&other)), "certificate_mismatch"),
        (CertificateSource::Nginx, "none", vec![], "certificate_mismatch"),
        (CertificateSource::Nginx, "empty", one(String::new()), "certificate_mismatch"),
        (
            CertificateSource::Nginx,
            "not escaped",
            one("-----BEGIN CERTIFICATE-----".into()),
            "invalid_request",
        ),
        (
            CertificateSource::Nginx,
            "half an escape",
            one(format!("{}%4", escaped_pem(&own))),
            "invalid_request",
        ),
        (
            CertificateSource::Nginx,
            "two in one",
            one(format!("{0}{0}", escaped_pem(&own))),
            "invalid_request",
        ),
        (
            CertificateSource::Nginx,
            "a key",
            one(escaped_pem(&own).replace("CERTIFICATE", "PRIVATE%20KEY")),
            "invalid_request",
        ),
        (CertificateSource::Nginx, "cut", one(escaped_pem(cut)), "invalid_request"),
        (
            CertificateSource::Nginx,
            "two headers",
            vec![escaped_pem(&own), escaped_pem(&own)],
            "invalid_request",
        ),
    ];
    for (source, name, values, expected) in cases {
        let guard = api.builder(Certificates::from(source)).build().unwrap();
        let header = match source {
            CertificateSource::ClientCert => "client-cert",
            CertificateSource::Xfcc => "x-forwarded-client-cert",
            _ => "ssl-client-cert",
        };
        let headers: Vec<_> = values.iter().map(|value| (header, value.clone())).collect();
        let found = reason(&guard, &api.request(PROXY, &headers)).await;
        println!("{:<12} {name:<28} {found}", format!("{source:?}"));
        assert_eq!(found, expected, "{source:?}: {name}");
        let answer = ask(&guard.layer(), api.request(PROXY, &headers)).await;
        assert_eq!(accepted(&answer), expected == "accepted", "{source:?}: {name}: {answer:?}");
        // From anyone else it is an attempt to deceive.
        let answer = ask(&guard.layer(), api.request(STRANGER, &headers)).await;
        assert_eq!(answer.status, if values.is_empty() { 401 } else { 400 }, "{source:?}: {name}");
    }
}

#[tokio::test(start_paused = true)]
async fn headers_about_certificates_reach_no_service() {
    let api = Api::new();
    let plain = api.fixture.server.mint().subject("ada").build();
    let all = || {
        ["client-cert", "client-cert-chain", "x-forwarded-client-cert", "ssl-client-cert"]
            .map(|name| (name, "nonsense".to_owned()))
    };
    let guard = api
        .builder(Certificates::from(CertificateSource::Connection))
        .rule(Rule::new("/public").public())
        .build()
        .unwrap();
    let mut sent = api.request(STRANGER, &all());
    sent.headers_mut().insert("authorization", format!("Bearer {plain}").parse().unwrap());
    let answer = ask(&guard.layer(), sent).await;
    assert_eq!(answer.body, "ada: authorization", "from anyone, with any token");
    let mut sent = api.request(STRANGER, &all());
    sent.headers_mut().remove("authorization");
    assert_eq!(ask(&guard.layer().optional(), sent).await.body, "no claims: ");
    let mut sent = api.request(STRANGER, &all());
    *sent.uri_mut() = "/public".parse().unwrap();
    assert_eq!(ask(&guard.layer(), sent).await.body, "no claims: authorization");
    // The configured one is 400 on every route.
    let guard = api
        .builder(Certificates::from(CertificateSource::Xfcc))
        .rule(Rule::new("/public").public())
        .build()
        .unwrap();
    for path in ["/public", "/orders"] {
        let mut sent = api.request(STRANGER, &[("x-forwarded-client-cert", "Hash=a".to_owned())]);
        *sent.uri_mut() = path.parse().unwrap();
        assert_eq!(ask(&guard.layer().optional(), sent).await.status, 400, "{path}");
        let mut sent = api.request(STRANGER, &[("client-cert", "nonsense".to_owned())]);
        *sent.uri_mut() = path.parse().unwrap();
        sent.headers_mut().insert("authorization", format!("Bearer {plain}").parse().unwrap());
        assert_eq!(ask(&guard.layer(), sent).await.status, 200, "{path}");
    }
    // Without certificates in the configuration the guard does not touch them.
    let guard = api.fixture.guard();
    let mut sent = api.request(STRANGER, &all());
    sent.headers_mut().insert("authorization", format!("Bearer {plain}").parse().unwrap());
    assert!(ask(&guard.layer(), sent).await.body.contains("ssl-client-cert"));
}

#[tokio::test(start_paused = true)]
async fn a_certificate_may_be_required() {
    let api = Api::new();
    let plain = api.fixture.server.mint().build();
    let guard = api.builder(Certificates::from(CertificateSource::Connection).required()).build().unwrap();
    let mut sent = api.request(PROXY, &[]);
    sent.headers_mut().insert("authorization", format!("Bearer {plain}").parse().unwrap());
    sent.extensions_mut().insert(TlsPeer::with_certificate(der(1)));
    assert_eq!(ask(&guard.layer(), sent).await.summary(), (401, "Bearer invalid_token".to_owned()));
}

/// Both bindings on one token: both hold.
#[tokio::test(start_paused = true)]
async fn a_token_bound_to_both_needs_both() {
    let bound = Bound::new();
    let print = BASE64_URL_SAFE_NO_PAD.encode(sha256(&der(1)));
    let cnf = json!({"jkt": bound.key.thumbprint(), "x5t#S256": print});
    let token = bound.fixture.server.mint().claim("cnf", cnf).build();
    let guard = bound
        .builder()
        .dpop(Dpop::new())
        .certificates(Certificates::from(CertificateSource::Connection))
        .build()
        .unwrap();
    for (certificate, proof, expected) in [
        (Some(1), true, "accepted"),
        (Some(2), true, "certificate_mismatch"),
        (None, true, "certificate_mismatch"),
        (Some(1), false, "proof_missing"),
        (None, false, "certificate_mismatch"),
    ] {
        let made = bound.proof_for(&token).build();
        let proofs = if proof { vec![&*made] } else { vec![] };
        let mut sent = request("DPoP", &token, &proofs);
        if let Some(number) = certificate {
            sent.extensions_mut().insert(TlsPeer::with_certificate(der(number)));
        }
        assert_eq!(reason(&guard, &sent).await, expected, "{certificate:?} {proof}");
    }
    // As a bearer token it is good for nothing.
    let mut sent = request("Bearer", &token, &[]);
    sent.extensions_mut().insert(TlsPeer::with_certificate(der(1)));
    assert_eq!(reason(&guard, &sent).await, "scheme_mismatch");
}

/// A token that is bound to a DPoP key would be refused in the same way.
#[tokio::test(start_paused = true)]
async fn a_token_without_a_certificate_is_asked_for_no_proof() {
    let bound = Bound::new();
    let plain = bound.fixture.server.mint().build();
    let certificates = || Certificates::from(CertificateSource::Connection).required();
    let guard = bound.builder().dpop(Dpop::new()).certificates(certificates()).build().unwrap();
    for _ in 0..2 {
        for (sent, scheme) in [
            (request("Bearer", &plain, &[]), "Bearer"),
            (request("DPoP", &bound.token, &[&bound.proof().build()]), "DPoP"),
        ] {
            assert_eq!(reason(&guard, &sent).await, "token_not_bound_to_certificate");
            let answer = ask(&guard.layer(), sent).await;
            assert_eq!(answer.summary(), (401, format!("{scheme} invalid_token")));
            let [challenge] = answer.challenges()[..] else { unreachable!("{answer:?}") };
            assert!(challenge.contains("has to be bound to a client certificate"), "{challenge}");
        }
    }
    // Where the proof is missing as well, it comes first.
    let both = bound.builder().dpop(Dpop::new().required()).certificates(certificates()).build().unwrap();
    let answer = ask(&both.layer(), request("Bearer", &plain, &[])).await;
    assert_eq!(answer.summary(), (401, "DPoP invalid_token".to_owned()));
    assert_eq!(reason(&both, &request("Bearer", &plain, &[])).await, "token_not_bound");
}
