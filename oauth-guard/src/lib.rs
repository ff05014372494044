//! Check a token, let the claims through.
