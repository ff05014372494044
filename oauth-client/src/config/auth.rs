//! Client authentication, and the certificates of connections: `client_auth`, its secret or key, and the table `tls`.

use super::keys::CLIENT_AUTH;
use super::problem;
use super::schema::join;
use super::tree::{Table, unreadable};
use crate::authenticate::{ASSERTION, ClientAuth};
use crate::client::ClientBuilder;
use crate::dialect::Dialect;
use crate::error::{Error, Problem};
use crate::secret::SecretSource;
use crate::sign::{self, SigningKey};
#[cfg(feature = "reqwest")]
use crate::transport::Tls;

pub(super) fn auth(table: Table<'_>, dialect: &Dialect, problems: &mut Vec<Problem>) -> Option<ClientAuth> {
    auth_with_tls(table, table.table("tls"), dialect, problems)
}

/// The same for a client whose connections are set up by a table `tls` that stands elsewhere.
pub(super) fn auth_with_tls(
    table: Table<'_>,
    tls: Option<Table<'_>>,
    dialect: &Dialect,
    problems: &mut Vec<Problem>,
) -> Option<ClientAuth> {
    let id = table.text("client_id");
    if !table.has("client_id") {
        problems
            .push(problem("client_id", "is missing; expected the identifier the server gave this client"));
    }
    // The check has reported a method that there is not, and what else that one would need is not known.
    if table.text("client_auth").is_some_and(|method| !CLIENT_AUTH.contains(&method)) {
        return None;
    }
    let usual = dialect.client_auth.first().map_or("client_secret_basic", String::as_str);
    let method = table.text("client_auth").unwrap_or(usual);
    let secret = match method {
        "client_secret_basic" | "client_secret_post" | "client_secret_jwt" => {
            superfluous(table, "private_key", "client_auth = \"private_key_jwt\"", problems);
            // Without an id, too, it is the whole client that was left out: one complaint is enough.
            secret(table, problems, id.is_some())
        }
        _ => {
            no_secret(table, dialect, method, problems);
            None
        }
    };
    if !method.ends_with("_jwt") {
        for key in ["key_id", "signing_alg", "client_assertion_audience"] {
            superfluous(table, key, "client_auth = \"private_key_jwt\" or \"client_secret_jwt\"", problems);
        }
    }
    if method != "private_key_jwt" && secret.is_none() {
        superfluous(table, "private_key", "client_auth = \"private_key_jwt\"", problems);
    }
    if method != "private_key_jwt" {
        superfluous(table, "certificate", "client_auth = \"private_key_jwt\"", problems);
        if table.flag("x5t") {
            superfluous(table, "x5t", "client_auth = \"private_key_jwt\"", problems);
        }
    }
    if method != ASSERTION {
        superfluous(table, "client_assertion", "client_auth = \"assertion\"", problems);
    }
    let auth = match method {
        "none" => id.map(ClientAuth::none),
        "tls_client_auth" => certificate(tls, method, problems).and(id.map(ClientAuth::tls)),
        "self_signed_tls_client_auth" => {
            certificate(tls, method, problems).and(id.map(ClientAuth::self_signed_tls))
        }
        "private_key_jwt" => {
            let (key, certificate) = (private_key(table, problems), certificate_of_key(table, problems));
            let auth = ClientAuth::private_key_jwt(id?, key?);
            let auth = if table.flag("x5t") { auth.with_sha1_thumbprint() } else { auth };
            Some(certificate.into_iter().fold(auth, ClientAuth::certificate))
        }
        ASSERTION => {
            let assertion = client_assertion(table, problems);
            Some(ClientAuth::assertion(id?, assertion?))
        }
        "client_secret_jwt" => Some(ClientAuth::client_secret_jwt(id?, secret?)),
        "client_secret_post" => Some(ClientAuth::post(id?, secret?)),
        "client_secret_basic" => Some(ClientAuth::basic(id?, secret?)),
        // The check has reported it.
        _ => None,
    };
    auth.and_then(|auth| assertion(table, auth, method, problems))
}

/// The files of a table `tls`.
#[derive(Clone, Default)]
pub(super) struct TlsFiles {
    pub(super) ca: Option<SecretSource>,
    /// The certificate and its key.
    pub(super) identity: Option<(SecretSource, SecretSource)>,
}

impl TlsFiles {
    pub(super) fn of(table: Table<'_>, problems: &mut Vec<Problem>) -> Self {
        let Some(table) = table.table("tls") else { return Self::default() };
        let mut file = |name: &str| {
            let path = table.text(name)?;
            if let Err(error) = std::fs::File::open(path) {
                problems.push(problem(&join("tls", name), &unreadable(path.as_ref(), &error)));
            }
            Some(crate::secret::from_file(path))
        };
        let (ca, certificate, key) = (file("ca"), file("cert"), file("key"));
        match (&certificate, &key) {
            (Some(_), None) => {
                problems.push(problem("tls.key", "is missing; tls.cert needs its private key"));
            }
            (None, Some(_)) => {
                problems.push(problem("tls.cert", "is missing; tls.key belongs to a certificate"));
            }
            _ => {}
        }
        Self { ca, identity: certificate.zip(key) }
    }
}

