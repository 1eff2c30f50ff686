//! The same with many files, on several threads.

use std::panic::resume_unwind;

/// So few are done by one thread: to start others takes as long.
const FEW: usize = 16;
/// How many threads there are: enough for the processors where files are in memory, and for the disk where they are not.
const THREADS: usize = 4;

/// Does the same with each of many, on a few threads; what came of them, in their order.
pub fn in_parallel<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if all.len() < FEW { all.iter().map(work).collect() } else { on_threads(THREADS, all, work) }
}

/// Does the same with each of several, on so many threads; what came of them, in their order.
pub(super) fn on_threads<T: Sync, R: Send>(threads: usize, all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let part = all.len().div_ceil(threads).max(1);
    let (work, subscriber) = (&work, &tracing::dispatcher::get_default(Clone::clone));
    std::thread::scope(|scope| {
        let run =
            |part: &'_ [T]| tracing::dispatcher::with_default(subscriber, || part.iter().map(work).collect::<Vec<_>>());
        let running: Vec<_> = all.chunks(part).map(|part| scope.spawn(move || run(part))).collect();
        running.into_iter().flat_map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_done_in_order() {
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(in_parallel(&items, |item| item * 2), (0..1000).map(|item| item * 2).collect::<Vec<_>>());
        assert_eq!(in_parallel(&items[..2], |item| *item), [0, 1]);
        assert_eq!(in_parallel(&items[..0], |item| *item), Vec::<usize>::new());
    }
}
