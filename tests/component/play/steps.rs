//! Kills hotcert after one of its steps, within the test: its stack is unwound as if it had never gone on.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::Once;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// What it is unwound with.
pub struct Died;

thread_local! {
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Lets this thread's hotcert die after so many steps, counted from 0; or not any more.
pub fn die_after(steps: Option<usize>) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let steps_only = Targets::new().with_target("hotcert::step", tracing::Level::TRACE);
        tracing_subscriber::registry().with(Reaper.with_filter(steps_only)).init();
    });
    LEFT.set(steps);
}

struct Reaper;

impl<S: tracing::Subscriber> Layer<S> for Reaper {
    fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
        match LEFT.get() {
            // Not while it is unwound already.
            Some(0) if !std::thread::panicking() => {
                LEFT.set(None);
                resume_unwind(Box::new(Died));
            }
            Some(left) => LEFT.set(left.checked_sub(1)),
            None => {}
        }
    }
}
