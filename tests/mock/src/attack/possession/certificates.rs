//! Certificates in headers: the attacker is the proxy that hands them on, or goes past it (RFC 8705 section 6.5, RFC 9440
//! section 4).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde_json::json;

use super::{Certificate, CertificateHeader, Certificates};
use crate::attack::{Area, Attack, AttackContext, AttackRequest, Expected, RequirementLevel};
use crate::encode::{b64url, hex, to_b64};
use crate::keys::{Alg, TestKey};

const AREA: Area = Area::Certificates;
/// What no proxy writes.
const ODD: Expected = Expected::INVALID_REQUEST.or(&[401]);

pub(super) const ATTACKS: &[Attack] = &[
    Attack::accepted(
        AREA,
        "cert-good",
        "G251",
        "RFC 8705 section 3",
        "a bound token with its certificate is accepted, however the proxy writes it",
        "An API that refuses everything is of no use.",
        good,
    ),
    Attack::refused(
        AREA,
        "cert-of-another",
        "G252",
        "RFC 8705 section 3",
        "the certificate of the connection is the one that the token is bound to",
        "A thief has certificates of their own.",
        of_another,
    ),
    Attack::refused(
        AREA,
        "cert-missing",
        "G253",
        "RFC 8705 section 3",
        "a token that is bound to a certificate needs it",
        "Who has no certificate would be let in with a stolen token.",
        missing,
    ),
    Attack::refused(
        AREA,
        "cert-twice",
        "G254",
        "RFC 9440 section 2.1",
        "there is one certificate, and it is the proxy's word",
        "Where a proxy adds to the header instead of replacing it, one of two is the attacker's.",
        twice,
    )
    .expecting(ODD),
    Attack::refused(
        AREA,
        "cert-malformed",
        "G255",
        "RFC 9440 section 2.1",
        "a header that is no certificate is refused, and does no harm",
        "What is read loosely can be made to say what the proxy did not.",
        malformed,
    )
    .expecting(ODD),
    Attack::refused(
        AREA,
        "cert-in-another-header",
        "G256",
        "RFC 9440 section 4",
        "only the header that the proxy writes counts",
        "The proxy removes its own header from what clients send, and hands the others on.",
        in_another_header,
    ),
    Attack::refused(
        AREA,
        "cert-xfcc-quoted",
        "G257",
        "RFC 8705 section 6.5",
        "what the client chose, such as the subject, is not taken for what the proxy says",
        "A client has its certificate made out to `x;Hash=…`, and is whom it likes.",
        quoted,
    ),
    Attack::refused(
        AREA,
        "cert-xfcc-contradiction",
        "G258",
        "RFC 8705 section 6.5",
        "hash and certificate of one element agree",
        "One of the two is not of the connection.",
        contradiction,
    )
    .expecting(ODD),
    Attack::refused(
        AREA,
        "cert-thumbprint",
        "G259",
        "RFC 8705 section 3.1",
        "the binding is the SHA-256 of the whole certificate",
        "Only the issuer could write another; an API that accepts it compares something weaker.",
        other_thumbprints,
    )
    .strict(),
    Attack::refused(
        AREA,
        "cert-bad-token",
        "G260",
        "RFC 8705 section 3",
        "a good certificate makes no bad token good",
        "A certificate shows who connects, not what they may do.",
        bad_token,
    ),
    Attack::refused(
        AREA,
        "cert-and-key",
        "G261",
        "RFC 8705 section 3",
        "a token that is bound to a key as well needs its proof, too",
        "The weaker one of two bindings would do.",
        and_key,
    ),
    Attack::accepted(
        AREA,
        "cert-unbound-token",
        "G262",
        "RFC 8705 section 3",
        "a token that is bound to nothing is a bearer token",
        "Where bound tokens are required, refusing it is right.",
        unbound,
    )
    .by_choice(),
    Attack::refused(
        AREA,
        "cert-past-the-proxy",
        "G263",
        "RFC 9440 section 4",
        "the header counts from the proxy only",
        "Any client can write a header: a client that goes past the proxy can claim any identity.",
        past_the_proxy,
    )
    .expecting(ODD),
];

