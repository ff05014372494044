//! Headers that speak of a caller: its certificate (XFCC, Client-Cert, nginx), and the URL it has called (Forwarded). The
//! last element counts, what a caller writes itself never does, and a certificate that is accepted stands in the header.

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use oauth_client::jose::sha256;
use oauth_guard::{CertificateSource, Certificates, Dpop, Guard, PeerAddr};
use serde_json::json;

use crate::fixture::{NOW, builder, check as ask, claims, issuer, token, within};
use crate::target::{Target, bounded};

pub const TARGET: Target = Target { check, seeds };

/// It has the outer form of a certificate, which is all that counts here.
const DER: [u8; 34] = {
    let mut der = [5; 34];
    der[0] = 0x30;
    der[1] = 32;
    der
};
const PROXY: ([u8; 4], u16) = ([10, 0, 0, 1], 4711);
const STRANGER: ([u8; 4], u16) = ([192, 0, 2, 1], 4711);
const HOST: &str = "api.example.com";

static THUMBPRINT: LazyLock<[u8; 32]> = LazyLock::new(|| sha256(&DER));

struct Form {
    guard: Guard,
    header: HeaderName,
    /// What a proxy appends to a list for another certificate.
    other: &'static str,
}

static FORMS: LazyLock<[Form; 3]> = LazyLock::new(|| {
    let guard = |source| {
        let builder = builder()
            .issuer(issuer())
            .certificates(Certificates::from(source))
            .trusted_proxies(["10.0.0.0/8"]);
        within(|| builder.build()).expect("a guard")
    };
    let form =
        |source, header, other| Form { guard: guard(source), header: HeaderName::from_static(header), other };
    [
        form(
            CertificateSource::Xfcc,
            "x-forwarded-client-cert",
            ",Hash=0000000000000000000000000000000000000000000000000000000000000000",
        ),
        form(CertificateSource::ClientCert, "client-cert", ", :MAA=:"),
        form(CertificateSource::Nginx, "ssl-client-cert", "%2C"),
    ]
});

static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let mut claims = claims();
    claims["cnf"] = json!({ "x5t#S256": URL_SAFE_NO_PAD.encode(*THUMBPRINT) });
    token(&claims)
});

/// The first byte chooses the header.
fn check(data: &[u8]) {
    match data.split_first() {
        Some((form @ 0..=2, value)) => certificate(&FORMS[usize::from(*form)], value),
        Some((_, headers)) => forwarded(headers),
        None => {}
    }
}

fn certificate(form: &Form, value: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(value) else { return };
    let accepts = |value: HeaderValue, peer: ([u8; 4], u16)| {
        let mut request = crate::fixture::bearer(&TOKEN);
        request.extensions_mut().insert(PeerAddr(peer.into()));
        let length = value.len();
        request.headers_mut().append(form.header.clone(), value);
        bounded(length + 4096, || ask(&form.guard, &request))
    };
    let refused = accepts(value.clone(), STRANGER).expect_err("a stranger's header counts for nothing");
    assert_eq!(refused.code(), "invalid_request");
    if accepts(value.clone(), PROXY).is_err() {
        return;
    }
    let text = value.to_str().expect("an accepted header is text");
    assert!(holds_certificate(text), "{text}");
    let more = HeaderValue::try_from(format!("{text}{}", form.other)).expect("text");
    assert!(accepts(more, PROXY).is_err(), "{text} and one more");
    if form.header == "x-forwarded-client-cert" {
        let earlier = HeaderValue::try_from(format!("{},{text}", &form.other[1..])).expect("text");
        assert!(accepts(earlier, PROXY).is_ok(), "{text} behind another");
    }
}

/// Whether the header has the certificate's hash, or the certificate itself, in some spelling.
fn holds_certificate(text: &str) -> bool {
    let plain = text.replace('\\', "");
    let hexadecimal: String = THUMBPRINT.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut resolved = Vec::new();
    let mut rest = plain.as_bytes();
    while let Some((byte, more)) = rest.split_first() {
        let digits = more.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *byte == b'%') {
            Some(byte) => {
                resolved.push(byte);
                rest = &more[2..];
            }
            None => {
                resolved.push(*byte);
                rest = more;
            }
        }
    }
    resolved.retain(|byte| !byte.is_ascii_whitespace());
    let encoded = STANDARD.encode(DER);
    let encoded = encoded.trim_end_matches('=');
    plain.to_ascii_lowercase().contains(&hexadecimal) || String::from_utf8_lossy(&resolved).contains(encoded)
}

/// A guard that learns from its proxy which URL was called, and the proof for one URL.
struct Called {
    guard: fn() -> Guard,
    token: String,
    proof: String,
}

