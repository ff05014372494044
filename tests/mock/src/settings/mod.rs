//! What can be written down, in a file or in a request to the control port: clients, users, faults, tokens, all of it
//! in JSON (or TOML, of the same shape).

mod client;
mod config;
mod fault;
mod matching;
mod mint;
mod reader;

#[cfg(feature = "tls")]
pub(crate) use self::client::read_subject;
pub use self::config::{Config, ConfigError};
pub(crate) use self::{
    client::{read_client, read_user, show_client, show_user, signing_algorithms},
    fault::{Gates, endpoints, read_fault, read_tamper, read_when, show_fault},
    matching::{read_match, read_token_rule, show_token_rule},
    mint::read_token,
    reader::{Fields, Mistakes, read},
};