/// What most requests are made of.
struct Maker<'a> {
    context: &'a AttackContext,
    of: &'a Certificates,
    token: String,
    requests: Vec<AttackRequest>,
}

fn make(context: &AttackContext, fill: impl FnOnce(&mut Maker<'_>)) -> Vec<AttackRequest> {
    let Some(of) = context.with_certificates() else { return Vec::new() };
    let token = bound_to(context, &of.own);
    let mut maker = Maker { context, of, token, requests: Vec::new() };
    fill(&mut maker);
    maker.requests
}

fn bound_to(context: &AttackContext, certificate: &Certificate) -> String {
    context.good().claim("cnf", json!({"x5t#S256": certificate.thumbprint()})).build()
}

impl Maker<'_> {
    /// The bound token with this in the proxy's header.
    fn value(&mut self, variant: &str, value: impl Into<String>) -> &mut Self {
        let name = self.of.header.name();
        self.push(AttackRequest::bearer(variant, &self.token).with_header(name, value))
    }

    fn push(&mut self, request: AttackRequest) -> &mut Self {
        self.requests.push(request);
        self
    }

    /// The last request, changed.
    fn last(&mut self, change: impl FnOnce(AttackRequest) -> AttackRequest) {
        if let Some(last) = self.requests.pop() {
            self.requests.push(change(last));
        }
    }

    fn own(&self) -> String {
        self.of.own.value(self.of.header)
    }

    fn other(&self) -> String {
        self.of.other.value(self.of.header)
    }
}

fn choice(request: AttackRequest) -> AttackRequest {
    request.with_level(RequirementLevel::Choice)
}

pub(super) fn control(context: &AttackContext) -> Option<AttackRequest> {
    let mut requests = make(context, |maker| {
        let own = maker.own();
        maker.value("control: a good certificate", own);
    });
    Some(requests.pop()?.expecting(Expected::ACCEPTED).with_level(RequirementLevel::Must))
}

fn good(context: &AttackContext) -> Vec<AttackRequest> {
    make(context, |maker| {
        let (own, other) = (maker.of.own.clone(), maker.of.other.clone());
        match maker.of.header {
            CertificateHeader::ClientCert => {
                maker.value("a byte sequence", own.byte_sequence());
                let chain = AttackRequest::bearer("with a chain beside", &maker.token)
                    .with_header("Client-Cert", own.byte_sequence())
                    .with_header("Client-Cert-Chain", other.byte_sequence());
                maker.push(chain);
            }
            CertificateHeader::Xfcc => {
                let (hash, cert) = (own.hash(), own.escaped_pem());
                maker.value("hash and certificate", format!("Hash={hash};Cert=\"{cert}\""));
                maker.value("the hash alone", format!("Hash={hash}"));
                maker.value("the certificate alone", format!("Cert=\"{cert}\"")).last(choice);
                let whole =
                    format!("By=spiffe://a/b;Hash={hash};Subject=\"CN=a,O=b;c\";URI=spiffe://a/c;DNS=d.test");
                maker.value("everything that Envoy writes", whole);
                maker.value("behind the element of another proxy", {
                    format!("Hash={},Hash={hash}", other.hash())
                });
            }
            CertificateHeader::Nginx => {
                maker.value("escaped PEM", own.escaped_pem());
                let small = own.escaped_pem().replace("%2B", "%2b").replace("%2F", "%2f");
                maker.value("escaped in small letters", small.replace("%3D", "%3d").replace("%0A", "%0a"));
            }
        }
    })
}

fn of_another(context: &AttackContext) -> Vec<AttackRequest> {
    make(context, |maker| {
        let other = maker.other();
        maker.value("a good one of another", other);
        let mut der = maker.of.own.der().to_vec();
        der.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1);
        let twin = to_b64(&der);
        if maker.of.header == CertificateHeader::ClientCert {
            maker.value("the right one with another signature", format!(":{twin}:"));
        }
        if maker.of.header == CertificateHeader::Xfcc {
            let hash = maker.of.other.hash();
            maker.value("the hash of another", format!("Hash={hash}"));
            let own = maker.of.own.hash();
            maker.value("another's element behind", format!("Hash={own},Hash={hash}"));
        }
    })
}

