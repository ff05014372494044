//! The device authorization endpoint (RFC 8628 section 3.1), and the page where a user approves the device in (section
//! 3.3).

use http::header::SET_COOKIE;
use http::{Method, StatusCode};
use serde_json::json;

use super::client_auth::authenticate;
use super::form::Form;
use super::token::{audience, scope};
use super::{Call, browser};
use crate::clients::GrantType;
use crate::encode::percent_encode;
use crate::endpoint::Endpoint;
use crate::page::{self, Consent};
use crate::state::details;
use crate::state::devices::Device;
use crate::state::sessions::{Login, Session};
use crate::state::tokens::Grant;
use crate::wire::response::{MockResponse, OAuthError};

pub(crate) fn authorization(call: Call<'_>) -> MockResponse {
    begin(call).unwrap_or_else(MockResponse::from)
}

fn begin(call: Call<'_>) -> Result<MockResponse, OAuthError> {
    let form = Form::read(call.request)?;
    let client = authenticate(call, &form)?;
    if !client.grants.contains(&GrantType::DeviceCode) {
        let why = "this client may not use urn:ietf:params:oauth:grant-type:device_code";
        return Err(OAuthError::bad_request("unauthorized_client", why));
    }
    let details = form.get("authorization_details");
    let details = details.map(|text| details::read(call.shared, &client, text)).transpose()?;
    let grant = Grant {
        client: client.id.clone(),
        scope: scope(&client, &form)?,
        audience: audience(call, &form)?,
        details: details.unwrap_or_default(),
        ..Grant::default()
    };
    let policy = &call.shared.policy;
    let (now, lifetime) = (call.shared.clock.now_unix(), policy.device_lifetime);
    let (device_code, user_code) = call.issuer.devices.begin(grant, now, lifetime, policy.device_interval);
    let page = call.url(Endpoint::Device);
    let body = json!({
        "device_code": device_code,
        "verification_uri_complete": format!("{page}?user_code={}", percent_encode(&user_code)),
        "user_code": user_code,
        "verification_uri": page,
        "expires_in": policy.device_lifetime,
        "interval": policy.device_interval,
    });
    Ok(MockResponse::json(StatusCode::OK, &body).never_stored())
}

/// What is said of a code with which no device waits.
const GONE: &str = "This code is unknown, used or expired.";

/// The page for the user.
pub(crate) fn verification(call: Call<'_>) -> MockResponse {
    let posted = call.request.method() == Method::POST;
    if posted && let Some(refusal) = browser::refuse_foreign_page(call) {
        return refusal;
    }
    let form = if posted {
        Form::read(call.request)
    } else {
        Form::parse(call.request.uri().query().unwrap_or_default().as_bytes())
    };
    match form {
        Ok(form) => show(call, &form, posted),
        Err(error) => page::error(StatusCode::BAD_REQUEST, error.code(), error.description()),
    }
}

/// First the code, then who it is for: the user is not asked for a password before it is clear what for (RFC 8628
/// section 5.4).
fn show(call: Call<'_>, form: &Form, posted: bool) -> MockResponse {
    let now = call.shared.clock.now_unix();
    let Some(user_code) = form.get("user_code") else { return page::ask_code("", None) };
    let Some(device) = call.issuer.devices.waiting(user_code, now) else {
        return page::ask_code(user_code, Some(GONE));
    };
    let session = call.issuer.sessions.of(call.request, &call.cookie().name);
    let consent = |session: Option<&Session>, problem| {
        let consent = Consent {
            client: &device.grant.client,
            scope: &device.grant.scope,
            details: &device.grant.details,
            user: session.map(|session| session.user.as_str()),
        };
        page::device(&consent, &device.user_code, problem)
    };
    match (form.get("decision").filter(|_| posted), form.get("username"), session) {
        (Some("allow"), None, Some(session)) => {
            if allow(call, &device, &session) {
                page::device_done(true)
            } else {
                consent(None, None)
            }
        }
        (Some("allow"), name, _) => {
            let password = form.get("password").unwrap_or_default();
            let user = call.shared.user(name.unwrap_or_default(), password);
            let Some(user) = user else { return consent(None, Some("Wrong name or password.")) };
            let acr = call.shared.policy.acr_values.first().map_or("", String::as_str);
            let session = Session { user: user.name.clone(), login: Login::new(now, acr) };
            if !allow(call, &device, &session) {
                // Another browser was faster.
                return page::ask_code(user_code, Some(GONE));
            }
            let cookie = call.issuer.sessions.begin(session, &call.cookie());
            page::device_done(true).with(SET_COOKIE, &cookie)
        }
        (Some("deny"), ..) => match call.issuer.devices.decide(user_code, now, None) {
            true => page::device_done(false),
            false => page::ask_code(user_code, Some(GONE)),
        },
        (Some("other"), ..) => consent(None, None),
        (_, _, session) => consent(session.as_ref(), None),
    }
}

/// Lets the device in, as this user; `false` if the user is gone or the device waits no more.
fn allow(call: Call<'_>, device: &Device, session: &Session) -> bool {
    let Some(user) = call.shared.user_named(&session.user) else { return false };
    let grant = Grant {
        subject: user.subject.clone(),
        user: Some(user.name.clone()),
        claims: user.claims.clone(),
        login: Some(session.login.clone()),
        ..device.grant.clone()
    };
    call.issuer.devices.decide(&device.user_code, call.shared.clock.now_unix(), Some(grant))
}

/// Decides without a page: yes as `user`, or no.
pub(crate) fn decide(call: Call<'_>, user_code: &str, user: Option<&str>) -> Result<(), String> {
    let now = call.shared.clock.now_unix();
    let device = call.issuer.devices.waiting(user_code, now);
    let device = device.ok_or_else(|| format!("no device waits with the user code {user_code:?}"))?;
    let Some(user) = user else {
        call.issuer.devices.decide(user_code, now, None);
        return Ok(());
    };
    let acr = call.shared.policy.acr_values.first().map_or("", String::as_str);
    let session = Session { user: user.to_owned(), login: Login::new(now, acr) };
    if allow(call, &device, &session) { Ok(()) } else { Err(format!("there is no user {user:?}")) }
}
