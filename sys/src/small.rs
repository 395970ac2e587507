//! What the static binary has in the place of parts of glibc and libgcc: a fifth of its size, for
//! what it never does. It is for that binary alone: anywhere else others would call these, too.
//!
//! A static library brings a file of functions in for any one that is named. So C's formatted
//! output, which glibc itself uses for messages that it hardly ever has, brings floating point,
//! wide characters, locales, and with them the loader of shared objects. Each function here is the
//! one that the rest hangs on. As a rule the linker refuses two of one name, so that the build fails
//! where another glibc divides its files otherwise; of `strtoul`, `strtol` and `fwrite`, which are weak
//! there, it takes these.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::process::abort;
use std::ptr;

/// Where a thread's stack begins is not known: the standard library asks, to say a word where a
/// stack overflows, which then ends as any other bad access does. glibc reads `/proc/self/maps` by
/// `scanf` for it.
// SAFETY: nobody but this binary's own code sees the name, and all that glibc promises of the
// function is that it may fail.
#[unsafe(no_mangle)]
extern "C" fn pthread_getattr_np(_: libc::pthread_t, _: *mut libc::pthread_attr_t) -> c_int {
    libc::ENOSYS
}

/// There are no shared objects, so no name is found in one; glibc finds none either, by the whole of
/// its loader.
// SAFETY: as above; null is what `dlsym` gives for what is not there.
#[unsafe(no_mangle)]
extern "C" fn dlsym(_: *mut c_void, _: *const c_char) -> *mut c_void {
    ptr::null_mut()
}

/// No message is translated: nobody sets a locale here.
// SAFETY: as above; the message itself is what it gives where there is no translation.
#[unsafe(no_mangle)]
extern "C" fn __dcgettext(_: *const c_char, text: *const c_char, _: c_int) -> *const c_char {
    text
}

/// No stack is walked: without tables there is nothing to do it by. The whole of what would print
/// the names of a panic's functions goes with it.
// SAFETY: as above; 5 is "the end of the stack" (the Itanium ABI, level 1.3).
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_: *mut c_void, _: *mut c_void) -> c_int {
    5
}

/// No host name is looked up, so no thread has a resolver to be made.
// SAFETY: as above; -1 is how it fails.
#[unsafe(no_mangle)]
extern "C" fn __res_vinit(_: *mut c_void, _: c_int) -> c_int {
    -1
}

/// An assertion of glibc's own, or of another part in C, does not hold: as much of it as needs no stream, which
/// would bring in all of C's input and output, and the tables of its locale.
///
/// # Safety
/// As glibc's: what does not hold is a string.
// SAFETY: as above; like glibc's it does not return.
#[unsafe(no_mangle)]
unsafe extern "C" fn __assert_fail(
    what: *const c_char,
    _: *const c_char,
    _: c_uint,
    _: *const c_char,
) -> ! {
    // SAFETY: the caller's; what cannot be written is not, before the end.
    unsafe {
        let words = CStr::from_ptr(what).to_bytes();
        for text in [&b"does not hold: "[..], words, b"\n"] {
            libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len());
        }
    }
    abort()
}

/// Where glibc would tell how its memory is divided, which nobody asks for.
// SAFETY: as above; only `malloc_stats` reads it.
#[unsafe(no_mangle)]
static mut stderr: *mut c_void = ptr::null_mut();

/// The first of no streams.
// SAFETY: as above; the same as the end of them.
#[unsafe(no_mangle)]
extern "C" fn _IO_iter_begin() -> *mut c_void {
    ptr::null_mut()
}

/// Their end.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn _IO_iter_end() -> *mut c_void {
    ptr::null_mut()
}

/// The path by which another thread than the caller gets a name, which none does here: an empty text.
///
/// # Safety
/// As C's: there is room for a byte.
// SAFETY: as above; a negative number is how it fails. What is behind the format is not looked at.
#[unsafe(no_mangle)]
unsafe extern "C" fn sprintf(to: *mut c_char, _: *const c_char) -> c_int {
    // SAFETY: the caller's.
    unsafe { to.write(0) };
    -1
}

/// The text of an error that has none: empty.
///
/// # Safety
/// As C's: there is room for `len` bytes.
// SAFETY: as `sprintf`.
#[unsafe(no_mangle)]
unsafe extern "C" fn __snprintf(to: *mut c_char, len: usize, _: *const c_char) -> c_int {
    if len > 0 {
        // SAFETY: the caller's; there is room for one.
        unsafe { to.write(0) };
    }
    -1
}

/// A number, as glibc reads it from files of the kernel's: in tens and without a sign, behind blanks that are
/// passed over. Whoever asks for another base is told by the end of the program that there is none here.
///
/// # Safety
/// As C's: `text` ends with a zero; `end` is null or can be written.
// SAFETY: as above; for such a text it does what C's does.
#[unsafe(no_mangle)]
unsafe extern "C" fn strtoul(text: *const c_char, end: *mut *mut c_char, base: c_int) -> c_ulong {
    // SAFETY: the caller's.
    unsafe { number(text, end, base) }
}

/// The same for what is not larger.
///
/// # Safety
/// As `strtoul`.
// SAFETY: as `strtoul`.
#[unsafe(no_mangle)]
unsafe extern "C" fn strtol(text: *const c_char, end: *mut *mut c_char, base: c_int) -> c_long {
    // SAFETY: the caller's.
    c_long::try_from(unsafe { number(text, end, base) }).unwrap_or(c_long::MAX)
}

