//! Which client to be at an issuer, in the protocol's order.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use url::{Host, Url};

use super::registrations::Registrations;
use crate::authenticate::ClientAuth;
use crate::discover::{Endpoint, Found, Metadata};
use crate::error::{Error, Kind, Problem, printable};
use crate::manage::register::{ClientMetadata, Registrar, Registration};
use crate::transport::{HttpClient, Limits, is_loopback};

type Hook = Box<dyn Fn(&str, &Registration) + Send + Sync>;

/// Who this client may be, at which issuer.
#[derive(Default)]
pub(super) struct Identities {
    /// By hand, each with the issuer that it is known to.
    pub(super) registered: Vec<(String, ClientAuth)>,
    /// A URL that servers read the client's metadata at.
    pub(super) document: Option<ClientAuth>,
    /// What it says of itself where it registers.
    pub(super) metadata: Option<ClientMetadata>,
    pub(super) kept: Mutex<Registrations>,
    pub(super) on_registration: Option<Hook>,
    pub(super) on_forgotten: Option<Hook>,
}

/// The client to be at one issuer.
pub(super) struct Identity {
    pub(super) auth: ClientAuth,
    pub(super) origin: Origin,
}

/// How it came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// By hand, or by its document.
    Given,
    /// It registered itself earlier, so that the server may have forgotten it by now.
    RegisteredEarlier,
    /// It registered itself just now.
    RegisteredNow,
}

/// What a registration is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purpose<'a> {
    pub(super) grant_type: &'a str,
    /// Where the browser comes back to, where a person logs in.
    pub(super) redirect_uri: Option<&'a str>,
}

impl Purpose<'_> {
    fn has_person(&self) -> bool {
        self.redirect_uri.is_some()
    }
}

impl Identities {
    pub(super) fn kept(&self) -> MutexGuard<'_, Registrations> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client at the server that was found, registered now if need be.
    pub(super) async fn at(
        &self,
        found: &Found,
        purpose: Purpose<'_>,
        http: &HttpClient,
        limits: &Limits,
        now: Duration,
    ) -> Result<Identity, Error> {
        let (server, issuer) = (&found.server, found.server.issuer.as_str());
        let fixed = |auth: &ClientAuth| Identity { auth: auth.clone(), origin: Origin::Given };
        if let Some((_, auth)) = self.registered.iter().find(|(known, _)| known == issuer) {
            return Ok(fixed(auth));
        }
        if let Some(auth) = self.document.as_ref().filter(|auth| reads_documents(server, auth)) {
            return Ok(fixed(auth));
        }
        let Some(metadata) = &self.metadata else { return Err(unknown_at(issuer)) };
        let wanted = completed(metadata, server, purpose)?;
        let by =
            |registration: &Registration| registration.auth_by(wanted.token_endpoint_auth_method.as_deref());
        let kept = self.kept().get(issuer).cloned();
        let is_usable = |kept: &Registration| {
            let has_ended = kept.client_secret_expires_at().is_some_and(|end| end <= now);
            !has_ended && purpose.redirect_uri.is_none_or(|uri| comes_back_to(kept, uri))
        };
        if let Some(kept) = kept.filter(is_usable) {
            return Ok(Identity { auth: by(&kept)?, origin: Origin::RegisteredEarlier });
        }
        if server.endpoint(Endpoint::Registration).is_none() {
            return Err(unknown_at(issuer));
        }
        let registrar = Registrar::from_metadata(http.clone(), server)?.limits(limits.clone());
        let registration = registrar.register(&wanted).await?;
        // Kept before anything else can fail: the client exists at the server from now on.
        self.kept().insert(issuer, registration.clone());
        if let Some(hook) = &self.on_registration {
            hook(issuer, &registration);
        }
        Ok(Identity { auth: by(&registration)?, origin: Origin::RegisteredNow })
    }

    /// Forgets the client that registered itself at this issuer, unless another one has taken its place.
    pub(super) fn forget(&self, issuer: &str, client_id: &str) {
        let forgotten = {
            let mut kept = self.kept();
            let is_kept = kept.get(issuer).is_some_and(|registration| registration.client_id() == client_id);
            is_kept.then(|| kept.remove(issuer)).flatten()
        };
        let Some(forgotten) = forgotten else { return };
        tracing::info!(
            target: "oauth_client",
            issuer = %printable(issuer, 256),
            client_id = %printable(client_id, 256),
            "the client that registered itself is forgotten"
        );
        if let Some(hook) = &self.on_forgotten {
            hook(issuer, &forgotten);
        }
    }
}

