//! Sorting and collecting in little code.
//!
//! Each type that the standard library sorts costs the program some KiB, and so does each that it
//! collects into a map or a set: it sorts there, too. What is sorted here is a handful of things.

use std::cmp::Ordering;

/// Sorts; what is equal stays in its order.
pub(crate) fn sort_by<T>(items: &mut Vec<T>, compare: impl Fn(&T, &T) -> Ordering) {
    let mut order: Vec<usize> = (0..items.len()).collect();
    sort_places(&mut order, &|a, b| match (items.get(a), items.get(b)) {
        (Some(one), Some(other)) => compare(one, other),
        _ => Ordering::Equal,
    });
    let mut taken: Vec<Option<T>> = items.drain(..).map(Some).collect();
    items.extend(order.into_iter().filter_map(|place| taken.get_mut(place)?.take()));
}

/// The same by what `key` gives.
pub(crate) fn sort_by_key<T, K: Ord>(items: &mut Vec<T>, key: impl Fn(&T) -> K) {
    sort_by(items, |a, b| key(a).cmp(&key(b)));
}

/// The same by the items themselves.
pub(crate) fn sort<T: Ord>(items: &mut Vec<T>) {
    sort_by(items, T::cmp);
}

fn sort_places(order: &mut [usize], compare: &dyn Fn(usize, usize) -> Ordering) {
    order.sort_unstable_by(|a, b| compare(*a, *b).then(a.cmp(b)));
}

/// Collects into a map or a set one item after the other.
pub(crate) trait Gather: Iterator + Sized {
    /// All of them.
    fn gather<C: Default + Extend<Self::Item>>(self) -> C {
        let mut all = C::default();
        self.for_each(|item| all.extend(Some(item)));
        all
    }
}

impl<I: Iterator> Gather for I {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_sorts_as_the_standard_library_does(items: Vec<(u8, u16)>) {
            let (mut ours, mut theirs) = (items.clone(), items.clone());
            sort_by_key(&mut ours, |item| item.0);
            theirs.sort_by_key(|item| item.0);
            prop_assert_eq!(&ours, &theirs);
            sort(&mut ours);
            theirs.sort();
            prop_assert_eq!(&ours, &theirs);
            let set: std::collections::BTreeSet<_> = items.into_iter().gather();
            theirs.dedup();
            prop_assert!(set.into_iter().eq(theirs));
        }
    }
}
