//! hotcert gets TLS certificates by ACME and loads them into the running `HAProxy` through its runtime API, without a reload.
//!
//! The program is a thin shell around this library; whoever uses the program reads README.md. This page is the map of the house.
//!
//! # One idea
//!
//! The disk says what should be served, `HAProxy`'s memory says what is served, and [`reconcile`] makes the second equal the
//! first. It observes everything afresh, computes a plan by a pure function ([`plan`]), applies it, and observes again; it is
//! done when there is nothing left to plan. Nothing is ever mended by remembering that something happened. So a crash or a
//! restart, of hotcert or of `HAProxy`, at any instant, needs no code of its own, and to do a round twice changes nothing.
//!
//! # The road of a certificate
//!
//! ```text
//!  ACME authority        a certificate file       files of other programs
//!        |  acme, solver        |                           |
//!  +-----v-----+          +-----v-----+               +-----v-----+
//!  |   renew   |          | cli::push |               |   watch   |
//!  +-----+-----+          +-----+-----+               +-----+-----+
//!        |  gate (bundle)       |  gate (bundle)            |  gate (bundle)
//!  +-----v----------------------v---------------------------v-----+
//!  |            store: generations of what passed                 |
//!  +--------------------+-----------------------------------------+
//!                       v
//!   reconcile: observe > plan > apply > verify
//!        |  haproxy          |  store::publish      ^  probe
//!        v                   v                      |
//!  HAProxy's memory    the files that HAProxy    what clients
//!  (runtime API)       reads at its next start   are shown
//! ```
//!
//! - [`renew`] never talks to `HAProxy`, and [`reconcile`] never to an authority: they meet only in the [`store`]. So the
//!   [`daemon`] can run as two processes, of which one has the network and the other the socket.
//! - Whoever stores something changes the store's [stamp](store::Stamp); whoever wants to know looks at that. So it does not
//!   matter which task or process it was, and nothing is lost that happened while nobody listened.
//! - A certificate that is pushed or watched takes the same road as one that was ordered: the gate ([`bundle::Gate`]), a generation
//!   ([`store::Generation`]), a round. So each can be rolled back, and a bad file never displaces a good generation.
//! - A [`bundle::Bundle`] exists only after the gate, so that whoever holds one need not check it again.
//!
//! # Layers
//!
//! A module imports only from lower layers, so modules of one layer do not know each other. `tests/layers.rs` holds this.
//!
//! | layer | module | owns |
//! |---|---|---|
//! | 0 | [`model`] | validated values, such as [`model::CertName`] and [`model::Slot`]; parsing is the only way to get one |
//! | 0 | [`clock`] | the time of day, as a seam for tests |
//! | 1 | [`bundle`] | PEM to a [`bundle::Bundle`]: the gate, and keys that do not show themselves |
//! | 1 | [`plan`] | from [`plan::Desired`] and [`plan::Actual`] to a [`plan::Plan`]; no I/O, no time |
//! | 1 | [`schedule`] | when to renew, and when to try again |
//! | 2 | [`program`] | running a program of the user's: no shell, a deadline, a bounded output, none of our environment |
//! | 3 | [`config`] | the file, flags and what is remembered, to one checked [`config::Config`] |
//! | 3 | [`store`] | everything that is written to disk: generations, journal, accounts, failures, published files, locks |
//! | 3 | [`haproxy`] | the runtime API: a [`haproxy::Session`] is with one worker, straight or through its master |
//! | 3 | [`acme`] | certificate authorities: accounts, orders, challenges |
//! | 3 | [`internal`] | a private authority of our own |
//! | 3 | [`solver`] | one file for each way to answer a challenge |
//! | 3 | [`probe`] | what a client is shown, and what an authority would be answered |
//! | 3 | [`host`] | what is on this machine: running `HAProxy`s and their configurations; by looking alone |
//! | 4 | [`reconcile`] | observe, plan, apply, verify; the sole writer to `HAProxy` and to published files |
//! | 4 | [`renew`] | what is due and when, ordering it, storing the generation |
//! | 4 | [`import`] | what certbot, acme.sh, lego and dehydrated manage, to generations |
//! | 4 | [`watch`] | files that other programs write, to generations |
//! | 4 | [`control`] | the local socket through which the program hands its commands to a daemon |
//! | 5 | [`doctor`] | what stands in the way on this machine, with cause and cure |
//! | 5 | [`observe`] | logs, what the service manager is told, and what is shown over HTTP: metrics, health and a status page |
//! | 6 | [`daemon`] | builds, supervises and stops the tasks of the sidecar |
//! | 7 | [`cli`] | one file for each command; rendering; exit codes |
//!
//! # Rules
//!
//! - Layers 0 and 1 wait for nothing and read no file. Files are written by the [`store`] alone, but for challenges in the
//!   directory of another web server ([`solver::Webroot`]).
//! - Each durable write, and each request that changes something, is followed by a trace event of the target
//!   `hotcert::step`. The tests end the process at each of them.
//! - Private keys are in no error, no log and no `Debug`.
//! - Each module has one error type; those of adapters say whether to try again ([`schedule::Retry`]). Errors become text, with
//!   their causes and a hint, once: in [`cli`].

pub mod acme;
pub mod bundle;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod doctor;
pub mod haproxy;
pub mod host;
pub mod import;
pub mod internal;
pub mod model;
pub mod observe;
pub mod plan;
pub mod probe;
pub mod program;
pub mod reconcile;
pub mod renew;
pub mod schedule;
pub mod solver;
pub mod store;
pub mod watch;
