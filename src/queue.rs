//! A queue from threads to another one, of so many entries at most: what `std::sync::mpsc` has, of
//! which each sort of entry costs several times the code.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A queue in which no more than `most` entries wait.
pub(crate) fn queue<T>(most: usize) -> (Sender<T>, Receiver<T>) {
    let state = State { waiting: VecDeque::new(), senders: 1, is_received: true };
    let shared = Arc::new(Shared { most, state: Mutex::new(state), changed: Condvar::new() });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// Waits for what a mutex guards, also where whoever held it has panicked.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Shared<T> {
    most: usize,
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    senders: usize,
    is_received: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }
}

/// Where entries go in.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// Puts one in, once there is room; false where nobody takes any more out.
    pub(crate) fn send(&self, entry: T) -> bool {
        let Shared { most, changed, .. } = &*self.0;
        let is_full = |state: &mut State<T>| state.is_received && state.waiting.len() >= *most;
        let state = changed.wait_while(self.0.lock(), is_full);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.is_received {
            state.waiting.push_back(entry);
            changed.notify_all();
        }
        state.is_received
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.lock().senders -= 1;
        self.0.changed.notify_all();
    }
}

/// Where entries come out, in their order.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

impl<T> Receiver<T> {
    /// The next one, once there is one; `None` where nobody sends any more.
    pub(crate) fn receive(&self) -> Option<T> {
        let has_none = |state: &mut State<T>| state.waiting.is_empty() && state.senders > 0;
        let waited = self.0.changed.wait_while(self.0.lock(), has_none);
        let entry = waited.unwrap_or_else(PoisonError::into_inner).waiting.pop_front();
        self.0.changed.notify_all();
        entry
    }
}

impl<T> Iterator for Receiver<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receive()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_received = false;
        // Dropped where the lock is not held: they may have a sender of their own.
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.0.changed.notify_all();
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn all_that_is_sent_comes_in_order_and_no_more_waits_than_may() {
        let (send, receive) = queue(3);
        thread::scope(|scope| {
            scope.spawn(move || (0..1000).for_each(|n| assert!(send.send(n))));
            for n in 0..1000 {
                assert_eq!(receive.receive(), Some(n));
                assert!(receive.0.lock().waiting.len() <= 3);
            }
            assert_eq!(receive.receive(), None);
        });
    }

    #[test]
    fn each_side_learns_that_the_other_is_gone() {
        let (send, receive) = queue(1);
        let other = send.clone();
        assert!(send.send(1));
        drop(send);
        assert_eq!(receive.receive(), Some(1));
        assert!(other.send(2));
        thread::scope(|scope| {
            // It waits for room.
            let waits = scope.spawn(move || other.send(3));
            thread::sleep(std::time::Duration::from_millis(10));
            drop(receive);
            assert!(!waits.join().expect("it ends"));
        });
        let (send, receive) = queue::<u8>(1);
        drop(send);
        assert_eq!(receive.receive(), None);
    }
}
