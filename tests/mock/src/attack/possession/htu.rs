//! The address that a proof is for (RFC 9449 section 4.3, point 9).

use serde_json::{Value, json};

use super::proofs::{Shots, shots};
use super::scheme::BAD_PROOF;
use crate::attack::context::without_last;
use crate::attack::{Area, Attack, AttackContext, AttackRequest, Expected, RequirementLevel};

const AREA: Area = Area::Dpop;
const REFUSED: Expected = BAD_PROOF.or(&[400]);

pub(super) const ATTACKS: &[Attack] = &[
    Attack::refused(
        AREA,
        "dpop-htu",
        "G223",
        "RFC 9449 section 4.3 point 9",
        "the proof is for the address of the request",
        "Another API that sees a proof could use it here, and a proof for one path would open them all.",
        other_addresses,
    )
    .expecting(REFUSED),
    Attack::accepted(
        AREA,
        "dpop-htu-query",
        "G224",
        "RFC 9449 section 4.3 point 9",
        "query and fragment play no part in the comparison",
        "A proof never has the query: an API that compares it refuses every search.",
        query,
    ),
    Attack::accepted(
        AREA,
        "dpop-htu-spelling",
        "G224",
        "RFC 9449 section 4.3",
        "spellings that mean the same address are equal (RFC 3986 sections 6.2.2 and 6.2.3)",
        "Clients build addresses from configurations and links: the same one is spelled in several ways.",
        spellings,
    )
    .by_choice(),
];

/// The parts of an address.
struct Address<'a> {
    scheme: &'a str,
    authority: &'a str,
    path: &'a str,
}

impl<'a> Address<'a> {
    fn of(shots: &Shots<'a>) -> Self {
        let address = shots.address();
        let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
        let at = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        Self { scheme, authority, path: if path.is_empty() { "/" } else { path } }
    }

    /// The host without its port; an address in brackets keeps them.
    fn host(&self) -> &'a str {
        let port = self.authority.rfind(':').filter(|at| !self.authority[*at..].contains(']'));
        port.map_or(self.authority, |at| &self.authority[..at])
    }

    fn has_port(&self) -> bool {
        self.host() != self.authority
    }

    fn default_port(&self) -> &'static str {
        if self.scheme.eq_ignore_ascii_case("https") { "443" } else { "80" }
    }
}

fn other_addresses(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let address = Address::of(&shots);
        let Address { scheme, authority, path } = address;
        let host = address.host();
        let other_scheme = if scheme == "https" { "http" } else { "https" };
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let whole = shots.address();
        let wrong = [
            ("another host", format!("{scheme}://another.test{path}")),
            ("another port", format!("{scheme}://{host}:1{path}")),
            ("another scheme", format!("{other_scheme}://{authority}{path}")),
            ("a host behind", format!("{scheme}://{authority}.another.test{path}")),
            ("a host before", format!("{scheme}://another.{authority}{path}")),
            ("the host as a user", format!("{scheme}://{authority}@another.test{path}")),
            ("another path", format!("{scheme}://{authority}/another")),
            ("a path below", format!("{scheme}://{authority}{}/x", path.trim_end_matches('/'))),
            ("the path in its own query", format!("{scheme}://{authority}/another?{path}")),
            ("the path in its fragment", format!("{scheme}://{authority}/another#{path}")),
            ("the address in the query of another", format!("https://another.test/?{whole}")),
            ("the address below another", format!("https://another.test/{whole}")),
            ("an encoded slash behind", format!("{scheme}://{authority}{path}%2F")),
            ("an encoded NUL behind", format!("{scheme}://{authority}{path}%00")),
            ("the path alone", path.to_owned()),
            ("without its scheme", format!("//{authority}{path}")),
            ("empty", String::new()),
            ("a star", "*".to_owned()),
        ];
        let wrong = wrong.into_iter().filter(|(_, htu)| htu != whole);
        let shots = shots.with("absent", |proof| proof.without("htu"));
        let shots =
            shots.each(wrong, |shots, (variant, htu)| shots.with(variant, |proof| proof.claim("htu", htu)));
        // Whether there is a path at all; RFC 3986 section 6.2.3 makes an empty one equal to a slash.
        let by_path = [
            ("the origin", format!("{scheme}://{authority}")),
            ("the path above", format!("{scheme}://{authority}{parent}/")),
            ("a slash behind", format!("{scheme}://{authority}{path}/")),
            ("the path in capital letters", format!("{scheme}://{authority}{}", path.to_uppercase())),
            ("the path without its last letter", format!("{scheme}://{authority}{}", without_last(path))),
            ("two slashes", format!("{scheme}://{authority}/{path}")),
        ];
        let by_path = by_path.into_iter().filter(|(_, htu)| path != "/" && htu != whole);
        let shots =
            shots.each(by_path, |shots, (variant, htu)| shots.with(variant, |proof| proof.claim("htu", htu)));
        let odd = [("null", Value::Null), ("a list", json!([whole])), ("a number", json!(7))];
        shots.each(odd, |shots, (variant, htu)| {
            let shots = shots.with(variant, |proof| proof.claim("htu", htu));
            shots.last(|request| request.with_level(RequirementLevel::Strict))
        })
    })
}

