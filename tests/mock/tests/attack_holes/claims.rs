//! The claims: by whom, for whom, until when, and for what.

use serde_json::Value;

use crate::api::{AUDIENCE, Api, LEEWAY, Refusal, invalid};
use crate::verify::Object;

#[expect(clippy::disallowed_methods, reason = "this API is no part of the crate, and has a clock of its own")]
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

impl Api {
    /// Whose keys are to verify the token: those of the issuer it names, or else the first.
    pub(crate) fn issuer_of(&self, claims: &str) -> usize {
        let text = crate::verify::text(&format!(".{claims}"));
        let claims: Value = serde_json::from_str(text.trim()).unwrap_or_default();
        self.issuers.iter().position(|(issuer, _)| claims["iss"] == issuer.as_str()).unwrap_or(0)
    }

    pub(crate) fn claims(&self, claims: &Object, header: &Object, issuer: usize) -> Result<(), Refusal> {
        let id_token = header.get("typ").is_some_and(|typ| typ == "JWT");
        if id_token && !claims.contains_key("nonce") {
            return Err(invalid("typ"));
        }
        self.issuer(claims, &self.issuers[issuer].0)?;
        self.audience(claims, id_token)?;
        self.time(claims)?;
        let subject = claims.get("sub").is_some_and(Value::is_string);
        if !subject && !self.has("sub-missing") {
            return Err(invalid("sub"));
        }
        let bound = self.binding.is_none() && claims.get("cnf").is_some_and(|cnf| !cnf.is_null());
        if bound && !self.has("cnf-as-bearer") {
            return Err(invalid("cnf"));
        }
        Ok(())
    }

    fn issuer(&self, claims: &Object, ours: &str) -> Result<(), Refusal> {
        let lookalike = |iss: &str| {
            iss.replace("%2E", ".")
                .replace('\u{ff0e}', ".")
                .replace(['\u{200b}', '\0'], "")
                .replace('\u{442}', "t")
        };
        let good = match (claims.get("iss"), self.hole.0) {
            (Some(Value::String(iss)), _) if iss == ours => true,
            (Some(Value::String(iss)), "iss-nearly") => iss.contains(ours) || ours.starts_with(iss.as_str()),
            (Some(Value::String(iss)), "iss-lookalike") => lookalike(iss) == ours,
            (Some(Value::String(_)), _) => false,
            (None, hole) => hole == "iss-missing",
            (Some(Value::Array(list)), "iss-list") => list.iter().any(|iss| iss == ours),
            (Some(_), hole) => hole == "iss-of-wrong-type",
        };
        if good { Ok(()) } else { Err(invalid("iss")) }
    }

    fn audience(&self, claims: &Object, id_token: bool) -> Result<(), Refusal> {
        let one = |aud: &str| match self.hole.0 {
            "aud-nearly" => aud.contains(AUDIENCE),
            // The comparison has its sides exchanged.
            "aud-a-part" => AUDIENCE.starts_with(aud) && !aud.is_empty(),
            "aud-empty" => aud.is_empty() || aud == AUDIENCE,
            _ => aud == AUDIENCE,
        };
        let good = match (claims.get("aud"), self.hole.0) {
            _ if id_token => true,
            (Some(Value::String(aud)), _) => one(aud),
            (Some(Value::Array(_)), "aud-list") => false,
            (Some(Value::Array(list)), "aud-empty") if list.is_empty() => true,
            (Some(Value::Array(list)), _) if list.iter().all(Value::is_string) => {
                list.iter().filter_map(Value::as_str).any(one)
            }
            (None, hole) => hole == "aud-missing",
            (Some(_), hole) => hole == "aud-of-wrong-type",
        };
        if good { Ok(()) } else { Err(invalid("aud")) }
    }

    fn time(&self, claims: &Object) -> Result<(), Refusal> {
        let now = now();
        let seconds = |value: &Value| {
            value.as_f64().filter(|number| number.abs() < 1e15).map(|number| number.floor() as i64)
        };
        let exp = match (claims.get("exp"), self.hole.0) {
            (Some(Value::String(exp)), "time-exp-of-wrong-type") => exp.parse().ok(),
            (Some(exp), "time-exp-fraction") => exp.as_i64(),
            (Some(exp), "time-exp-too-big") if exp.as_f64().is_some_and(|exp| exp >= 1e15) => {
                Some(i64::MAX / 2)
            }
            (Some(exp), _) => seconds(exp),
            (None, "time-exp-missing") => Some(i64::MAX / 2),
            (None, _) => None,
        };
        let exp = exp.ok_or_else(|| invalid("exp"))?;
        let over = match self.hole.0 {
            "time-exp-past" => false,
            "time-exp-now" => now > exp + LEEWAY,
            _ => now >= exp + LEEWAY,
        };
        if over {
            return Err(invalid("exp"));
        }
        let begins = match claims.get("nbf") {
            None => Some(0),
            Some(nbf) => seconds(nbf).filter(|nbf| *nbf >= 0),
        };
        let early = match (begins, self.hole.0) {
            (None, hole) => hole != "time-nbf-of-wrong-type",
            (Some(nbf), hole) => nbf > now + LEEWAY && hole != "time-nbf-future",
        };
        if early {
            return Err(invalid("nbf"));
        }
        self.issued(claims.get("iat").and_then(seconds).filter(|iat| *iat >= 0), now)
    }

    fn issued(&self, iat: Option<i64>, now: i64) -> Result<(), Refusal> {
        let Some(iat) = iat else {
            return if self.has("time-iat-missing") { Ok(()) } else { Err(invalid("iat")) };
        };
        let leeway = if self.has("time-small-skew") { 1 } else { LEEWAY };
        let early = iat > now + leeway && !self.has("time-iat-future");
        let old = self.max_token_age.is_some_and(|age| iat < now - age - LEEWAY) && !self.has("time-too-old");
        if early || old { Err(invalid("iat")) } else { Ok(()) }
    }

    /// The scope `read`.
    pub(crate) fn scoped(&self, claims: &Object) -> Result<(), Refusal> {
        let split = |text: &str| -> Vec<String> {
            let odd = self.has("scope-odd-forms");
            let separator = |c: char| c == ' ' || (odd && (c.is_whitespace() || c == ','));
            text.split(separator).map(str::to_owned).collect()
        };
        let of = |value: &Value| match value {
            Value::String(text) => split(text),
            Value::Array(list) if !self.has("scope-other-forms") => {
                list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        let scopes: Vec<_> =
            ["scope", "scp"].iter().filter_map(|name| claims.get(*name)).flat_map(of).collect();
        let enough = match self.hole.0 {
            "scope-missing" => true,
            "scope-nearly" => scopes.iter().any(|scope| scope.contains("read")),
            _ => scopes.iter().any(|scope| scope == "read"),
        };
        let because = claims.get("sub").map(Value::to_string).unwrap_or_default();
        if enough { Ok(()) } else { Err(Refusal { status: 403, error: "insufficient_scope", because }) }
    }
}
