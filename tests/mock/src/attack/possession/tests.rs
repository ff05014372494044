use std::collections::HashSet;

use serde_json::Value;

use super::*;
use crate::MockServer;
use crate::attack::{self, Area, Expected, RequirementLevel};
use crate::encode::from_b64url;
use crate::keys::{thumbprint, verifies};

const ADDRESS: &str = "http://api.test/a/orders";

fn contexts(server: &MockServer) -> Vec<(Part, AttackContext)> {
    let new = || AttackContext::new(server).scope("read");
    let dpop = || new().dpop(ADDRESS).dpop_algorithms(["ES256", "EdDSA", "PS256"]);
    let certificates = CertificateHeader::ALL
        .map(|header| (Part::Certificates, new().certificates(header).untrusted_from([127, 0, 0, 2].into())));
    let nonce = dpop().dpop_nonce("n0nce.of-the-api_1234567890").dpop_nonce_lifetime(Duration::from_secs(1));
    [(Part::Dpop, dpop()), (Part::Dpop, nonce)].into_iter().chain(certificates).collect()
}

#[test]
fn every_row_has_a_name_of_its_own_and_makes_requests_somewhere() {
    let server = MockServer::builder().in_process();
    let contexts = contexts(&server);
    let mut names = HashSet::new();
    for part in Part::ALL {
        names.extend(attack::of(part).map(|row| row.id));
    }
    assert_eq!(names.len(), Part::ALL.into_iter().flat_map(attack::of).count(), "an id comes twice");
    for part in [Part::Dpop, Part::Certificates] {
        for row in attack::of(part) {
            let area = if part == Part::Dpop { Area::Dpop } else { Area::Certificates };
            assert_eq!(row.area, area, "{}", row.id);
            assert!(row.case.starts_with('G') && row.clause.contains("section "), "{}", row.id);
            let of_part = contexts.iter().filter(|(of, _)| *of == part);
            let requests: Vec<_> = of_part.map(|(_, context)| row.requests(context)).collect();
            assert!(requests.iter().any(|requests| !requests.is_empty()), "{}", row.id);
            for requests in requests {
                let variants: HashSet<_> = requests.iter().map(AttackRequest::variant).collect();
                assert_eq!(variants.len(), requests.len(), "two variants of {} have one name", row.id);
                assert!(requests.iter().all(|request| !request.is_wire_only()), "{}", row.id);
            }
            let unbound = AttackContext::new(&server);
            assert!(row.requests(&unbound).is_empty(), "{} needs to know an address or a header", row.id);
        }
    }
}

#[test]
fn there_are_enough_requests_about_proofs() {
    let server = MockServer::builder().in_process();
    let [(_, plain), (_, nonce), ..] = &contexts(&server)[..] else { panic!("two contexts") };
    for context in [plain, nonce] {
        let requests = attack::of(Part::Dpop).map(|row| row.requests(context).len()).sum::<usize>();
        assert!(requests >= 200, "{requests}");
    }
}

fn json(part: &str) -> Option<Value> {
    serde_json::from_slice(&from_b64url(part)?).ok()
}

/// Each proof is judged here a second time, point by point: exactly one thing is wrong, or nothing where the request is
/// to be accepted.
#[test]
fn what_is_to_be_accepted_is_a_good_proof_of_the_right_key() {
    let server = MockServer::builder().in_process();
    let mut seen = 0;
    for (_, context) in contexts(&server).into_iter().filter(|(part, _)| *part == Part::Dpop) {
        for row in attack::of(Part::Dpop) {
            for request in row.requests(&context) {
                let must = request.expected() == Expected::ACCEPTED
                    && request.level() != RequirementLevel::Choice
                    && request.header("DPoP").is_some();
                if !must {
                    continue;
                }
                let name = format!("{}: {}", row.id, request.variant());
                let proof = request.header("DPoP").unwrap();
                let (input, signature) = proof.rsplit_once('.').unwrap();
                let (header, claims) = input.split_once('.').unwrap();
                let (header, claims) = (json(header).unwrap(), json(claims).unwrap());
                assert_eq!((&header["typ"], &claims["htm"]), (&"dpop+jwt".into(), &"GET".into()), "{name}");
                assert_eq!(claims["htu"], ADDRESS, "{name}");
                let alg = Alg::parse(header["alg"].as_str().unwrap()).unwrap();
                let good = verifies(&header["jwk"], alg, input.as_bytes(), &from_b64url(signature).unwrap());
                assert!(good, "{name}");
                let Some(token) = request.token() else { continue };
                let bound = json(token.split('.').nth(1).unwrap()).unwrap()["cnf"]["jkt"].clone();
                assert_eq!(thumbprint(&header["jwk"]).unwrap(), bound, "{name}");
                seen += 1;
            }
        }
    }
    assert!(seen > 15, "{seen}");
}

#[test]
fn proofs_differ_from_one_another() {
    let server = MockServer::builder().in_process();
    let context = AttackContext::new(&server).dpop(ADDRESS);
    let mut jtis = HashSet::new();
    for row in attack::of(Part::Dpop).filter(|row| row.id != "dpop-jti" && !IN_ORDER.contains(&row.id)) {
        for request in row.requests(&context) {
            let claims = request.header("DPoP").and_then(|proof| json(proof.split('.').nth(1)?));
            let Some(jti) = claims.and_then(|claims| Some(claims.get("jti")?.as_str()?.to_owned())) else {
                continue;
            };
            // A malformed spelling of a proof, or one with another signature, is of no other jti.
            let spelled = ["dpop-proof-malformed", "dpop-signature"].contains(&row.id);
            assert!(jtis.insert(jti) || spelled, "{}: {}", row.id, request.variant());
        }
    }
}

#[test]
fn certificates_are_written_as_proxies_write_them() {
    let certificate = Certificate::new("a").unwrap();
    let pem = certificate.pem();
    assert!(pem.lines().all(|line| line.len() <= 64) && pem.ends_with("-----END CERTIFICATE-----\n"));
    assert!(certificate.escaped_pem().starts_with("-----BEGIN%20CERTIFICATE-----%0A"));
    assert_eq!(certificate.hash().len(), 64);
    let value = certificate.byte_sequence();
    assert!(value.starts_with(':') && value.ends_with(':'));
    let hash = from_b64url(&certificate.thumbprint()).unwrap();
    assert_eq!(crate::encode::hex(&hash), certificate.hash());
}

#[test]
fn requests_past_the_proxy_come_from_elsewhere() {
    let server = MockServer::builder().in_process();
    let context = AttackContext::new(&server).certificates(CertificateHeader::Xfcc);
    let row = attack::find("cert-past-the-proxy").unwrap();
    assert!(row.requests(&context).is_empty());
    let elsewhere = IpAddr::from([127, 0, 0, 2]);
    let requests = row.requests(&context.untrusted_from(elsewhere));
    assert!(requests.len() > 5 && requests.iter().all(|request| request.source() == Some(elsewhere)));
}
