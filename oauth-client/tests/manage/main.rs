//! Grants that rest on other tokens, and the endpoints beside the token endpoint: over the wire, in process, with
//! paused time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../common/fixture.rs"]
mod fixture;
mod support;
#[path = "../common/time.rs"]
mod time;

mod assertion;
mod exchange;
mod id_jag;
mod introspect;
mod places;
mod presets;
mod register;
mod resource;
mod revoke;
mod site;
mod userinfo;
