//! The files by which HAProxy judges the certificates of clients: what is on disk counts, at once and without a reload.

mod gate;
mod gatehouse;
mod old;
mod runtime;
mod trouble;