fn missing(context: &AttackContext) -> Vec<AttackRequest> {
    make(context, |maker| {
        let request = AttackRequest::bearer("no header", &maker.token);
        maker.push(request);
        // What a proxy writes when the client showed none, and what malformed ones get.
        maker.value("an empty header", "").last(|last| last.expecting(Expected::INVALID_TOKEN.or(&[400])));
    })
}

fn twice(context: &AttackContext) -> Vec<AttackRequest> {
    make(context, |maker| {
        let (own, other, name) = (maker.own(), maker.other(), maker.of.header.name());
        let pairs = [
            ("the right one behind another", &other, &own),
            ("the right one before another", &own, &other),
            ("the right one twice", &own, &own),
        ];
        for (variant, first, second) in pairs {
            let two = AttackRequest::bearer(variant, &maker.token);
            maker.push(two.with_header(name, first.clone()).with_header(name, second.clone()));
            if first == second {
                maker.last(|last| last.with_level(RequirementLevel::Strict));
            }
        }
        if maker.of.header != CertificateHeader::Xfcc {
            maker.value("two in one header", format!("{other}, {own}"));
            maker.value("two in one header, the right one first", format!("{own}, {other}"));
        }
    })
}

fn malformed(context: &AttackContext) -> Vec<AttackRequest> {
    make(context, |maker| {
        let own = maker.of.own.clone();
        let (cert, pem, hash) = (to_b64(own.der()), own.escaped_pem(), own.hash());
        let values = match maker.of.header {
            CertificateHeader::ClientCert => vec![
                ("no colons", cert.clone()),
                ("one colon", format!(":{cert}")),
                ("quoted", format!("\"{cert}\"")),
                ("nothing in the colons", "::".to_owned()),
                ("no base64", ":*:".to_owned()),
                ("base64url", format!(":{}:", b64url([0xfb, 0xff, 0xfe]))),
                ("PEM", format!(":{}:", to_b64(own.pem()))),
                ("escaped PEM", pem),
                ("its first half", format!(":{}:", to_b64(&own.der()[..own.der().len() / 2]))),
            ],
            CertificateHeader::Xfcc => vec![
                ("no pairs", hash.clone()),
                ("a hash of half its length", format!("Hash={}", &hash[..32])),
                ("a hash that is none", format!("Hash={}", "x".repeat(64))),
                ("a certificate that is none", "Cert=\"x\"".to_owned()),
                ("an open quote", format!("Hash={hash};Subject=\"CN=x")),
                ("a certificate cut short", format!("Cert=\"{}\"", &pem[..pem.len() / 2])),
                ("the hash twice", format!("Hash={hash};Hash={}", maker.of.other.hash())),
            ],
            CertificateHeader::Nginx => vec![
                ("no PEM", "certificate".to_owned()),
                ("base64 alone", crate::encode::percent_encode(&cert)),
                ("a malformed escape", pem.replacen("%0A", "%0", 1)),
                ("cut short", pem[..pem.len() / 2].to_owned()),
                ("a private key", pem.replace("CERTIFICATE", "PRIVATE%20KEY")),
                ("no base64 inside", {
                    crate::encode::percent_encode(
                        "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n",
                    )
                }),
                ("DER", crate::encode::percent_encode(&hex(own.der()))),
            ],
        };
        for (variant, value) in values {
            maker.value(variant, value);
        }
    })
}

