//! What the endpoint says of a token, by row.

use serde_json::{Value, json};

use crate::attack::AttackContext;
use crate::encode::{hex, random};
use crate::mint::TokenBuilder;
use crate::rules::faults::Fault;

const JSON: &str = "application/json";
const SIGNED: &str = "application/token-introspection+jwt";
const OTHER: &str = "https://attacker.example";
const HOUR: i64 = 3600;
/// Valid JSON of this length is nothing that a server says of one token.
const HUGE: usize = 20 * 1024 * 1024;

/// Makes responses for a target that is set up so.
#[derive(Clone)]
pub(super) struct Speaker {
    pub(super) context: AttackContext,
    /// The further claims that the target wants.
    pub(super) claims: Vec<(String, Value)>,
    /// Whom signed responses are for, where the target asks for them.
    pub(super) signed_for: Option<String>,
}

type Variants = Vec<(String, Fault)>;

impl Speaker {
    /// What is said of a good token.
    pub(super) fn good(&self) -> Value {
        let now = self.context.now();
        let mut said = json!({
            "active": true, "iss": self.context.issuer(), "aud": self.context.the_audience(), "sub": "alice",
            "client_id": "svc", "token_type": "Bearer", "iat": now, "exp": now + HOUR,
            "jti": hex(&random::<8>()),
        });
        if let Some(scope) = self.context.wanted_scope() {
            said["scope"] = json!(scope);
        }
        for (name, value) in &self.claims {
            said[name] = value.clone();
        }
        said
    }

    /// As a response of the endpoint, signed where the target wants that.
    pub(super) fn say(&self, said: &Value) -> Fault {
        self.say_text(&said.to_string())
    }

    fn say_text(&self, said: &str) -> Fault {
        match &self.signed_for {
            Some(_) => Fault::body(200, SIGNED, self.jwt(said).build()),
            None => Fault::body(200, JSON, said.to_owned()),
        }
    }

    /// A status with what is said of a good token.
    fn with_status(&self, status: u16) -> Fault {
        let (content_type, body) = match &self.signed_for {
            Some(_) => (SIGNED, self.jwt(&self.good().to_string()).build()),
            None => (JSON, self.good().to_string()),
        };
        Fault::body(status, content_type, body)
    }

    pub(super) fn inactive(&self) -> Fault {
        self.say(&json!({"active": false}))
    }

    /// A signed response, unbuilt.
    pub(super) fn jwt(&self, said: &str) -> TokenBuilder {
        let audience = self.signed_for.as_deref().unwrap_or("orders-api");
        let outer =
            json!({"iss": self.context.issuer(), "aud": audience, "iat": self.context.now()}).to_string();
        let outer = outer.trim_end_matches('}');
        let payload = format!("{outer},\"token_introspection\":{said}}}");
        self.context.good().typ("token-introspection+jwt").raw_payload(payload)
    }

