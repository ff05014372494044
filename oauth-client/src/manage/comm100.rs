//! Comm100: who the token is for (its page "OAuth API", "User Info").

use http::Method;
use serde::Deserialize;

use super::Api;
use crate::dialect::open::{one_of, open_enum, text};
use crate::dialect::{self};
use crate::error::Error;

/// Who the API's token is for: `GET /oauth/userinfo`.
///
/// ```no_run
/// use oauth_client::manage::{Api, comm100};
/// # async fn run(http: oauth_client::transport::HttpClient, source: oauth_client::TokenSource) -> Result<(), oauth_client::Error> {
/// let api = Api::new(http, source, "https://partner.comm100.io")?;
/// let user = comm100::userinfo(&api).await?;
/// println!("agent {:?} of site {:?}", user.agent_id, user.site_id);
/// # Ok(()) }
/// ```
///
/// # Errors
/// `invalid_token` when the token is not accepted, and the other codes of [`Error::code`].
pub async fn userinfo(api: &Api) -> Result<UserInfo, Error> {
    api.call(Method::GET, "/oauth/userinfo", None::<&()>, &dialect::comm100()).await
}

/// Comm100's data about a user. The page calls none of it mandatory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct UserInfo {
    /// The agent.
    #[serde(deserialize_with = "text")]
    pub agent_id: Option<String>,
    /// The site: a string by the page's table, a number in its example; here a string in either case.
    #[serde(deserialize_with = "text")]
    pub site_id: Option<String>,
    /// The role.
    #[serde(deserialize_with = "one_of")]
    pub role: Option<Role>,
}

open_enum! {
    /// A role, as userinfo and access tokens write it; they do not write alike.
    Role {
        /// In the page's userinfo:
        Agent = "AGENT",
        /// In the page's access token:
        User = "User",
    }
}