/// What both come to.
///
/// # Safety
/// As `strtoul`.
#[inline(always)]
unsafe fn number(text: *const c_char, end: *mut *mut c_char, base: c_int) -> c_ulong {
    if base != 10 {
        abort();
    }
    // SAFETY: the caller's; no byte behind the zero is looked at.
    unsafe {
        let mut at = text.cast::<u8>();
        while matches!(at.read(), b' ' | b'\t'..=b'\r') {
            at = at.add(1);
        }
        let (start, mut number): (_, c_ulong) = (at, 0);
        while let digit @ b'0'..=b'9' = at.read() {
            number = number.saturating_mul(10).saturating_add(c_ulong::from(digit - b'0'));
            at = at.add(1);
        }
        if !end.is_null() {
            // Where there is no digit, nothing was read.
            end.write(if at == start { text.cast_mut() } else { at.cast_mut().cast() });
        }
        number
    }
}

/// How a stack becomes one that can be executed: none does, as no shared object asks for it.
// SAFETY: as above; it has glibc's type and value (`PROT_GROWSDOWN`).
#[unsafe(no_mangle)]
static __stack_prot: c_int = 0x0100_0000;

/// Compares two of C's strings, a byte after the other. glibc has five of these and chooses by the
/// processor, 28 kB with `strncmp`, to compare the names of variables and of what the kernel maps.
///
/// # Safety
/// As C's: both end with a zero.
// SAFETY: as above; it does what C's does.
#[unsafe(no_mangle)]
unsafe extern "C" fn strcmp(a: *const c_char, b: *const c_char) -> c_int {
    // SAFETY: the caller's; no byte behind the first zero is looked at.
    unsafe { compared(a, b, usize::MAX) }
}

/// The same for at most so many bytes.
///
/// # Safety
/// As C's: each ends with a zero, or has as many bytes.
// SAFETY: as above; it does what C's does.
#[unsafe(no_mangle)]
unsafe extern "C" fn strncmp(a: *const c_char, b: *const c_char, most: usize) -> c_int {
    // SAFETY: the caller's.
    unsafe { compared(a, b, most) }
}

/// What both come to. None of these calls another by a name that C has: what the compiler knows of such
/// a name it may put in the place of one that is not needed, until one calls itself.
///
/// # Safety
/// As `strncmp`.
#[inline(always)]
unsafe fn compared(a: *const c_char, b: *const c_char, most: usize) -> c_int {
    for at in 0..most {
        // SAFETY: neither has ended before this byte.
        let (a, b) = unsafe { (a.add(at).cast::<u8>().read(), b.add(at).cast::<u8>().read()) };
        if a != b || a == 0 {
            return c_int::from(a) - c_int::from(b);
        }
    }
    0
}

/// Copies one of C's strings, and gives the end of the copy.
///
/// # Safety
/// As C's: there is room for it.
// SAFETY: as above; it does what C's does.
#[unsafe(no_mangle)]
unsafe extern "C" fn stpcpy(to: *mut c_char, from: *const c_char) -> *mut c_char {
    // SAFETY: the caller's.
    unsafe { copied(to, from) }
}

/// The same by the name that glibc calls it by.
///
/// # Safety
/// As `stpcpy`.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "C" fn __stpcpy(to: *mut c_char, from: *const c_char) -> *mut c_char {
    // SAFETY: the caller's.
    unsafe { copied(to, from) }
}

/// Copies one of C's strings, and gives the begin of the copy.
///
/// # Safety
/// As `stpcpy`.
// SAFETY: as above; it does what C's does.
#[unsafe(no_mangle)]
unsafe extern "C" fn strcpy(to: *mut c_char, from: *const c_char) -> *mut c_char {
    // SAFETY: the caller's.
    unsafe { copied(to, from) };
    to
}

/// What these come to.
///
/// # Safety
/// As `stpcpy`.
#[inline(always)]
unsafe fn copied(to: *mut c_char, from: *const c_char) -> *mut c_char {
    let mut at = 0;
    loop {
        // SAFETY: it has not ended before this byte, for which there is room too.
        unsafe {
            let byte = from.add(at).read();
            to.add(at).write(byte);
            if byte == 0 {
                return to.add(at);
            }
        }
        at += 1;
    }
}

/// Names of what has nothing to do here.
macro_rules! nothing {
    ($($name:ident)*) => { $(
        // SAFETY: as above; it neither reads nor changes anything.
        #[unsafe(no_mangle)]
        extern "C" fn $name() {}
    )* };
}

// A resolver to be closed; what letters are in a thread's locale; where shared objects are looked for.
nothing! { __res_iclose __ctype_init _dl_init_paths }

// Locks of C's streams, once there is a thread and in a new process: there are no streams.
nothing! { _IO_enable_locks _IO_list_lock _IO_list_unlock _IO_list_resetlock }

/// Names of what is never reached: each ends the program.
macro_rules! never {
    ($($name:ident)*) => { $(
        // SAFETY: as above; it does not return.
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> ! {
            abort()
        }
    )* };
}

// What one of no streams is, and what follows it; how glibc's memory is divided, told to a stream.
never! { _IO_iter_file _IO_iter_next _IO_fputs fprintf fwrite }

// Unwinding: a panic aborts, no thread is cancelled, and there are no tables.
never! {
    _Unwind_FindEnclosingFunction _Unwind_ForcedUnwind _Unwind_GetCFA _Unwind_GetDataRelBase
    _Unwind_GetIP _Unwind_GetIPInfo _Unwind_GetLanguageSpecificData _Unwind_GetRegionStart
    _Unwind_GetTextRelBase _Unwind_Resume _Unwind_SetGR _Unwind_SetIP __gcc_personality_v0
}