    /// The responses of a row, each with what is odd about it; none for a row that takes more than a response.
    pub(super) fn variants(&self, id: &str) -> Option<Variants> {
        let now = self.context.now();
        let one = |fault: Fault| Some(vec![(String::new(), fault)]);
        let with = |name: &str, value: Value| {
            let mut said = self.good();
            said[name] = value;
            self.say(&said)
        };
        let each = |name: &str, values: Vec<Value>| {
            Some(values.into_iter().map(|value| (format!("{name}: {value}"), with(name, value))).collect())
        };
        let without = |name: &str| {
            let mut said = self.good();
            if let Some(members) = said.as_object_mut() {
                members.remove(name);
            }
            said
        };
        let text = self.good().to_string();
        let beyond = i64::from(u16::MAX);
        match id {
            "opaque-inactive" => one(with("active", json!(false))),
            "opaque-invented" => one(self.inactive()),
            "opaque-active-true-as-text" => each("active", vec![json!("true"), json!("yes")]),
            "opaque-active-false-as-text" => each("active", vec![json!("false"), json!("")]),
            "opaque-active-number" => each("active", vec![json!(1), json!(1.0)]),
            "opaque-active-composed" => each("active", vec![json!([true]), json!({"value": true})]),
            "opaque-active-null" => each("active", vec![Value::Null]),
            "opaque-active-missing" => one(self.say(&without("active"))),
            "opaque-active-in-other-case" => {
                let said = |name: &str| {
                    let mut said = without("active");
                    said[name] = json!(true);
                    (name.to_owned(), self.say(&said))
                };
                Some(vec![said("Active"), said("ACTIVE")])
            }
            "opaque-active-inside" => Some(vec![
                ("in data".to_owned(), self.say(&json!({"data": self.good()}))),
                (
                    "unsigned token_introspection".to_owned(),
                    self.say(&json!({"token_introspection": self.good()})),
                ),
            ]),
            "opaque-active-twice" => Some(vec![
                ("false, then true".to_owned(), self.say_text(&text.replacen('{', "{\"active\":false,", 1))),
                (
                    "true, then false".to_owned(),
                    self.say_text(&format!("{},\"active\":false}}", text.trim_end_matches('}'))),
                ),
            ]),
            "opaque-expired" => one(with("exp", json!(now - beyond))),
            "opaque-exp-of-wrong-type" => each("exp", vec![json!("soon"), json!([now + HOUR])]),
            "opaque-not-yet-valid" => one(with("nbf", json!(now + beyond))),
            "opaque-issued-in-the-future" => one(with("iat", json!(now + beyond))),
            "opaque-other-audience" => {
                let other = self.context.other_audience();
                each("aud", vec![json!(other), json!([other]), json!([])])
            }
            "opaque-audience-nearly" => {
                let ours = self.context.the_audience();
                let nearly = [
                    format!("{ours}2"),
                    format!("x{ours}"),
                    ours.to_uppercase(),
                    format!("{ours} another-api"),
                ];
                each("aud", others(ours, nearly))
            }
            "opaque-audience-of-wrong-type" => {
                let ours = self.context.the_audience();
                each("aud", vec![json!({ours: true}), json!([[ours]])])
            }
            "opaque-no-audience" => one(self.say(&without("aud"))),
            "opaque-audience-list" => each("aud", vec![json!(["another-api", self.context.the_audience()])]),
            "opaque-other-issuer" => one(with("iss", json!(OTHER))),
            "opaque-scope-missing" => {
                let other = format!("not-{}", self.context.wanted_scope()?);
                Some(vec![
                    ("none".to_owned(), self.say(&without("scope"))),
                    ("another".to_owned(), with("scope", json!(other))),
                ])
            }
            "opaque-scope-nearly" => {
                let wanted = self.context.wanted_scope()?;
                let nearly = [
                    format!("{wanted}only"),
                    format!("x{wanted}"),
                    wanted.to_uppercase(),
                    format!("{wanted},other"),
                ];
                each("scope", others(wanted, nearly))
            }
            "opaque-scope-of-wrong-type" => {
                let wanted = self.context.wanted_scope()?;
                each("scope", vec![json!({wanted: true}), json!(7), json!(true)])
            }
            "opaque-scope-list" => each("scope", vec![json!(["other", self.context.wanted_scope()?])]),
            "opaque-other-token-type" => each("token_type", vec![json!("mac"), json!("N_A")]),
            "opaque-bound-to-a-key" => {
                let mut said = self.good();
                said["cnf"] = json!({"jkt": self.context.foreign().thumbprint()});
                let both = {
                    let mut both = said.clone();
                    both["token_type"] = json!("DPoP");
                    both
                };
                Some(vec![
                    ("cnf.jkt".to_owned(), self.say(&said)),
                    ("and the type DPoP".to_owned(), self.say(&both)),
                ])
            }
            "opaque-bound-to-a-certificate" => {
                one(with("cnf", json!({"x5t#S256": self.context.foreign().thumbprint()})))
            }
            "opaque-unknown-members" => one(with("ext", json!({"tenant": [1, {"a": null}], "ü": "\u{0}"}))),
            "opaque-html" => one(Fault::html_ok()),
            "opaque-empty" => Some(vec![
                ("no body".to_owned(), Fault::body(200, JSON, "")),
                ("{}".to_owned(), self.say_text("{}")),
            ]),
            "opaque-cut-json" => one(Fault::body(200, JSON, text[..text.len() - 1].to_owned())),
            "opaque-two-documents" => one(Fault::body(200, JSON, format!("{text}{{\"active\":false}}"))),
            "opaque-list" => one(self.say_text(&format!("[{text}]"))),
            "opaque-huge" => {
                let mut said = self.good();
                said["padding"] = json!("x".repeat(HUGE));
                one(self.say(&said))
            }
            "opaque-status-500" => one(self.with_status(500)),
            "opaque-status-401" => one(self.with_status(401)),
            "opaque-status-created" => {
                Some([201, 203].map(|status| (status.to_string(), self.with_status(status))).into())
            }
            "opaque-reset" => one(Fault::reset()),
            "opaque-silent" => one(Fault::hang()),
            id => self.signed_variants(id),
        }
    }

