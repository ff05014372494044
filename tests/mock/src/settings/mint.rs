//! A token, as it is ordered: every way of [`TokenBuilder`] to make a good or a bad one.

use serde_json::Value;

use super::client::{algorithms, signing_algorithms};
use super::reader::Fields;
use crate::encode::from_b64url;
use crate::keys::Keys;
use crate::mint::TokenBuilder;

/// Reads how a token differs from the good one in `token`, whose issuer has `keys`.
///
/// The order is fixed, whatever order the fields come in: who signs, then the claims, then the header, then the raw
/// parts.
pub(crate) fn read_token(fields: &Fields<'_>, keys: &Keys, mut token: TokenBuilder) -> TokenBuilder {
    token = signer(fields, keys, token);
    for (name, set) in [
        ("subject", TokenBuilder::subject as fn(TokenBuilder, String) -> TokenBuilder),
        ("client_id", TokenBuilder::client_id),
        ("issuer", TokenBuilder::issuer),
    ] {
        if let Some(text) = fields.text(name) {
            token = set(token, text);
        }
    }
    if let Some(audience) = fields.value("audience") {
        token = token.claim("aud", audience);
    }
    if let Some(scopes) = fields.scopes("scope") {
        token = token.scope(scopes.join(" "));
    }
    for (name, set) in [
        ("issued_at", TokenBuilder::issued_at as fn(TokenBuilder, i64) -> TokenBuilder),
        ("expires_at", TokenBuilder::expires_at),
        ("expires_in", TokenBuilder::expires_in),
        ("not_before", TokenBuilder::not_before),
    ] {
        if let Some(number) = fields.integer(name) {
            token = set(token, number);
        }
    }
    for (name, value) in fields.object("claims").unwrap_or_default() {
        token = token.claim(name, value);
    }
    for name in fields.texts("without_claims").unwrap_or_default() {
        token = token.without(&name);
    }
    if let Some(typ) = fields.text("typ") {
        token = token.typ(&typ);
    }
    if let Some(kid) = fields.text("kid") {
        token = token.kid(&kid);
    }
    for (name, value) in fields.object("header").unwrap_or_default() {
        token = token.header(name, value);
    }
    for name in fields.texts("without_header").unwrap_or_default() {
        token = token.without_header(&name);
    }
    if let Some(json) = fields.text("raw_header") {
        token = token.raw_header(json);
    }
    if let Some(json) = fields.text("raw_payload") {
        token = token.raw_payload(json);
    }
    if let Some(text) = fields.text("signature") {
        match from_b64url(&text) {
            Some(bytes) => token = token.signature(bytes),
            None => fields.mistake("signature", "base64url without padding is needed"),
        }
    }
    token
}

fn signer(fields: &Fields<'_>, keys: &Keys, token: TokenBuilder) -> TokenBuilder {
    let chosen: Vec<_> = ["alg", "key", "foreign_key", "hmac", "unsigned"]
        .into_iter()
        .filter(|name| fields.has(name))
        .collect();
    let alg = fields.choice("alg", &signing_algorithms());
    let key = fields.text("key");
    let foreign = fields.choice("foreign_key", &signing_algorithms());
    let hmac = fields.object("hmac");
    let unsigned = fields.is_set("unsigned");
    if chosen.len() > 1 {
        fields.mistake(chosen[1], format!("only one of {} can say who signs", chosen.join(", ")));
        return token;
    }
    if let Some(alg) = alg {
        return token.alg(alg);
    }
    if let Some(kid) = key {
        return match keys.key(&kid) {
            Some(key) => token.signed_with(&key),
            None => {
                fields.mistake(
                    "key",
                    format!("no such key; those of this issuer are: {}", keys.kids().join(", ")),
                );
                token
            }
        };
    }
    if let Some(alg) = foreign {
        return token.signed_with(&keys.foreign(alg));
    }
    if let Some(hmac) = hmac {
        let alg = hmac.get("alg").map_or(Some("HS256"), Value::as_str);
        let alg = alg.and_then(|name| algorithms().into_iter().find(|(known, _)| *known == name));
        return match (alg, hmac.get("secret").and_then(Value::as_str)) {
            (Some((_, alg)), Some(secret)) => token.signed_with_secret(alg, secret),
            _ => {
                fields.mistake("hmac", "an object with `secret` and, unless it is HS256, `alg` is needed");
                token
            }
        };
    }
    if unsigned { token.unsigned() } else { token }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::keys::Alg;
    use crate::settings::reader::read;

    fn mint(order: Value) -> Result<TokenBuilder, String> {
        let keys = Keys::new(&[Alg::Es256]);
        let good = TokenBuilder::new(&keys, "https://as", "api", 1_000);
        read(order, |fields| read_token(fields, &keys, good)).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn an_order_changes_what_it_names_and_nothing_else() {
        let token = mint(json!({
            "subject": "alice", "scope": ["read", "write"], "audience": ["a", "b"], "expires_in": -5,
            "claims": {"roles": ["admin"]}, "without_claims": ["jti"], "typ": "JWT", "header": {"crit": ["x"]},
            "without_header": ["kid"], "foreign_key": "EdDSA",
        }))
        .unwrap();
        assert_eq!(
            Value::Object(token.claims().clone()),
            json!({"iss": "https://as", "aud": ["a", "b"], "sub": "alice", "client_id": "svc", "iat": 1000, "exp": 995,
                   "scope": "read write", "roles": ["admin"]})
        );
        assert_eq!(
            Value::Object(token.header_members().clone()),
            json!({"typ": "JWT", "alg": "EdDSA", "crit": ["x"]})
        );
        assert!(mint(json!({"unsigned": true})).unwrap().build().ends_with('.'));
        assert!(mint(json!({"signature": ""})).unwrap().build().ends_with('.'));
        let raw = mint(json!({"raw_payload": "[1]", "raw_header": "{}"})).unwrap().build();
        assert!(raw.starts_with("e30.WzFd."), "{raw}");
        let hmac = mint(json!({"hmac": {"secret": "k"}})).unwrap();
        assert_eq!(hmac.header_members()["alg"], "HS256");
        assert_eq!(mint(json!({"alg": "PS256"})).unwrap().header_members()["alg"], "PS256");
    }

    #[test]
    fn two_signers_and_bad_values_are_mistakes() {
        let reported = mint(json!({"unsigned": true, "alg": "ES256"})).unwrap_err();
        assert_eq!(reported, "unsigned: only one of alg, unsigned can say who signs");
        let reported = mint(json!({"key": "unknown", "signature": "!", "exp": 1})).unwrap_err();
        assert_eq!(reported.lines().count(), 3, "{reported}");
        assert!(
            mint(json!({"hmac": {}})).is_err() && mint(json!({"hmac": {"secret": "x", "alg": "y"}})).is_err()
        );
    }
}
