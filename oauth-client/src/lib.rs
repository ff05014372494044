//! Get a token, keep it fresh, put it on requests.
