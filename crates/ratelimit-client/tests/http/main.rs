//! The layer around real HTTP and gRPC services, with real clients and real Redis servers.

mod damage;
mod denials;
mod fields;
mod grpc;
mod instance;
mod layers;
mod plain_hyper;
mod readiness;
mod readme;
mod rules;
mod without_server;
