//! What can go wrong, as one opaque type with methods to classify it.
//!
//! ```
//! use oauth_client::{Client, ClientAuth};
//!
//! let error = Client::builder().auth(ClientAuth::basic("svc", "s3cr3t")).build().unwrap_err();
//! assert_eq!(error.code(), "config");
//! assert!(error.to_string().contains("issuer"), "it names the field: {error}");
//! ```

mod response;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

pub(crate) use self::response::{Denied, ErrorResponse, Said};

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Why there is no token, or no usable response. Cheap to clone, because all callers who waited share it.
///
/// Use [`code`](Self::code) for logs and metrics, [`is_transient`](Self::is_transient) before trying again, and
/// [`is_reauthorization_required`](Self::is_reauthorization_required) before sending a person to log in.
///
/// Its `Display` is one sentence. It names the requested scopes if the server refuses these (`invalid_scope`), and the
/// resources and audiences if it refuses those (`invalid_target`). What the server said, and the underlying errors, are
/// its [sources](StdError::source), for reporters such as that of `anyhow`; [`with_causes`](Self::with_causes) shows
/// all of it in one line, for a log.
#[derive(Clone)]
pub struct Error {
    kind: Arc<Kind>,
    retry_after: Option<Duration>,
}

/// One thing that is wrong with a configuration: the field, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field's name, as the user wrote or should have written it.
    pub field: String,
    /// What was expected, and how to fix it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// The user's: a configuration that cannot work.
    Config(Vec<Problem>),
    /// The server does not do what was asked of it.
    Unsupported(String),
    /// The server's metadata is missing or not to be trusted.
    Discovery(String),
    /// No response. `sent` when the request may have reached the server.
    Transport { sent: bool, source: BoxError },
    /// No response in time; the request may have reached the server.
    Timeout(Duration),
    /// The response is larger than we are willing to hold.
    TooLarge(usize),
    /// A redirect, which requests that carry credentials never follow.
    Redirect(StatusCode),
    /// A response that is not what the specification says.
    Malformed(String),
    /// RFC 6749 section 7.1: a token of a type that is not understood must not be used.
    TokenType(String),
    /// A bearer token, where one that is bound to a key was asked for (RFC 9449 section 5).
    NotBound,
    /// The server returned an error response.
    ErrorResponse(ErrorResponse),
    /// The grant is gone; only a person can give a new one.
    Reauthorization(Option<ErrorResponse>),
    /// The server refused what the grant rests on, such as an assertion that was given; only another one helps.
    GrantRefused(ErrorResponse),
    /// A secret that is computed or read for each request is unavailable; nothing was sent.
    Secret { name: String, source: BoxError },
    /// What brings tokens in place of a token endpoint has brought none.
    Fetch { source: BoxError },
    /// The authorization endpoint sent the person back with an error (RFC 6749 section 4.1.2.1).
    Denied(Denied),
    /// A login that came back in a way that cannot be trusted, or not in time.
    Login { code: &'static str, what: String },
    /// An ID token that failed validation.
    IdToken(String),
    /// The token store failed.
    Store { what: String, source: Option<BoxError>, permanent: bool },
    /// The refresh task died without a result.
    Interrupted,
}

