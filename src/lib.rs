//! hotcert gets TLS certificates by ACME and loads them into the running `HAProxy` through its runtime API, without a reload.

pub mod acme;
pub mod bundle;
pub mod cli;
pub mod clock;
pub mod config;
pub mod haproxy;
pub mod model;
pub mod observe;
pub mod plan;
pub mod probe;
pub mod reconcile;
pub mod renew;
pub mod schedule;
pub mod solver;
pub mod store;
