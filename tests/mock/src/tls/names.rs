//! Who a certificate is for, and how that is written (RFC 4514).

use std::net::IpAddr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::clients::CertificateSubject;

/// The attribute types with short names (RFC 4514 section 3), and their object identifiers.
const TYPES: [(&str, &[u64]); 9] = [
    ("CN", &[2, 5, 4, 3]),
    ("L", &[2, 5, 4, 7]),
    ("ST", &[2, 5, 4, 8]),
    ("STREET", &[2, 5, 4, 9]),
    ("O", &[2, 5, 4, 10]),
    ("OU", &[2, 5, 4, 11]),
    ("C", &[2, 5, 4, 6]),
    ("DC", &[0, 9, 2342, 19_200_300, 100, 1, 25]),
    ("UID", &[0, 9, 2342, 19_200_300, 100, 1, 1]),
];

/// One attribute of a distinguished name: its object identifier and its value.
pub(super) type Attribute = (&'static [u64], String);

/// Whether a certificate (DER) is for this subject: the one value that a client registers (RFC 8705 section 2.1.2).
pub(crate) fn is_for(certificate: &[u8], subject: &CertificateSubject) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    if let CertificateSubject::Dn(registered) = subject {
        let named = distinguished_name(&certificate);
        return named.is_some() && named == parse(registered);
    }
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension.map_or(&[][..], |extension| &extension.value.general_names);
    names.iter().any(|name| match (name, subject) {
        // RFC 4343 section 3: case does not matter in DNS.
        (GeneralName::DNSName(name), CertificateSubject::Dns(wanted)) => name.eq_ignore_ascii_case(wanted),
        (GeneralName::URI(name), CertificateSubject::Uri(wanted)) => name == wanted,
        (GeneralName::RFC822Name(name), CertificateSubject::Email(wanted)) => name == wanted,
        (GeneralName::IPAddress(bytes), CertificateSubject::Ip(wanted)) => match wanted {
            IpAddr::V4(wanted) => **bytes == wanted.octets(),
            IpAddr::V6(wanted) => **bytes == wanted.octets(),
        },
        _ => false,
    })
}

/// The public key of a certificate: for an EC key its point, uncompressed.
pub(super) fn public_key(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.public_key().subject_public_key.data.to_vec())
}

/// The attributes of a name as RFC 4514 section 2 writes it, the last one of the certificate first. `None` when it is
/// not written so, has a type without a short name, or several attributes at one level (`+`).
pub(super) fn parse(name: &str) -> Option<Vec<Attribute>> {
    let mut attributes = Vec::new();
    for part in split(name) {
        let (kind, value) = part.split_once('=')?;
        let (_, oid) = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind.trim()))?;
        attributes.push((*oid, unescape(value.trim())?));
    }
    Some(attributes)
}

fn distinguished_name(certificate: &X509Certificate<'_>) -> Option<Vec<Attribute>> {
    let attribute = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let found: Vec<u64> = attribute.attr_type().iter()?.collect();
        let (_, oid) = TYPES.iter().find(|(_, oid)| **oid == found)?;
        Some((*oid, attribute.as_str().ok()?.to_owned()))
    };
    let mut attributes =
        certificate.subject().iter_attributes().map(attribute).collect::<Option<Vec<_>>>()?;
    attributes.reverse();
    Some(attributes)
}

/// The parts between commas that are not escaped.
fn split(name: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                parts.push(&name[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&name[start..]);
    parts
}

/// RFC 4514 section 2.4: a backslash makes the special character behind it an ordinary one.
fn unescape(value: &str) -> Option<String> {
    let mut out = String::with_capacity(value.len());
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => out.push(rest.next().filter(|c| !c.is_ascii_hexdigit())?),
            '+' | ';' | '<' | '>' | '"' => return None,
            other => out.push(other),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClientCertificate;

    #[test]
    fn a_certificate_is_for_its_subject_and_no_other() {
        let subjects = [
            CertificateSubject::from("svc"),
            CertificateSubject::Dn("CN=a\\,b,OU=Payments,O=Example,C=FR".to_owned()),
            CertificateSubject::Dns("svc.example.com".to_owned()),
            CertificateSubject::Uri("spiffe://example.com/svc".to_owned()),
            CertificateSubject::Email("svc@example.com".to_owned()),
            CertificateSubject::Ip(IpAddr::from([192, 0, 2, 1])),
            CertificateSubject::Ip("2001:db8::1".parse().unwrap()),
        ];
        for made in &subjects {
            let certificate = ClientCertificate::self_signed(made.clone());
            for asked in &subjects {
                assert_eq!(is_for(certificate.der(), asked), made == asked, "{made:?} {asked:?}");
            }
        }
        assert!(!is_for(b"no certificate", &subjects[0]));
    }

    #[test]
    fn names_are_compared_by_their_parts() {
        let certificate =
            ClientCertificate::self_signed(CertificateSubject::Dn("CN=svc,O=Example".to_owned()));
        for (name, same) in [
            ("cn=svc, o=Example", true),
            ("O=Example,CN=svc", false),
            ("CN=svc", false),
            ("CN=svc,O=Example,C=FR", false),
            ("CN=svc+O=Example", false),
            ("CN=svc,O=example", false),
            ("", false),
        ] {
            let subject = CertificateSubject::Dn(name.to_owned());
            assert_eq!(is_for(certificate.der(), &subject), same, "{name}");
        }
    }
}
