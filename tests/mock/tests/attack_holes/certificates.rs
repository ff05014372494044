//! Certificates that a proxy names in a header, checked but for one hole.

use std::net::{IpAddr, Ipv4Addr};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use oauth_mock::attack::CertificateHeader;
use serde_json::{Map, Value};

use crate::api::{Api, Hole, Refusal, invalid, malformed};
use crate::server::Request;

type Object = Map<String, Value>;

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// What the wrong certificate of a row with a hole is made of.
const NONE: [u8; 32] = [0; 32];

/// An API behind a proxy.
pub(crate) struct Certificates {
    pub(crate) header: CertificateHeader,
}

impl Certificates {
    /// The claims of a token and the certificate it is bound to.
    pub(crate) async fn check(&self, api: &Api, request: &Request) -> Result<Object, Refusal> {
        let values = request.values("authorization");
        let [credentials] = values.as_slice() else {
            return Err(Refusal { status: 401, error: "", because: String::new() });
        };
        let (scheme, token) = credentials.split_once(' ').ok_or_else(malformed)?;
        if !scheme.eq_ignore_ascii_case("bearer") && !api.has("cert-bad-token") {
            return Err(invalid("scheme"));
        }
        let shown = self.shown(api.hole, request)?;
        let claims = match api.verify(token).await {
            Ok(claims) => claims,
            Err(_) if api.has("cert-bad-token") => crate::verify::claims_of(token),
            Err(refusal) => return Err(refusal),
        };
        let Some(cnf) = claims.get("cnf").filter(|cnf| !cnf.is_null()) else {
            return if api.has("cert-unbound-token") { Err(invalid("unbound")) } else { Ok(claims) };
        };
        if cnf.get("jkt").is_some() && !api.has("cert-and-key") {
            return Err(invalid("jkt"));
        }
        let bound = cnf["x5t#S256"].as_str();
        let same = match shown {
            None => api.has("cert-missing"),
            Some(_) if api.has("cert-of-another") => true,
            Some(hash) => {
                let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
                bound == Some(&URL_SAFE_NO_PAD.encode(hash))
                    || (api.has("cert-thumbprint") && bound == Some(&hex))
            }
        };
        if same { Ok(claims) } else { Err(invalid("certificate")) }
    }

    /// The SHA-256 of the certificate that the proxy names.
    fn shown(&self, hole: Hole, request: &Request) -> Result<Option<[u8; 32]>, Refusal> {
        let (name, other) = match self.header {
            CertificateHeader::ClientCert => ("client-cert", "x-client-cert-sha256"),
            CertificateHeader::Xfcc => ("x-forwarded-client-cert", "x-client-cert-sha256"),
            _ => ("ssl-client-cert", "x-client-cert-sha256"),
        };
        if hole.is("cert-in-another-header")
            && let Some(hash) = request.values(other).first().and_then(|hash| from_hex(hash))
        {
            return Ok(Some(hash));
        }
        let value = match request.values(name).as_slice() {
            [] => return Ok(None),
            _ if request.peer != Some(PROXY) && !hole.is("cert-past-the-proxy") => return Err(malformed()),
            [""] => return Ok(None),
            [one] => *one,
            [_, last] if hole.is("cert-twice") => *last,
            _ => return Err(malformed()),
        };
        if hole.is("cert-good") && !request.values("client-cert-chain").is_empty() {
            return Err(malformed());
        }
        let hash = match self.header {
            CertificateHeader::ClientCert => client_cert(hole, value),
            CertificateHeader::Xfcc => xfcc(hole, value),
            _ => nginx(value),
        };
        match hash {
            None if hole.is("cert-malformed") => {
                Err(Refusal { status: 500, error: "", because: String::new() })
            }
            None => Err(malformed()),
            Some(NONE) => Ok(None),
            hash => Ok(hash),
        }
    }
}

fn of_der(der: &[u8]) -> Option<[u8; 32]> {
    // A SEQUENCE that is as long as it says.
    let [0x30, 0x82, high, low, rest @ ..] = der else { return None };
    let whole = rest.len() == usize::from(u16::from_be_bytes([*high, *low]));
    if whole { digest(&SHA256, der).as_ref().try_into().ok() } else { None }
}

fn client_cert(hole: Hole, value: &str) -> Option<[u8; 32]> {
    let value = if hole.is("cert-twice") { value.split(", ").last()? } else { value };
    of_der(&STANDARD.decode(value.strip_prefix(':')?.strip_suffix(':')?).ok()?)
}

fn nginx(value: &str) -> Option<[u8; 32]> {
    of_pem(&unescaped(value)?)
}

fn of_pem(pem: &str) -> Option<[u8; 32]> {
    let inner = pem.strip_prefix("-----BEGIN CERTIFICATE-----\n")?;
    let inner = inner.strip_suffix("-----END CERTIFICATE-----\n")?;
    of_der(&STANDARD.decode(inner.replace('\n', "")).ok()?)
}

fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        out.push(char::from(u8::from_str_radix(part.get(..2)?, 16).ok()?));
        out.push_str(&part[2..]);
    }
    Some(out)
}

/// The last element's.
fn xfcc(hole: Hole, value: &str) -> Option<[u8; 32]> {
    let split = |text: &str, at: char| -> Option<Vec<String>> {
        let (mut parts, mut quoted, mut escaped) = (vec![String::new()], false, false);
        for c in text.chars() {
            match c {
                '"' if !escaped => quoted = !quoted,
                _ if c == at && (!quoted || hole.is("cert-xfcc-quoted")) => {
                    parts.push(String::new());
                    continue;
                }
                _ => {}
            }
            escaped = c == '\\' && !escaped;
            parts.last_mut()?.push(c);
        }
        if quoted && !hole.is("cert-xfcc-quoted") { None } else { Some(parts) }
    };
    let element = split(value, ',')?.pop()?;
    let (mut hash, mut of_cert) = (None, None);
    for pair in split(&element, ';')? {
        let Some((name, value)) = pair.split_once('=') else {
            if hole.is("cert-xfcc-quoted") {
                continue;
            }
            return None;
        };
        match name {
            "Hash" if hash.is_some() && !hole.is("cert-xfcc-quoted") => return None,
            "Hash" => hash = Some(from_hex(value.trim_matches('"'))?),
            "Cert" => of_cert = Some(of_pem(&unescaped(value.trim_matches('"'))?)?),
            _ => {}
        }
    }
    match (hash, of_cert) {
        (Some(hash), Some(_)) if hole.is("cert-xfcc-contradiction") => Some(hash),
        (Some(hash), Some(cert)) => (hash == cert).then_some(hash),
        (hash, cert) => Some(hash.or(cert).unwrap_or(NONE)),
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let bytes: Result<Vec<u8>, _> =
        (0..32).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16)).collect();
    bytes.ok()?.try_into().ok()
}
