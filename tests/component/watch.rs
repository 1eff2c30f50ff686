//! Certificates that other programs write come into the store: whatever the order of the writes, the end state is that of the
//! files, and what is broken changes nothing.

mod layouts;
mod many;
mod model;
mod place;
mod trouble;
mod writes;