/// The right certificate where the proxy does not write it, alone and beside the proxy's word.
fn in_another_header(context: &AttackContext) -> Vec<AttackRequest> {
    make(context, |maker| {
        let (header, own, other) = (maker.of.header, maker.of.own.clone(), maker.other());
        let others = CertificateHeader::ALL.into_iter().filter(|one| *one != header);
        let mut places: Vec<_> = others.map(|one| (one.name(), own.value(one))).collect();
        places.extend([
            ("Client-Cert-Chain", own.byte_sequence()),
            ("X-Client-Cert", own.escaped_pem()),
            ("X-SSL-Client-Cert", own.escaped_pem()),
            ("X-Client-Cert-Sha256", own.hash()),
        ]);
        // The same letters for servers that turn header names into variables (CGI).
        places.push(match header {
            CertificateHeader::ClientCert => ("Client_Cert", own.value(header)),
            CertificateHeader::Xfcc => ("X_Forwarded_Client_Cert", own.value(header)),
            CertificateHeader::Nginx => ("Ssl_Client_Cert", own.value(header)),
        });
        for (name, value) in places {
            let alone = AttackRequest::bearer(format!("{name} alone"), &maker.token);
            maker.push(alone.with_header(name, value.clone()));
            let beside = AttackRequest::bearer(format!("{name} beside another's"), &maker.token);
            maker.push(beside.with_header(name, value).with_header(header.name(), other.clone()));
        }
    })
}

fn quoted(context: &AttackContext) -> Vec<AttackRequest> {
    make(context, |maker| {
        if maker.of.header != CertificateHeader::Xfcc {
            return;
        }
        let (own, other) = (maker.of.own.hash(), maker.of.other.hash());
        let values = [
            ("a semicolon in the subject", format!("Hash={other};Subject=\"CN=x;Hash={own}\"")),
            ("the subject first", format!("Subject=\"CN=x;Hash={own};y=\";Hash={other}")),
            ("a comma in the subject", format!("Hash={other};Subject=\"CN=x,Hash={own}\"")),
            ("an escaped quote", format!("Hash={other};Subject=\"CN=\\\";Hash={own};x=\\\"\"")),
            (
                "an escaped quote and a comma",
                format!("Hash={other};Subject=\"CN=\\\",Hash={own};Subject=\\\"x\""),
            ),
            ("the URI", format!("Hash={other};URI=spiffe://x/Hash={own}")),
        ];
        for (variant, value) in values {
            maker.value(variant, value);
            // Refusing what is odd is as good.
            maker.last(|last| last.expecting(Expected::INVALID_TOKEN.or(&[400])));
        }
        // A proxy that adds its element to what the client sent: the client's quote must not take it in.
        let open = [
            ("an open quote before the proxy's element", format!("Hash={own};Subject=\"x,Hash={other}")),
            (
                "an open quote that the proxy's element closes",
                format!("Hash={own};Subject=\"x,Hash={other};Subject=\"CN=y\""),
            ),
            ("an open quote in a name", format!("Hash={own};Sub\"ject=x,Hash={other}")),
        ];
        for (variant, value) in open {
            maker.value(variant, value).last(|last| last.expecting(ODD));
        }
    })
}

fn contradiction(context: &AttackContext) -> Vec<AttackRequest> {
    make(context, |maker| {
        if maker.of.header != CertificateHeader::Xfcc {
            return;
        }
        let (own, other) = (maker.of.own.clone(), maker.of.other.clone());
        let of = |hash: &Certificate, cert: &Certificate| {
            format!("Hash={};Cert=\"{}\"", hash.hash(), cert.escaped_pem())
        };
        let (by_hash, by_cert) = (of(&own, &other), of(&other, &own));
        maker.value("the right hash", by_hash).value("the right certificate", by_cert);
    })
}