impl Error {
    /// A stable machine code: the server's own OAuth error code where it sent one (`invalid_grant`,
    /// `invalid_client` …), else one of `config`, `unsupported`, `discovery`, `transport`, `timeout`, `too_large`,
    /// `redirect`, `malformed_response`, `unsupported_token_type`, `rate_limited`, `server_error`, `secret`,
    /// `fetch`, `store`, `reauthorization_required` and `interrupted`; from a [login](crate::login) also `state_mismatch`,
    /// `issuer_mismatch`, `invalid_callback`, `login_expired`, `login_timeout` and `invalid_id_token`. An error response without
    /// an OAuth code gets one from its status:
    /// 400 `invalid_request`, 401 `invalid_client` (`invalid_token` from an API), 403 `access_denied`,
    /// 429 `rate_limited`, 5xx `server_error`.
    #[must_use]
    pub fn code(&self) -> &str {
        match &*self.kind {
            Kind::Config(_) => "config",
            Kind::Unsupported(_) => "unsupported",
            Kind::Discovery(_) => "discovery",
            Kind::Transport { .. } => "transport",
            Kind::Timeout(_) => "timeout",
            Kind::TooLarge(_) => "too_large",
            Kind::Redirect(_) => "redirect",
            Kind::Malformed(_) => "malformed_response",
            Kind::TokenType(_) | Kind::NotBound => "unsupported_token_type",
            Kind::ErrorResponse(refused) | Kind::GrantRefused(refused) => &refused.code,
            Kind::Reauthorization(_) => "reauthorization_required",
            Kind::Secret { .. } => "secret",
            Kind::Fetch { .. } => "fetch",
            Kind::Denied(denied) => &denied.code,
            Kind::Login { code, .. } => code,
            Kind::IdToken(_) => "invalid_id_token",
            Kind::Store { .. } => "store",
            Kind::Interrupted => "interrupted",
        }
    }