/// What the connections trust and show.
#[cfg(feature = "reqwest")]
pub(super) fn tls(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<Tls> {
    table.table("tls")?;
    let TlsFiles { ca, identity } = TlsFiles::of(table, problems);
    let tls = ca.into_iter().fold(Tls::new(), Tls::authorities);
    Some(identity.into_iter().fold(tls, |tls, (certificate, key)| tls.identity(certificate, key)))
}

#[cfg(not(feature = "reqwest"))]
pub(super) fn no_tls(table: Table<'_>, problems: &mut Vec<Problem>) {
    if table.has("tls") {
        let message = "is for the bundled transport; switch on the feature \"reqwest\", or give a transport with certificates of its own";
        problems.push(problem("tls", message));
    }
}

/// Endpoints for clients with a certificate are used by clients that have one.
pub(super) fn mutual_tls(table: Table<'_>, builder: ClientBuilder) -> ClientBuilder {
    match table.table("tls") {
        Some(tls) if tls.has("cert") => builder.mutual_tls(),
        _ => builder,
    }
}

fn secret(table: Table<'_>, problems: &mut Vec<Problem>, complain: bool) -> Option<SecretSource> {
    if !table.has("client_secret") && complain {
        let message = "is missing; expected a string, { env = \"NAME\" } or { file = \"path\" } (or another client_auth, such as \"none\")";
        problems.push(problem("client_secret", message));
    }
    table.secret_source("client_secret", problems)
}

fn no_secret(table: Table<'_>, dialect: &Dialect, method: &str, problems: &mut Vec<Problem>) {
    if !table.has("client_secret") {
        return;
    }
    let message = if table.has("client_auth") {
        format!("is given, but client_auth = \"{method}\" sends none; remove one of them")
    } else {
        format!("is given, but provider {} has clients without a secret; remove it", dialect.name())
    };
    problems.push(problem("client_secret", &message));
}

fn superfluous(table: Table<'_>, key: &str, owner: &str, problems: &mut Vec<Problem>) {
    if table.has(key) {
        problems.push(problem(key, &format!("is given, but is for {owner} only; set that, or remove it")));
    }
}

fn certificate(tls: Option<Table<'_>>, method: &str, problems: &mut Vec<Problem>) -> Option<()> {
    if tls.is_some_and(|tls| tls.has("cert")) {
        return Some(());
    }
    let message =
        format!("is missing; client_auth = \"{method}\" needs a certificate, tls = {{ cert, key }}");
    problems.push(problem("tls.cert", &message));
    None
}

/// Where the key is; what is there now has to be one.
fn private_key(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<SecretSource> {
    if !table.has("private_key") {
        let message = "is missing; client_auth = \"private_key_jwt\" needs one, as { file = \"client.pem\" }";
        problems.push(problem("private_key", message));
        return None;
    }
    let text = table.secret("private_key", problems)?;
    let read = SigningKey::from_text(text.expose()).and_then(|key| match table.text("signing_alg") {
        Some(name) => key.with_algorithm(name.parse()?),
        None => Ok(key),
    });
    match read {
        Ok(_) => table.secret_source("private_key", problems),
        Err(error) => {
            problems.extend(error.problems().iter().cloned());
            None
        }
    }
}

/// What the server knows the key by; what is there now has to be one.
fn certificate_of_key(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<SecretSource> {
    let pem = table.secret("certificate", problems)?;
    match sign::certificate_thumbprint(pem.expose()) {
        Ok(_) => table.secret_source("certificate", problems),
        Err(error) => {
            problems.extend(error.problems().iter().cloned());
            None
        }
    }
}

/// A file that is empty now may be filled by the time it is needed.
fn client_assertion(table: Table<'_>, problems: &mut Vec<Problem>) -> Option<SecretSource> {
    if !table.has("client_assertion") {
        let message =
            "is missing; client_auth = \"assertion\" needs one, as { file = \"/var/run/secrets/token\" }";
        problems.push(problem("client_assertion", message));
        return None;
    }
    table.secret_source("client_assertion", problems)
}

fn assertion(
    table: Table<'_>,
    mut auth: ClientAuth,
    method: &str,
    problems: &mut Vec<Problem>,
) -> Option<ClientAuth> {
    if !method.ends_with("_jwt") {
        return Some(auth);
    }
    if let Some(name) = table.text("signing_alg") {
        match name.parse() {
            Ok(algorithm) => auth = auth.algorithm(algorithm),
            Err(error) => {
                let error: Error = error;
                problems.extend(error.problems().iter().cloned());
                return None;
            }
        }
    }
    if let Some(key_id) = table.text("key_id") {
        auth = auth.key_id(key_id);
    }
    Some(table.texts("client_assertion_audience").into_iter().fold(auth, ClientAuth::audience))
}

#[cfg(test)]
mod tests;
