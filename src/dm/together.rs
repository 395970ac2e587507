//! Much that waits rather than works, as calls of the kernel do, beside each other.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::Result;

/// Calls `act` for each item, begun in order, so many at the same time
/// ([`calls_at_once`](super::Kernel::calls_at_once)). After a failure none is begun any more. Returns
/// which of the items succeeded, by index, and the failure of the first that did not.
pub(crate) fn each<T: Sync>(
    at_once: usize,
    items: &[T],
    act: &(dyn Fn(&T) -> Result<()> + Sync),
) -> (Vec<bool>, Result<()>) {
    let count = at_once.min(items.len());
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let ended = Mutex::new((vec![false; items.len()], None::<(usize, crate::Error)>));
    let work = || {
        while !stopped.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            let result = act(item);
            let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
            let (done, failed) = &mut *ended;
            match result {
                Ok(()) => done.get_mut(index).into_iter().for_each(|done| *done = true),
                Err(error) => {
                    stopped.store(true, Ordering::Relaxed);
                    if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                        *failed = Some((index, error));
                    }
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..count {
            // With fewer threads it takes longer, no more.
            let _ = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        }
        work();
    });
    let (done, failed) = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
    (done, failed.map_or(Ok(()), |(_, error)| Err(error)))
}

/// Enough for a call of the kernel, or a change of a file system, in bytes.
const STACK: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind};

    #[test]
    fn each_is_done_once_and_after_a_failure_none_is_begun() {
        for at_once in [0, 1, 3, 64] {
            let calls = AtomicUsize::new(0);
            let items: Vec<usize> = (0..40).collect();
            let act = |_: &usize| {
                calls.fetch_add(1, Ordering::Relaxed);
                Ok(())
            };
            let (done, result) = each(at_once, &items, &act);
            assert_eq!((done, calls.into_inner()), (vec![true; 40], 40));
            result.expect("none fails");

            let begun = Mutex::new(Vec::new());
            let act = |item: &usize| {
                begun.lock().expect("whole").push(*item);
                if *item % 10 == 9 {
                    Err(Error::new(ErrorKind::Io, item.to_string()))
                } else {
                    Ok(())
                }
            };
            let (done, result) = each(at_once, &items, &act);
            let (mut begun, why) =
                (begun.into_inner().expect("whole"), result.expect_err("some fail"));
            begun.sort_unstable();
            assert!(begun.iter().enumerate().all(|(index, item)| index == *item), "{begun:?}");
            let succeeded = done.iter().filter(|done| **done).count();
            let failed = begun.iter().filter(|item| **item % 10 == 9).count();
            assert_eq!(succeeded + failed, begun.len());
            // It was begun before any other that fails.
            assert_eq!(why.to_string(), "9");
        }
    }

    #[test]
    fn the_calls_are_beside_each_other() {
        let inside = std::sync::Barrier::new(4);
        let (done, result) = each(4, &[(); 4], &|()| {
            inside.wait();
            Ok(())
        });
        assert_eq!(done, [true; 4]);
        result.expect("none fails");
    }
}
