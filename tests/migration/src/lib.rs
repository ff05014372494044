//! The "before" sides of the pages that tell how to move from another library. A test of the workspace compares them with
//! the pages; this crate compiles them.

pub mod cli_by_hand;
pub mod jsonwebtoken_by_hand;
pub mod jwt_authorizer;
pub mod oauth2_login;
pub mod oauth2_service;
pub mod openidconnect_login;
pub mod yup_service_account;
pub mod yup_user;
