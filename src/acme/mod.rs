//! Speaks with a certificate authority (RFC 8555): accounts, orders, challenges, certificates.
//!
//! instant-acme does the protocol, behind our own types; [`Http`] below it bounds and types every failure, and signed requests
//! of our own fill the gaps (registering with a key that is saved already, external accounts, new account keys, revocation, chains
//! to other roots, finding an order whose URL was lost).
//!
//! The steps are separate, so that the caller journals between them: [`Account::register`], [`Account::new_order`],
//! [`Order::challenges`], [`Order::ready`], [`Order::await_ready`], [`Order::finalize`], [`Order::certificate`]. After a crash,
//! [`Account::resume`] continues by the order's URL, and [`Order::status`] says with which step. Nothing is stored here, and
//! there is no state but the connection; many orders of one account may run concurrently.

mod account;
mod answer;
mod ari;
mod authorization;
mod chain;
mod challenge;
mod csr;
mod directory;
mod error;
mod external;
mod http;
mod jws;
mod lost;
mod manage;
mod order;
mod patience;
mod problem;
mod revoke;
mod signing;
mod verdict;

pub use account::Account;
pub use ari::RenewalInfo;
pub use challenge::{Challenge, Proof};
pub use directory::Directory;
pub use error::Error;
pub use external::ExternalAccount;
pub use http::{Deadlines, Http, roots};
pub use jws::{AccountKey, ForeignKey};
pub use manage::Registration;
pub use order::{Order, Status};
pub use problem::{Problem, Subproblem};
pub use revoke::{Revoked, revoke_by_key};
