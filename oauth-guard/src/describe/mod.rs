//! What a guard tells clients about the API: where they get tokens for it, and what its operations need.

mod metadata;
mod openapi;

pub use self::metadata::ResourceMetadata;
