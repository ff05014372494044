//! An API that keeps orders, with what production asks of a service around it.
//!
//! | file | holds |
//! |---|---|
//! | `settings` | the service's configuration: a file, and the environment over it |
//! | `service` | the guard and what all parts share; reload |
//! | `app` | the router: guard, CORS, request id, trace, limits |
//! | `orders` | the handlers |
//! | `problem` | the body of every error, the guard's and the framework's included |
//! | `admin` | probes and metrics, on a port of their own |
//! | `measure` | HTTP metrics, beside the guard's |
//! | `run` | signals, graceful shutdown |

#![forbid(unsafe_code)]

pub mod admin;
pub mod app;
mod measure;
pub mod orders;
mod problem;
pub mod run;
pub mod service;
pub mod settings;