fn other_thumbprints(context: &AttackContext) -> Vec<AttackRequest> {
    make(context, |maker| {
        let der = maker.of.own.der().to_vec();
        let right = maker.of.own.thumbprint();
        let (own, name) = (maker.own(), maker.of.header.name());
        let confirmations = [
            ("SHA-1", json!({"x5t": b64url(digest(&SHA1_FOR_LEGACY_USE_ONLY, &der))})),
            (
                "SHA-1 under the other name",
                json!({"x5t#S256": b64url(digest(&SHA1_FOR_LEGACY_USE_ONLY, &der))}),
            ),
            ("of the PEM", json!({"x5t#S256": b64url(digest(&SHA256, maker.of.own.pem().as_bytes()))})),
            ("in hexadecimal", json!({"x5t#S256": maker.of.own.hash()})),
            ("with padding", json!({"x5t#S256": format!("{right}=")})),
            ("its first half", json!({"x5t#S256": right.get(..21)})),
            ("empty", json!({"x5t#S256": ""})),
            ("a list", json!({"x5t#S256": [right]})),
        ];
        for (variant, cnf) in confirmations {
            let token = maker.context.good().claim("cnf", cnf).build();
            maker.push(AttackRequest::bearer(variant, &token).with_header(name, own.clone()));
        }
    })
}

fn bad_token(context: &AttackContext) -> Vec<AttackRequest> {
    make(context, |maker| {
        let (own, name) = (maker.own(), maker.of.header.name());
        let cnf = json!({"x5t#S256": maker.of.own.thumbprint()});
        let good = || context.good().claim("cnf", cnf.clone());
        let tokens = [
            ("expired", good().expires_in(-7_200).build()),
            ("for another API", good().audience(context.other_audience()).build()),
            ("unsigned", good().unsigned().build()),
            (
                "signed by another key",
                good().signed_with(context.foreign()).kid(&context.keys().current_kid()).build(),
            ),
        ];
        for (variant, token) in tokens {
            maker.push(AttackRequest::bearer(variant, &token).with_header(name, own.clone()));
        }
        let dpop = AttackRequest::plain("by the scheme DPoP").authorization(format!("DPoP {}", maker.token));
        maker.push(dpop.with_header(name, own));
    })
}

fn and_key(context: &AttackContext) -> Vec<AttackRequest> {
    make(context, |maker| {
        let (own, other, name) = (maker.own(), maker.other(), maker.of.header.name());
        let jkt = TestKey::generate(Alg::Es256).thumbprint();
        let cnf = json!({"x5t#S256": maker.of.own.thumbprint(), "jkt": jkt});
        let token = context.good().claim("cnf", cnf).build();
        maker.push(AttackRequest::bearer("the certificate alone", &token).with_header(name, own));
        maker.push(AttackRequest::bearer("another's certificate", &token).with_header(name, other));
    })
}

fn unbound(context: &AttackContext) -> Vec<AttackRequest> {
    make(context, |maker| {
        let (own, name, token) = (maker.own(), maker.of.header.name(), context.good().build());
        maker.push(AttackRequest::bearer("with a certificate", &token).with_header(name, own));
        maker.push(AttackRequest::bearer("without one", &token));
    })
}

/// Only where an address is known that the API does not trust.
fn past_the_proxy(context: &AttackContext) -> Vec<AttackRequest> {
    make(context, |maker| {
        let Some(address) = maker.of.untrusted else { return };
        let (own, header) = (maker.of.own.clone(), maker.of.header);
        let right = own.value(header);
        maker.value("the right certificate", right.clone()).last(|last| last.from(address));
        let trusted = ["X-Forwarded-For", "X-Real-IP"];
        for name in trusted {
            maker.value(&format!("{name} names the proxy"), right.clone());
            maker.last(|last| last.with_header(name, "127.0.0.1").from(address));
        }
        maker.value("Forwarded names the proxy", right);
        maker.last(|last| last.with_header("Forwarded", "for=127.0.0.1;proto=https").from(address));
        for other in CertificateHeader::ALL.into_iter().filter(|one| *one != header) {
            let request = AttackRequest::bearer(format!("{} alone", other.name()), &maker.token)
                .with_header(other.name(), own.value(other));
            maker.push(request.from(address).expecting(Expected::INVALID_TOKEN.or(&[400])));
        }
        let none = AttackRequest::bearer("no certificate", &maker.token).from(address);
        maker.push(none.expecting(Expected::INVALID_TOKEN));
    })
}