    /// Whether waiting helps: no response, 5xx, 429, or a server that says `temporarily_unavailable`.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match &*self.kind {
            Kind::Transport { .. } | Kind::Timeout(_) | Kind::Interrupted => true,
            Kind::Secret { .. } | Kind::Fetch { .. } => true,
            Kind::Store { permanent, .. } => !permanent,
            Kind::ErrorResponse(refused) => match refused.code.as_str() {
                _ if refused.transient || refused.status == StatusCode::TOO_MANY_REQUESTS => true,
                "temporarily_unavailable" | "slow_down" | "server_error" => true,
                // A lost grant stays lost, also where it comes with a 500 (InfoLink does not say what it comes with).
                "invalid_grant" => false,
                _ => refused.status.is_server_error() && refused.status != StatusCode::NOT_IMPLEMENTED,
            },
            Kind::Denied(denied) => {
                matches!(denied.code.as_str(), "temporarily_unavailable" | "server_error")
            }
            _ => false,
        }
    }

    /// How long to wait before the next attempt: what the server's `Retry-After` said, a day at most, or what is left of
    /// our own back-off. Until then the token source returns this same error without asking the server; a new
    /// [login](crate::TokenSource::log_in) ends the wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the grant is lost for good: a user has to log in again, or what the grant rests on (an assertion, the
    /// token of a token exchange) has to be replaced. In the second case [`code`](Self::code) is the server's own.
    #[must_use]
    pub fn is_reauthorization_required(&self) -> bool {
        matches!(*self.kind, Kind::Reauthorization(_) | Kind::GrantRefused(_))
    }

    /// The HTTP status of the response, where there was one.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match &*self.kind {
            Kind::Redirect(status) => Some(*status),
            _ => self.error_response().map(|refused| refused.status),
        }
    }

    /// The server's `error_description`: cut to 512 characters, escaped so that it stays in its line, and the secrets of the
    /// request taken out.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        match &*self.kind {
            Kind::Denied(denied) => denied.said.description.as_deref(),
            _ => self.error_response()?.said.description.as_deref(),
        }
    }

    /// The server's `error_uri`, cut and escaped likewise.
    #[must_use]
    pub fn uri(&self) -> Option<&str> {
        match &*self.kind {
            Kind::Denied(denied) => denied.uri.as_deref(),
            _ => self.error_response()?.uri.as_deref(),
        }
    }

    /// The code as the provider wrote it, cut to 64 characters, where its error body has one: `invalid_refresh` where
    /// [`code`](Self::code) says `invalid_grant`, `server_busy` where it says `server_error`.
    #[must_use]
    pub fn provider_code(&self) -> Option<&str> {
        self.error_response()?.provider_code.as_deref()
    }

    /// The whole error body as the type of its [provider](crate::dialect), such as
    /// [`ils::StatusInfo`](crate::dialect::ils::StatusInfo). Its texts are cut and escaped like the
    /// [description](Self::description), and the secrets of the request are taken out.
    #[must_use]
    pub fn provider<T: 'static>(&self) -> Option<&T> {
        let details = self.error_response()?.details.as_deref()?;
        details.as_any().downcast_ref()
    }

    /// The body of an error response in a form that its provider is not known to use, such as a proxy's HTML: its first
    /// 512 characters, escaped, without the secrets of the request. It is not part of what `Display` and `Debug` show.
    #[must_use]
    pub fn unrecognized(&self) -> Option<&str> {
        self.error_response()?.unrecognized.as_deref()
    }

    /// All that is wrong with a configuration, when [`code`](Self::code) is `config`; empty otherwise.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match &*self.kind {
            Kind::Config(problems) => problems,
            _ => &[],
        }
    }

    /// The error and everything underneath, in one line: the sentence of `Display`, then what the server said and the other
    /// [sources](StdError::source), separated by colons.
    ///
    /// ```
    /// # use oauth_client::{Client, ClientAuth, grant};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), oauth_client::Error> {
    /// # let server = oauth_mock::MockServer::start().await;
    /// let client = Client::builder().issuer(server.issuer()).auth(ClientAuth::basic("svc", "wrong")).build()?;
    /// let error = client.request(&grant::client_credentials()).await.unwrap_err();
    /// let sentence = "the server refused: invalid_client (HTTP 401)";
    /// assert_eq!(error.to_string(), sentence);
    /// assert!(error.with_causes().to_string().starts_with(&format!("{sentence}: ")), "and what the server said");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_causes(&self) -> impl fmt::Display + use<'_> {
        WithCauses(self)
    }

    /// The error as a program prints it for its operator: `CODE: what happened and what to do`, with its causes, a line for
    /// each problem where there are several.
    ///
    /// ```
    /// # use oauth_client::Client;
    /// let error = Client::builder().issuer("auth.example.com").build().unwrap_err();
    /// assert!(error.lines().all(|line| line.starts_with("config: ")));
    /// assert_eq!(error.lines().count(), 2); // the issuer is no URL, and auth is missing
    /// ```
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let whole = self.problems().is_empty().then(|| self.with_causes().to_string());
        let each = self.problems().iter().map(ToString::to_string);
        whole.into_iter().chain(each).map(|text| format!("{}: {}", self.code(), printable(&text, usize::MAX)))
    }

    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind: Arc::new(kind), retry_after: None }
    }

    pub(crate) fn config(field: &str, message: impl Into<String>) -> Self {
        Problem { field: field.to_owned(), message: message.into() }.into()
    }

    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::new(Kind::Malformed(what.into()))
    }

    /// The same error, of a request that exchanges a user's token: once that is refused, only the user can give another
    /// (RFC 8693 section 2.2.2 has `invalid_request` for it).
    pub(crate) fn of_subject_token(self) -> Self {
        match &*self.kind {
            Kind::ErrorResponse(refused)
                if matches!(&*refused.code, "invalid_grant" | "invalid_token" | "invalid_request")
                    && refused.provider_code.is_some() =>
            {
                Self { kind: Arc::new(Kind::GrantRefused(refused.clone())), retry_after: self.retry_after }
            }
            _ => self,
        }
    }

    pub(crate) fn secret(name: &str, source: BoxError) -> Self {
        Self::new(Kind::Secret { name: name.to_owned(), source })
    }

    pub(crate) fn discovery(what: impl Into<String>) -> Self {
        Self::new(Kind::Discovery(what.into()))
    }

    pub(crate) fn login(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(Kind::Login { code, what: what.into() })
    }

    pub(crate) fn id_token(what: impl Into<String>) -> Self {
        Self::new(Kind::IdToken(what.into()))
    }

    /// The same error with another response to "when again?".
    pub(crate) fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// The same error response, with what was asked for and refused.
    pub(crate) fn with_asked(self, asked: Option<String>) -> Self {
        self.with_more(|| asked, |refused, asked| refused.asked = Some(asked))
    }

    /// The same error response, with a hint about its cause.
    pub(crate) fn with_hint(self, hint: impl FnOnce() -> Option<String>) -> Self {
        self.with_more(hint, |refused, hint| refused.said.hint = Some(hint))
    }

    /// The same error response with this in it, if it is one and there is something to add.
    fn with_more(
        self,
        more: impl FnOnce() -> Option<String>,
        put: impl FnOnce(&mut ErrorResponse, String),
    ) -> Self {
        let Kind::ErrorResponse(refused) = &*self.kind else { return self };
        let Some(more) = more() else { return self };
        let mut refused = refused.clone();
        put(&mut refused, more);
        Self::new(Kind::ErrorResponse(refused)).with_retry_after(self.retry_after)
    }

    pub(crate) fn error_response(&self) -> Option<&ErrorResponse> {
        match &*self.kind {
            Kind::ErrorResponse(refused) | Kind::GrantRefused(refused) => Some(refused),
            Kind::Reauthorization(refused) => refused.as_ref(),
            _ => None,
        }
    }

    /// Whether the server said in words of its own that the refresh token is good no more.
    pub(crate) fn is_refresh_token_lost(&self) -> bool {
        !self.is_transient() && self.error_response().is_some_and(|response| response.is_refresh_token_lost)
    }

    /// Whether the request may have been acted upon although no response came: then a grant that can be used only
    /// once must not be sent again blindly.
    pub(crate) fn is_outcome_unknown(&self) -> bool {
        match &*self.kind {
            Kind::Transport { sent, .. } => *sent,
            Kind::Timeout(_) | Kind::TooLarge(_) => true,
            _ => false,
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::new(Kind::Config(vec![problem]))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.kind {
            Kind::Config(problems) => {
                f.write_str("the configuration does not work: ")?;
                for (n, problem) in problems.iter().enumerate() {
                    write!(f, "{}{problem}", if n == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
            Kind::Unsupported(what) => write!(f, "{what}"),
            Kind::Discovery(what) => write!(f, "the server's metadata cannot be used: {what}"),
            Kind::Transport { sent: false, source } if is_about_certificates(&**source) => f.write_str(
                "the server's certificate is not trusted here; install the certificate authorities of this machine (the package ca-certificates), or name the one that issued it in tls.ca",
            ),
            Kind::Transport { sent: false, .. } => {
                f.write_str("the server could not be reached; check the address and that it is up")
            }
            Kind::Transport { sent: true, .. } => {
                f.write_str("the connection failed before the whole response was there; the outcome is unknown")
            }
            Kind::Timeout(limit) => {
                write!(
                    f,
                    "no complete response within {limit:?}; the outcome is unknown. Raise the timeout if the server is that slow"
                )
            }
            Kind::TooLarge(limit) => write!(f, "the response is larger than the {limit} bytes allowed"),
            Kind::Redirect(status) => write!(
                f,
                "the server responded with a redirect ({}), which is not followed with credentials; configure the final address",
                status.as_u16()
            ),
            Kind::Malformed(what) => write!(f, "the response is not what the specification asks for: {what}"),
            Kind::TokenType(found) => {
                write!(
                    f,
                    "the token is of type {found:?}, and only Bearer, and DPoP where it is switched on, are understood here (RFC 6749 section 7.1)"
                )
            }
            Kind::NotBound => f.write_str(
                "the server gave a bearer token although the request asked for one that is bound to a key (RFC 9449 section 5); have it bind this client's tokens, or allow bearer tokens explicitly",
            ),
            Kind::ErrorResponse(refused) => write!(f, "{refused}"),
            Kind::GrantRefused(_) => {
                f.write_str("what the grant rests on is good no longer; give another one")
            }
            Kind::Reauthorization(None) => {
                f.write_str("there is no grant that is still valid; a person has to authorize")
            }
            Kind::Reauthorization(Some(_)) => {
                f.write_str("the grant is no longer valid; a person has to authorize again")
            }
            Kind::Secret { name, .. } => {
                write!(
                    f,
                    "the {name} of the request is unavailable, so nothing was sent; its cause says why"
                )
            }
            Kind::Fetch { .. } => f.write_str("no token could be fetched"),
            Kind::Denied(denied) => {
                write!(f, "the authorization was refused: {}", denied.code)?;
                denied.asked.iter().try_for_each(|asked| write!(f, " {asked}"))
            }
            Kind::Login { what, .. } => write!(f, "the login cannot be used: {what}"),
            Kind::IdToken(what) => write!(f, "the ID token is not valid: {what}"),
            Kind::Store { what, .. } => write!(f, "the token store failed: {what}"),
            Kind::Interrupted => {
                f.write_str("the token request was interrupted before it finished; try again")
            }
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("kind", &self.kind).field("retry_after", &self.retry_after).finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &*self.kind {
            Kind::Transport { source, .. } | Kind::Secret { source, .. } | Kind::Fetch { source } => {
                Some(&**source)
            }
            Kind::Store { source: Some(source), .. } => Some(&**source),
            Kind::ErrorResponse(refused) => refused.source(),
            Kind::GrantRefused(refused) | Kind::Reauthorization(Some(refused)) => Some(refused),
            Kind::Denied(denied) => denied.said.as_source(),
            _ => None,
        }
    }
}

struct WithCauses<'a>(&'a Error);

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            // Some libraries' errors show their cause and have it as a source, too.
            if !last.ends_with(&text) {
                write!(f, ": {text}")?;
                last = text;
            }
            next = cause.source();
        }
        Ok(())
    }
}

