//! How the target is set up, found out by asking: what it wants of a good token, and how much it lets pass.

use std::time::Duration;

use tokio::time::Instant;

use super::report::Traits;
use super::target::{NoResponse, Outcome, TargetResponse};
use super::{Suite, SuiteError};
use crate::attack::{ALGORITHMS, AttackContext, AttackRequest};
use crate::encode::from_b64url;
use crate::endpoint::Endpoint;
use crate::keys::Alg;
use crate::server::MockServer;

use super::target::Target;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(250);
/// Leeways that libraries have by default or in their documentation, in seconds.
const LEEWAYS: [u32; 10] = [0, 5, 10, 15, 30, 60, 90, 120, 180, 300];

/// Shows good tokens until one is accepted; the context then makes tokens of the `typ` that was, and `target` is where a
/// redirect to https led, if there was one.
pub(super) async fn wait(
    suite: &Suite,
    target: &mut Target,
    server: &MockServer,
    mut context: AttackContext,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<AttackContext, SuiteError> {
    let deadline = Instant::now() + suite.wait;
    loop {
        let as_access_token = target.show(&context.good().build()).await;
        if let Ok(response) = &as_access_token {
            if response.accepted() {
                return Ok(context);
            }
            if let Some(moved) = target.moved_to_https(response, suite.remote).await {
                let moved = moved?;
                say(&format!("{} at {}: going on at {}", response.status, target.url(), moved.url()));
                *target = moved;
                continue;
            }
            let plain = target.show(&context.good().typ("JWT").build()).await;
            if plain.is_ok_and(|response| response.accepted()) {
                context = context.typ("JWT");
                return Ok(context);
            }
        }
        if Instant::now() >= deadline {
            return Err(SuiteError::NeverAccepted(why_never(&as_access_token, server, suite.wait)));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The target's traits; it lets good tokens of `context` in. The algorithms in its settings, if they were named, are not
/// asked for.
///
/// # Errors
/// When nothing comes back any more, for a good token either.
pub(super) async fn traits(
    target: &Target,
    context: &AttackContext,
    allowed: &[Alg],
) -> Result<Traits, NoResponse> {
    let accepts = async |token: String| match target.show(&token).await {
        Ok(response) => Ok(response.accepted()),
        // It may have closed this connection alone.
        Err(_) => target.show(&context.good().build()).await.map(|_| false),
    };
    let mut algorithms: Vec<_> = allowed.iter().map(|alg| alg.as_str()).collect();
    for alg in ALGORITHMS.into_iter().filter(|_| allowed.is_empty()) {
        if accepts(with_low_s(context, alg)).await? {
            algorithms.push(alg.as_str());
        }
    }
    let current = context.keys().current().alg().as_str();
    if !algorithms.contains(&current) {
        algorithms.push(current);
    }
    let typ = context.good().header_members()["typ"].as_str().unwrap_or_default().to_owned();
    let only_access_tokens = typ == "at+jwt" && !accepts(context.good().typ("JWT").build()).await?;

    let mut leeway_seconds = 300;
    for leeway in LEEWAYS {
        // One second beyond, so that the second in which this is sent does not matter.
        if !accepts(context.good().expires_in(-i64::from(leeway) - 1).build()).await? {
            leeway_seconds = leeway;
            break;
        }
    }
    let within = context.good().expires_in(3 - i64::from(leeway_seconds)).build();
    let leeway_is_exact = accepts(within).await?;
    Ok(Traits { algorithms, typ, only_access_tokens, leeway_seconds, leeway_is_exact })
}

/// A good token of this algorithm. Of the two signatures that ECDSA has for each, the one that a target which refuses its
/// twin accepts: such a target is asked about in a row of its own.
fn with_low_s(context: &AttackContext, alg: Alg) -> String {
    let mut token = context.good().alg(alg).build();
    for _ in 0..64 {
        let signature = token.rsplit('.').next().and_then(from_b64url).unwrap_or_default();
        // The upper half of 64 bytes is s, whose bound is near 2^255 for both curves of that size.
        if signature.len() != 64 || !matches!(alg, Alg::Es256 | Alg::Es256k) || signature[32] < 0x7f {
            break;
        }
        token = context.good().alg(alg).build();
    }
    token
}

/// The response to a path beside the target's that no API knows, without a token.
pub(super) async fn beside(target: &Target) -> Option<TargetResponse> {
    let unknown = AttackRequest::plain("").at(|path| {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        format!("{parent}/{}", crate::encode::hex(&crate::encode::random::<8>()))
    });
    target.send(&unknown, target.patience()).await.ok()
}

/// What the user who set the target up can do about it.
pub(super) fn why_never(last: &Outcome, server: &MockServer, wait: Duration) -> String {
    let journal = server.journal();
    let keys = journal.count(Endpoint::Jwks);
    let metadata = journal.count(Endpoint::OpenidMetadata) + journal.count(Endpoint::OauthMetadata);
    let said = match last {
        Ok(response) => {
            let challenge = response.headers.iter().find(|(name, _)| name == "www-authenticate");
            let body = printable(&response.body);
            let challenge =
                challenge.map(|(_, value)| format!(", WWW-Authenticate: {value}")).unwrap_or_default();
            format!("it responded {}{challenge}\n  {}", response.status, body.trim())
        }
        Err(reason) => format!("the connection: {}", reason.as_str()),
    };
    let hint = match (last, keys, metadata) {
        (Ok(response), ..) if response.location().is_some() => {
            "It sends requests on to the address below: attack that one, if it is the API."
        }
        (Err(NoResponse::Throttled), ..) => "It asks for pauses (429) without an end: see --rate.",
        (Err(_), ..) => "Start the target first, or give it longer with --wait.",
        (Ok(response), ..) if response.status == 404 => {
            "The path of --target does not exist there, or not for GET."
        }
        (Ok(response), ..) if response.status == 403 => {
            "It knows the token, and wants more of it: see --scope and --claim."
        }
        (Ok(_), 0, 0) => {
            "It asked for no metadata and no keys, for one of these reasons:\n  \
             - it does not trust this issuer: set its issuer to the one above;\n  \
             - it refused the token before it looked for a key: compare the audience;\n  \
             - it still has the keys of an earlier run: restart it."
        }
        (Ok(_), 0, _) => {
            "It read the metadata and asked for no keys, for one of these reasons:\n  \
             - it does not take the `jwks_uri` from there;\n  \
             - it refused the token before it looked for a key: compare the audience;\n  \
             - it still has the keys of an earlier run: restart it."
        }
        (Ok(_), ..) => {
            "It fetched the keys, and refuses all the same: compare issuer, audience and algorithm."
        }
    };
    let location = last.as_ref().ok().and_then(TargetResponse::location);
    let location = location.map(|to| format!("\n  {}", printable(to))).unwrap_or_default();
    format!("After {} s {said}\n  {hint}{location}", wait.as_secs())
}

/// The beginning of what a target said.
fn printable(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
