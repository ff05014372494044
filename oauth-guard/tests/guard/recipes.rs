//! Configurations for well-known issuers.
