//! An authorization server for tests.