fn query(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let whole = shots.address();
        let request =
            |variant: &str| shots.request(variant).with_header(super::proofs::DPOP, shots.proof().build());
        let of_request = request("a query in the request").query("x=y&z=%2F".to_owned());
        let shots = shots.push(of_request);
        // RFC 9449 section 4.2 leaves them out of htu, so that one may be strict there.
        let of_htu = [
            ("a query in htu", format!("{whole}?x=y")),
            ("a fragment in htu", format!("{whole}#x")),
            ("both in htu", format!("{whole}?x=y#z")),
        ];
        shots.each(of_htu, |shots, (variant, htu)| {
            let shots = shots.with(variant, |proof| proof.claim("htu", htu));
            shots.last(|request| request.with_level(RequirementLevel::Choice))
        })
    })
}

fn spellings(context: &AttackContext) -> Vec<AttackRequest> {
    shots(context, |shots| {
        let address = Address::of(&shots);
        let Address { scheme, authority, path } = address;
        let encoded = path.char_indices().rev().find(|(_, c)| c.is_ascii_alphanumeric());
        let encoded = encoded.map(|(at, c)| (&path[..at], u32::from(c), &path[at + 1..]));
        let mut spelled = vec![
            ("the scheme in capital letters", format!("{}://{authority}{path}", scheme.to_uppercase())),
            ("a dot in the path", format!("{scheme}://{authority}/.{path}")),
            ("two dots in the path", format!("{scheme}://{authority}/x/..{path}")),
        ];
        if authority.bytes().any(|byte| byte.is_ascii_lowercase()) {
            let upper = authority.to_uppercase();
            spelled.push(("the host in capital letters", format!("{scheme}://{upper}{path}")));
        }
        if !address.has_port() {
            let port = address.default_port();
            spelled.push(("its default port", format!("{scheme}://{authority}:{port}{path}")));
        }
        if path == "/" {
            spelled.push(("without its slash", format!("{scheme}://{authority}")));
        }
        if let Some((before, code, after)) = encoded.filter(|(before, ..)| !before.contains('%')) {
            let upper = format!("{scheme}://{authority}{before}%{code:02X}{after}");
            spelled.push(("a letter encoded", upper));
            let small = format!("{scheme}://{authority}{before}%{code:02x}{after}");
            if small != spelled.last().map_or("", |(_, htu)| htu) {
                spelled.push(("a letter encoded in small letters", small));
            }
        }
        shots.each(spelled, |shots, (variant, htu)| shots.with(variant, |proof| proof.claim("htu", htu)))
    })
}
