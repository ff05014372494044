//! The keys of one issuer, named by `?issuer=`.

use http::StatusCode;
use serde_json::{Value, json};

use super::routes::{Order, Refusal, Reply, done, ok};
use crate::keys::{Keys, TestKey};
use crate::settings::signing_algorithms;

pub(super) fn show(keys: &Keys) -> Value {
    let set: Value = serde_json::from_str(&keys.jwks_json()).unwrap_or_default();
    let signer = keys.current();
    json!({"signs": signer.kid(), "alg": signer.alg().as_str(), "jwks": set})
}

pub(super) fn list(order: &Order<'_>) -> Reply {
    ok(show(&order.issuer()?.keys))
}

/// What a request for another key wants.
enum Wanted {
    Raw(Value),
    Key(TestKey),
    Nothing,
}

pub(super) fn add(order: &Order<'_>) -> Reply {
    let keys = &order.issuer()?.keys;
    let (wanted, publish, sign) = order.read(|fields| {
        let alg = fields.choice("alg", &signing_algorithms());
        let kid = fields.text("kid");
        let raw = fields.value("jwk");
        let weak = fields.is_set("weak");
        let (publish, sign) = (fields.flag("publish").unwrap_or(true), fields.is_set("sign"));
        let wanted = match (raw, alg) {
            (Some(_), _) if sign || weak || alg.is_some() || kid.is_some() => {
                fields.mistake(
                    "jwk",
                    "it is published as it is, and nothing can sign with it; send no other field",
                );
                Wanted::Nothing
            }
            (Some(raw), _) => Wanted::Raw(raw),
            (None, None) if weak => Wanted::Key(TestKey::rsa_1024()),
            (None, Some(_)) if weak => {
                fields.mistake("weak", "a weak key is for RS256; leave `alg` out");
                Wanted::Nothing
            }
            (None, Some(alg)) => Wanted::Key(TestKey::generate(alg)),
            (None, None) => {
                fields.mistake("", "`alg` (for a new key), `weak` or `jwk` (any JSON) is needed");
                Wanted::Nothing
            }
        };
        let named = match (wanted, kid) {
            (Wanted::Key(key), Some(kid)) => Wanted::Key(key.with_kid(&kid)),
            (other, _) => other,
        };
        (named, publish, sign)
    })?;
    match wanted {
        Wanted::Raw(jwk) => keys.add_raw(jwk),
        Wanted::Key(key) => {
            if publish {
                keys.add(&key);
            }
            if sign {
                keys.sign_with(&key);
            }
            return Ok((StatusCode::CREATED, json!({"kid": key.kid(), "jwk": key.public_jwk()})));
        }
        Wanted::Nothing => {}
    }
    Ok((StatusCode::CREATED, json!({})))
}

pub(super) fn clear(order: &Order<'_>) -> Reply {
    order.issuer()?.keys.clear();
    done()
}

pub(super) fn withdraw(order: &Order<'_>) -> Reply {
    let keys = &order.issuer()?.keys;
    if !keys.kids().contains(&order.name) {
        let known = keys.kids().join(", ");
        return Err(Refusal::NoSuch(format!("no key {:?} is published; there are: {known}", order.name)));
    }
    keys.withdraw(&order.name);
    done()
}

pub(super) fn rotate(order: &Order<'_>) -> Reply {
    let keys = &order.issuer()?.keys;
    match order.read(|fields| fields.is_set("abruptly"))? {
        true => keys.rotate_abruptly(),
        false => keys.rotate(),
    }
    list(order)
}

pub(super) fn retire(order: &Order<'_>) -> Reply {
    order.read(|_| ())?;
    order.issuer()?.keys.retire();
    list(order)
}

pub(super) fn max_age(order: &Order<'_>) -> Reply {
    let age = order.read(|fields| {
        let there = fields.has("seconds");
        let age = fields.seconds("seconds");
        if !there {
            fields.mistake("seconds", "missing: for how long the key set may be kept");
        }
        age.unwrap_or_default()
    })?;
    order.issuer()?.keys.set_max_age(age);
    done()
}