    fn signed_variants(&self, id: &str) -> Option<Variants> {
        let one = |fault: Fault| Some(vec![(String::new(), fault)]);
        let jwt = |token: TokenBuilder| one(Fault::body(200, SIGNED, token.build()));
        let text = self.good().to_string();
        let good = self.jwt(&text);
        let audience = self.signed_for.as_deref().unwrap_or("orders-api");
        let outer = |issuer: &str, audience: &str| {
            let said = self.good();
            let now = self.context.now();
            let outer = json!({"iss": issuer, "aud": audience, "iat": now, "token_introspection": said});
            good.clone().raw_payload(outer.to_string())
        };
        match id {
            "opaque-signed-audience-list" => {
                let said = self.good();
                let (issuer, now) = (self.context.issuer(), self.context.now());
                let outer = json!({"iss": issuer, "aud": ["another-api", audience], "iat": now, "token_introspection": said});
                jwt(good.raw_payload(outer.to_string()))
            }
            "opaque-signed-plain" => Some(vec![
                ("as JSON".to_owned(), Fault::body(200, JSON, text.clone())),
                ("of the signed type".to_owned(), Fault::body(200, SIGNED, text)),
            ]),
            "opaque-signed-by-another" => {
                let current = self.context.keys().current();
                let foreign = self.context.keys().foreign(current.alg()).with_kid(current.kid());
                jwt(good.signed_with(&foreign))
            }
            "opaque-signed-not" => jwt(good.unsigned()),
            "opaque-signed-and-changed" => {
                let signature = good.sign(good.signing_input().as_bytes());
                jwt(self.jwt(&format!("{text} ")).signature(signature))
            }
            "opaque-signed-other-type" => Some(
                ["JWT", "at+jwt"]
                    .map(|typ| (typ.to_owned(), Fault::body(200, SIGNED, good.clone().typ(typ).build())))
                    .into(),
            ),
            "opaque-signed-other-issuer" => jwt(outer(OTHER, audience)),
            "opaque-signed-other-audience" => jwt(outer(self.context.issuer(), &format!("not-{audience}"))),
            "opaque-signed-at-the-top" => {
                let mut top = self.good();
                top["aud"] = json!([audience, self.context.the_audience()]);
                jwt(good.raw_payload(top.to_string()))
            }
            _ => None,
        }
    }
}

/// A token that the server does not know.
pub(super) fn invented() -> String {
    format!("opaque_{}", hex(&random::<16>()))
}

/// Those that are another value than the real one: upper case may be how it is written.
fn others(real: &str, nearly: [String; 4]) -> Vec<Value> {
    nearly.into_iter().filter(|value| value != real).map(Value::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::MockServer;

    #[test]
    fn what_is_nearly_a_name_in_capitals_is_another_name() {
        let server = MockServer::builder().in_process();
        for audience in ["ORDERS", "payments-api", "another-api", "7"] {
            let context = AttackContext::new(&server).audience(audience).scope("READ");
            let speaker = Speaker { context, claims: Vec::new(), signed_for: None };
            for (row, real) in [
                ("opaque-audience-nearly", format!("aud: {}", json!(audience))),
                ("opaque-other-audience", format!("aud: {}", json!(audience))),
                ("opaque-scope-nearly", "scope: \"READ\"".to_owned()),
            ] {
                let variants = speaker.variants(row).unwrap();
                assert!(variants.len() > 2, "{row}");
                assert!(variants.iter().all(|(name, _)| *name != real), "{row}: {real}");
            }
        }
    }
}
