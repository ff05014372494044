//! Grants that rest on other tokens, and the endpoints beside the token endpoint: over the wire, in process, with
//! paused time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod assertion;
mod bench;
mod exchange;
mod introspect;
mod register;
mod resource;
mod revoke;
mod site;
mod userinfo;
