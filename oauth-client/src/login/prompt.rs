//! Prompts for a person, and a login that is described as data.

use serde::Serialize;
use url::Url;

#[cfg(feature = "loopback")]
use super::AuthorizationRequest;
use super::{BackchannelRequest, DeviceRequest, Login};
use crate::client::Client;
use crate::error::Error;
use crate::grant::TokenRequest;
use crate::source::TokenSource;

/// What a person has to do to log in. As JSON it is one object, for programs that show it:
///
/// ```
/// use oauth_client::login::Prompt;
/// let prompt = Prompt::Open { open: "https://auth.example.com/authorize?…".parse().unwrap() };
/// assert!(serde_json::to_string(&prompt).unwrap().starts_with(r#"{"open":"https://auth.example.com"#));
/// ```
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Prompt {
    /// To open this page in a browser on this machine.
    Open {
        /// The page.
        open: Url,
    },
    /// To open a page anywhere, and enter a code there.
    Enter {
        /// The page.
        verification_uri: Url,
        /// The page with the code filled in, where there is one.
        verification_uri_complete: Option<Url>,
        /// The code.
        user_code: String,
    },
    /// To confirm on a device of their own, where the server asks them.
    Confirm {
        /// How long they have, in seconds.
        confirm_within_seconds: u64,
        /// The text that their device shows, where there is one.
        binding_message: Option<String>,
    },
}

/// A login that can be started when it is needed, for example one that a
/// [configuration](crate::config::ClientConfig::login) describes.
#[derive(Clone, Debug)]
pub struct InteractiveLogin {
    client: Client,
    way: LoginMethod,
}

#[derive(Clone, Debug)]
pub(crate) enum LoginMethod {
    #[cfg(feature = "loopback")]
    Browser(AuthorizationRequest),
    Device(DeviceRequest),
    Backchannel(BackchannelRequest),
}

impl InteractiveLogin {
    pub(crate) fn new(client: Client, way: LoginMethod) -> Self {
        Self { client, way }
    }

    /// Gives the source a token, by a login if need be: it does nothing when the source has one already, or can get
    /// one with what its store holds. `prompt` is called once when a person is needed.
    ///
    /// # Errors
    /// Why there is no token; or why the login failed, as [`Client::finish`] and [`DeviceLogin::wait`]
    /// say.
    ///
    /// [`DeviceLogin::wait`]: super::DeviceLogin::wait
    pub async fn ensure(&self, source: &TokenSource, prompt: impl FnOnce(&Prompt)) -> Result<(), Error> {
        match source.token().await {
            Err(error) if error.is_reauthorization_required() => {
                let login = self.log_in(prompt).await?;
                source.log_in(login).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    /// A login, even if the source has a token. `prompt` is called once.
    ///
    /// # Errors
    /// As [`Client::finish`] and [`DeviceLogin::wait`](super::DeviceLogin::wait).
    pub async fn log_in(&self, prompt: impl FnOnce(&Prompt)) -> Result<Login, Error> {
        match &self.way {
            #[cfg(feature = "loopback")]
            LoginMethod::Browser(request) => {
                self.client.login(request).open(|url| prompt(&Prompt::Open { open: url.clone() })).await
            }
            LoginMethod::Device(request) => {
                let device = self.client.device(request).await?;
                prompt(&Prompt::Enter {
                    verification_uri: device.verification_uri().clone(),
                    verification_uri_complete: device.verification_uri_complete().cloned(),
                    user_code: device.user_code().to_owned(),
                });
                device.wait().await
            }
            LoginMethod::Backchannel(request) => {
                let waiting = self.client.backchannel(request).await?;
                prompt(&Prompt::Confirm {
                    confirm_within_seconds: waiting.expires_in().as_secs(),
                    binding_message: request.message().map(str::to_owned),
                });
                waiting.wait().await
            }
        }
    }
}

impl From<&LoginMethod> for TokenRequest {
    fn from(way: &LoginMethod) -> Self {
        match way {
            #[cfg(feature = "loopback")]
            LoginMethod::Browser(request) => request.into(),
            LoginMethod::Device(request) => request.into(),
            LoginMethod::Backchannel(request) => request.into(),
        }
    }
}