/// Whether the server sends browsers back to this URI of the client, as far as it said where it does.
fn comes_back_to(registration: &Registration, redirect_uri: &str) -> bool {
    let registered = &registration.metadata().redirect_uris;
    let wanted = without_loopback_port(redirect_uri);
    let is_it =
        |known: &String| known == redirect_uri || wanted.is_some() && without_loopback_port(known) == wanted;
    registered.is_empty() || registered.iter().any(is_it)
}

/// A program listens at whatever port is free, so servers allow any for an address of loopback, but not for a name
/// (RFC 8252 sections 7.3 and 8.3).
fn without_loopback_port(redirect_uri: &str) -> Option<Url> {
    let mut url = Url::parse(redirect_uri).ok()?;
    let is_local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        _ => false,
    };
    if is_local && url.scheme() == "http" {
        url.set_port(None).ok()?;
    }
    Some(url)
}

/// Whether the server reads the metadata of clients at their `client_id`, and lets them authenticate like this one.
fn reads_documents(server: &Metadata, auth: &ClientAuth) -> bool {
    let reads =
        server.extra.get("client_id_metadata_document_supported").and_then(serde_json::Value::as_bool);
    let method = auth.method_name();
    let takes = |methods: &Vec<String>| methods.iter().any(|known| known == method);
    // A server that does not list `none` reads documents of public clients all the same: it is what they are for.
    let fits = method == "none" || server.token_endpoint_auth_methods_supported.as_ref().is_some_and(takes);
    reads == Some(true) && fits
}

fn unknown_at(issuer: &str) -> Error {
    let issuer = printable(issuer, 256);
    Error::new(Kind::Unsupported(format!(
        "there is no client for the authorization server {issuer:?}: none was registered there by hand, and neither a client ID metadata document nor registration (RFC 7591) is offered by both sides; register a client there, and give it with registered({issuer:?}, ..)"
    )))
}

/// What the client says of itself, with what it left to us and the server can do.
fn completed(
    client: &ClientMetadata,
    server: &Metadata,
    purpose: Purpose<'_>,
) -> Result<ClientMetadata, Error> {
    let mut client = client.clone();
    if client.token_endpoint_auth_method.is_none() {
        client.token_endpoint_auth_method = Some(auth_method(server, purpose)?.to_owned());
    }
    if client.grant_types.is_empty() {
        client.grant_types.push(purpose.grant_type.to_owned());
        let refreshes = |grants: &Vec<String>| grants.iter().any(|grant| grant == "refresh_token");
        if purpose.has_person() && server.grant_types_supported.as_ref().is_none_or(refreshes) {
            client.grant_types.push("refresh_token".to_owned());
        }
    }
    if let Some(redirect_uri) = purpose.redirect_uri {
        // A client without one is refused, or can log nobody in.
        if client.redirect_uris.is_empty() {
            client.redirect_uris.push(redirect_uri.to_owned());
        }
        if client.response_types.is_empty() {
            client.response_types.push("code".to_owned());
        }
        // OpenID Connect Registration section 2: without it a server takes the client for a web application, which
        // may not come back to loopback.
        let kind = if is_native(&client) { "native" } else { "web" };
        client.extra.entry("application_type").or_insert_with(|| kind.into());
    }
    Ok(client)
}

