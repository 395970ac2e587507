//! What the static binary has in the place of a function of libc's.

/// Where a thread's stack begins is not known: the standard library asks, to say a word where a
/// stack overflows, which then ends as any other bad access does. What glibc takes to find out
/// (it reads `/proc/self/maps` by `scanf`) is a thirtieth of the binary.
// SAFETY: nobody but this binary's own code sees the name, and all that glibc promises of the
// function is that it may fail.
#[unsafe(no_mangle)]
extern "C" fn pthread_getattr_np(_: libc::pthread_t, _: *mut libc::pthread_attr_t) -> libc::c_int {
    libc::ENOSYS
}