/// Whether a connection failed over the server's certificate. The TLS library's own types stay out of ours.
fn is_about_certificates(error: &dyn StdError) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.to_string().contains("invalid peer certificate") {
            return true;
        }
        next = error.source();
    }
    false
}

/// The code of an error response that has none of its own.
pub(crate) fn code_for_status(status: StatusCode) -> String {
    let code = match status.as_u16() {
        401 => "invalid_client",
        403 => "access_denied",
        429 => "rate_limited",
        500..=599 => "server_error",
        _ => "invalid_request",
    };
    code.to_owned()
}

/// Text from a server, made safe to print: control and invisible characters escaped, and cut to so many characters.
pub(crate) fn printable(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most));
    for (n, c) in text.chars().enumerate() {
        if n == most {
            out.push('…');
            break;
        }
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that end a line elsewhere than here, and those that show nothing by themselves: bidirectional overrides and
/// their like reorder a log line as much as an ANSI escape recolours it. (Unicode's general categories Zl, Zp and Cf.)
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{2028}' | '\u{2029}'
        | '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_of_a_server_ends_the_line_or_hides() {
        for c in [
            '\n',
            '\r',
            '\u{b}',
            '\u{c}',
            '\u{1c}',
            '\u{1d}',
            '\u{1e}',
            '\u{85}',
            '\u{2028}',
            '\u{2029}',
            '\u{200b}',
            '\u{ad}',
            '\u{2066}',
            '\u{2064}',
            '\u{fff9}',
            '\u{e0041}',
            '\u{7f}',
            '\u{9b}',
        ] {
            assert_eq!(printable(&format!("a{c}b"), 9), format!("a{}b", c.escape_unicode()));
        }
        assert_eq!(printable("Zürich 東京 😀 e\u{301}", 99), "Zürich 東京 😀 e\u{301}");
        let field = "a\u{2028}config: b".to_owned();
        let problems = vec![Problem { field: field.clone(), message: field }];
        let lines: Vec<_> = Error::new(Kind::Config(problems)).lines().collect();
        assert_eq!(lines, ["config: a\\u{2028}config: b: a\\u{2028}config: b"]);
    }

    #[test]
    fn hostile_text_is_cut_and_escaped() {
        let shown = printable("\u{1b}[31mred\r\nSet-Cookie: a\u{202e}", 512);
        assert_eq!(shown, "\\u{1b}[31mred\\u{d}\\u{a}Set-Cookie: a\\u{202e}");
        assert_eq!(printable(&"x".repeat(10_000_000), 512).chars().count(), 513);
    }
}