/// How to authenticate where the client does not care: without a secret where a person logs in, since a program in
/// that person's hands keeps none; with one otherwise, since a client that acts for itself has to prove itself.
fn auth_method(server: &Metadata, purpose: Purpose<'_>) -> Result<&'static str, Error> {
    const WITH_SECRET: [&str; 2] = ["client_secret_basic", "client_secret_post"];
    // RFC 8414 section 2: when absent.
    let Some(supported) = &server.token_endpoint_auth_methods_supported else { return Ok(WITH_SECRET[0]) };
    let order = if purpose.has_person() {
        ["none", WITH_SECRET[0], WITH_SECRET[1]]
    } else {
        [WITH_SECRET[0], WITH_SECRET[1], "none"]
    };
    order.into_iter().find(|method| supported.iter().any(|known| known == method)).ok_or_else(|| {
        let message = format!(
            "is not set, and of what the server takes ({}) nothing works without a key or certificate; set it, and jwks, in the client's metadata",
            printable(&supported.join(", "), 256)
        );
        Error::config("token_endpoint_auth_method", message)
    })
}

/// Whether it comes back to the user's own machine.
fn is_native(client: &ClientMetadata) -> bool {
    client.redirect_uris.iter().any(|uri| {
        Url::parse(uri).is_ok_and(|uri| {
            let is_local = uri.host_str().is_some_and(is_loopback);
            is_local || !matches!(uri.scheme(), "https" | "http")
        })
    })
}

/// What is wrong with the client of a client ID metadata document.
pub(super) fn document_problem(auth: &ClientAuth) -> Option<Problem> {
    let method = auth.method_name();
    // Whoever is named by an API and says that it reads documents is shown the proof: it must be worth nothing to them.
    if !matches!(method, "none" | "private_key_jwt" | "tls_client_auth" | "self_signed_tls_client_auth") {
        return Some(Problem {
            field: "client_id_document".to_owned(),
            message: format!(
                "proves itself by {method}, which any server that an API names would be given; use a key \
                 (private_key_jwt) or none, and registered(..) for a client with a secret"
            ),
        });
    }
    url_problem(auth.client_id())
}

fn url_problem(url: &str) -> Option<Problem> {
    let problem = |why: &str| {
        Some(Problem {
            field: "client_id_document".to_owned(),
            message: format!(
                "{:?} {why}; expected an https URL with a path, such as https://app.example.com/client.json",
                printable(url, 256)
            ),
        })
    };
    let Ok(parsed) = Url::parse(url) else { return problem("is not a URL") };
    if parsed.scheme() != "https"
        || !matches!(parsed.host(), Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_)))
    {
        return problem("is not https");
    }
    if parsed.path() == "/" || parsed.path().is_empty() {
        return problem("has no path");
    }
    if parsed.fragment().is_some() || !parsed.username().is_empty() || parsed.password().is_some() {
        return problem("has a fragment or a user name");
    }
    // The identifier is compared to the letter, so it has to be what every parser makes of it.
    if parsed.as_str() != url {
        return problem("is not in its normal form (letter case, dot segments)");
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(members: serde_json::Value) -> Metadata {
        let mut document = json!({ "issuer": "https://as" });
        document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        serde_json::from_value(document).unwrap()
    }

    const LOGIN: Purpose<'_> =
        Purpose { grant_type: "authorization_code", redirect_uri: Some("http://127.0.0.1/callback") };
    const MACHINE: Purpose<'_> = Purpose { grant_type: "client_credentials", redirect_uri: None };

    #[test]
    fn the_method_is_the_first_that_both_know() {
        for (supported, person, machine) in [
            (json!({}), "client_secret_basic", "client_secret_basic"),
            (
                json!({ "token_endpoint_auth_methods_supported": ["client_secret_post", "none"] }),
                "none",
                "client_secret_post",
            ),
            (
                json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] }),
                "client_secret_post",
                "client_secret_post",
            ),
            (json!({ "token_endpoint_auth_methods_supported": ["none"] }), "none", "none"),
        ] {
            let server = server(supported);
            assert_eq!(auth_method(&server, LOGIN).unwrap(), person);
            assert_eq!(auth_method(&server, MACHINE).unwrap(), machine);
        }
        let keys = server(json!({ "token_endpoint_auth_methods_supported": ["private_key_jwt"] }));
        let error = auth_method(&keys, LOGIN).unwrap_err();
        assert!(error.to_string().contains("private_key_jwt"), "{error}");
    }

    #[test]
    fn a_client_says_what_it_is_and_what_the_server_can_do() {
        let written = |client: &ClientMetadata| serde_json::to_value(client).unwrap();
        let local = ClientMetadata::new().redirect_uris(["http://127.0.0.1/callback"]);
        let all = completed(&local, &server(json!({})), LOGIN).unwrap();
        assert_eq!(
            written(&all),
            json!({
                "redirect_uris": ["http://127.0.0.1/callback"], "token_endpoint_auth_method": "client_secret_basic",
                "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
                "application_type": "native",
            })
        );
        let no_refresh = server(json!({ "grant_types_supported": ["authorization_code"] }));
        assert_eq!(completed(&local, &no_refresh, LOGIN).unwrap().grant_types, ["authorization_code"]);
        for (uri, kind) in [
            ("https://app.example/callback", "web"),
            ("com.example.app:/callback", "native"),
            ("http://localhost:3000/callback", "native"),
        ] {
            let client = ClientMetadata::new().redirect_uris([uri]);
            assert_eq!(
                completed(&client, &server(json!({})), LOGIN).unwrap().extra["application_type"],
                kind
            );
        }
        let own = local.member("application_type", "web").grant_types(["urn:example"]);
        let own = completed(&own, &server(json!({})), LOGIN).unwrap();
        assert_eq!((own.extra["application_type"].as_str(), own.grant_types.len()), (Some("web"), 1));
        let unnamed = completed(&ClientMetadata::new(), &server(json!({})), LOGIN).unwrap();
        assert_eq!(written(&unnamed), written(&all), "it comes back to where its logins do");
        let machine = completed(&ClientMetadata::new(), &server(json!({})), MACHINE).unwrap();
        assert_eq!(
            written(&machine),
            json!({ "token_endpoint_auth_method": "client_secret_basic", "grant_types": ["client_credentials"] })
        );
    }

    #[test]
    fn a_server_that_does_not_say_how_the_client_authenticates_has_taken_what_was_asked_for() {
        let by = |response: serde_json::Value, asked| {
            let registration: Registration = serde_json::from_value(response).unwrap();
            registration.auth_by(Some(asked)).unwrap().method_name()
        };
        let with_secret = || json!({ "client_id": "a", "client_secret": "x" });
        assert_eq!(by(with_secret(), "none"), "none");
        assert_eq!(by(with_secret(), "client_secret_post"), "client_secret_post");
        assert_eq!(by(json!({ "client_id": "a" }), "client_secret_basic"), "none", "it gave no secret");
        let said = json!({ "client_id": "a", "client_secret": "x", "token_endpoint_auth_method": "client_secret_basic" });
        assert_eq!(by(said, "none"), "client_secret_basic");
    }

    #[test]
    fn a_registration_is_for_the_redirect_uris_that_the_server_has() {
        let fits = |registered: serde_json::Value, uri: &str| {
            let registration = json!({ "client_id": "a", "redirect_uris": registered });
            comes_back_to(&serde_json::from_value(registration).unwrap(), uri)
        };
        for (registered, uri) in [
            (json!([]), "https://app.example/callback"),
            (
                json!(["https://app.example/a", "https://app.example/callback"]),
                "https://app.example/callback",
            ),
            (json!(["HTTPS://App.example:443/callback"]), "https://app.example/callback"),
            (json!(["http://127.0.0.1:4711/callback"]), "http://127.0.0.1/callback"),
            (json!(["http://127.0.0.1/callback"]), "http://127.0.0.1:4711/callback"),
            (json!(["http://[::1]:4711/callback"]), "http://[::1]:4712/callback"),
            (json!(["http://localhost/callback"]), "http://localhost/callback"),
            (json!(["com.example.app:/callback"]), "com.example.app:/callback"),
        ] {
            assert!(fits(registered.clone(), uri), "{registered} {uri}");
        }
        for (registered, uri) in [
            (json!(["https://old.example/callback"]), "https://app.example/callback"),
            (json!(["https://app.example:8443/callback"]), "https://app.example/callback"),
            (json!(["https://app.example/callback?tenant=a"]), "https://app.example/callback"),
            (json!(["http://127.0.0.1/callback"]), "http://127.0.0.1/"),
            (json!(["http://127.0.0.1/callback"]), "http://[::1]/callback"),
            (json!(["http://localhost:4711/callback"]), "http://localhost:4712/callback"),
            (json!(["http://localhost/callback"]), "http://127.0.0.1/callback"),
        ] {
            assert!(!fits(registered.clone(), uri), "{registered} {uri}");
        }
    }

    #[test]
    fn a_document_is_at_an_https_url_with_a_path() {
        assert_eq!(url_problem("https://app.example.com/client.json"), None);
        for bad in [
            "app.example.com/client.json",
            "http://app.example.com/client.json",
            "https://app.example.com",
            "https://app.example.com/",
            "https://app.example.com/client.json#a",
            "https://user@app.example.com/client.json",
            "https://app.example.com/a/../client.json",
            "https://APP.example.com/client.json",
        ] {
            let problem = url_problem(bad).unwrap_or_else(|| panic!("{bad}"));
            assert!(problem.field == "client_id_document" && problem.message.contains("https"), "{problem}");
        }
    }

    #[test]
    fn a_document_is_used_where_the_server_reads_it() {
        let public = ClientAuth::none("https://app.example/client.json");
        let keyed = ClientAuth::tls("https://app.example/client.json");
        let reads = |members, auth: &ClientAuth| reads_documents(&server(members), auth);
        let supported = json!({ "client_id_metadata_document_supported": true });
        assert!(reads(supported.clone(), &public));
        assert!(!reads(supported, &keyed), "and takes the way it authenticates");
        let with_certificates = json!({
            "client_id_metadata_document_supported": true,
            "token_endpoint_auth_methods_supported": ["tls_client_auth"],
        });
        assert!(reads(with_certificates, &keyed));
        for no in [
            json!({}),
            json!({ "client_id_metadata_document_supported": false }),
            json!({ "client_id_metadata_document_supported": "yes" }),
        ] {
            assert!(!reads(no, &public));
        }
    }
}
