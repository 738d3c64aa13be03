//! The service's HTTP side: connections, endpoints, bodies and errors.

pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod check;
pub(crate) mod healthcheck;
pub(crate) mod openapi;
pub(crate) mod problem;
pub(crate) mod serve;
pub(crate) mod welcome;