static CALLED: LazyLock<Called> = LazyLock::new(|| {
    let key = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).expect("a key");
    let jwk =
        json!({ "crv": "Ed25519", "kty": "OKP", "x": URL_SAFE_NO_PAD.encode(key.public_key().as_ref()) });
    let mut claims = claims();
    claims["cnf"] = json!({ "jkt": URL_SAFE_NO_PAD.encode(sha256(jwk.to_string().as_bytes())) });
    let token = token(&claims);
    let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk }).to_string();
    let ath = URL_SAFE_NO_PAD.encode(sha256(token.as_bytes()));
    let htu = format!("https://{HOST}/base/orders");
    let payload = json!({ "jti": "j", "htm": "GET", "htu": htu, "iat": NOW, "ath": ath }).to_string();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let proof = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes())));
    let guard = || {
        let builder = builder().issuer(issuer()).dpop(Dpop::new()).trusted_proxies(["10.0.0.0/8"]);
        within(|| builder.build()).expect("a guard")
    };
    Called { guard, token, proof }
});

fn forwarded(text: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n').take(8) {
        let Some((name, value)) = line.split_first() else { continue };
        let name = match name {
            b'F' => "forwarded",
            b'P' => "x-forwarded-proto",
            b'H' => "x-forwarded-host",
            _ => "x-forwarded-prefix",
        };
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        headers.append(name, value);
    }
    let accepts = |peer: ([u8; 4], u16), headers: &HeaderMap| {
        let guard = (CALLED.guard)();
        let mut request = Request::get("/orders").body(()).expect("a request");
        *request.headers_mut() = headers.clone();
        let own = request.headers_mut();
        own.insert("host", HeaderValue::from_static("internal:8080"));
        own.insert("authorization", HeaderValue::try_from(format!("DPoP {}", CALLED.token)).expect("text"));
        own.insert("dpop", HeaderValue::try_from(CALLED.proof.clone()).expect("text"));
        request.extensions_mut().insert(PeerAddr(peer.into()));
        bounded(text.len() + 64 * 1024, || ask(&guard, &request).is_ok())
    };
    assert!(!accepts(STRANGER, &headers), "what a stranger says it has called counts for nothing");
    if !accepts(PROXY, &headers) {
        return;
    }
    let last = |name: &str| {
        headers.get_all(name).iter().next_back().and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let names_host = |text: &str| {
        let element = text.rsplit(',').next().unwrap_or_default().to_ascii_lowercase();
        element.contains(HOST) || element.contains('"') || element.contains('%')
    };
    assert!(names_host(last("forwarded")) || names_host(last("x-forwarded-host")), "{headers:?}");
    // A proxy further in that says something else is believed instead.
    for name in ["forwarded", "x-forwarded-host"] {
        let mut more = headers.clone();
        let other = if name == "forwarded" { "host=evil.example" } else { "evil.example" };
        more.append(name, HeaderValue::from_static(other));
        assert!(!accepts(PROXY, &more), "{more:?}");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let hash: String = THUMBPRINT.iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = STANDARD.encode(DER);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
    let escaped: String = pem
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || byte == b'-' {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect();
    let mut seeds = Vec::new();
    for text in [
        format!("Hash={hash}"),
        format!("By=spiffe://a;Hash={hash};Subject=\"CN=a, O=\\\"b\\\"; C=c\";URI=spiffe://b"),
        format!("Cert=\"{escaped}\""),
        format!("Hash={};Cert=\"{escaped}\"", hash.to_uppercase()),
        format!("Hash={hash}, Hash={hash}"),
        format!("Hash=00,By=x;Hash={hash}"),
        String::new(),
    ] {
        seeds.push([&[0][..], text.as_bytes()].concat());
    }
    for text in [
        format!(":{base64}:"),
        format!(" :{}: ", base64.trim_end_matches('=')),
        format!(":{base64}:;a=1"),
        "::".to_owned(),
    ] {
        seeds.push([&[1][..], text.as_bytes()].concat());
    }
    for text in
        [escaped.clone(), escaped.replace("%0A", ""), format!("{escaped}{escaped}"), pem.replace('\n', "%0a")]
    {
        seeds.push([&[2][..], text.as_bytes()].concat());
    }
    for text in [
        "Fhost=api.example.com;proto=https\nX/base",
        "Ffor=1.2.3.4;host=\"api.example.com:443\";proto=HTTPS\nX/base/",
        "Fhost=evil;proto=http, proto=https;host=API.example.com\nX/base",
        "Hapi.example.com\nPhttps\nX/base",
        "Hevil, api.example.com\nPhttp,https\nXevil, /base",
        "Hapi.example.com\nFhost=api.example.com;proto=https\nPhttps\nX/base",
        "Hother\nFhost=api.example.com",
        "H\"api.example.com\"\nPhttps",
    ] {
        seeds.push([b"F", text.as_bytes()].concat());
    }
    seeds
}
