//! The `imgbase` command.
#![forbid(unsafe_code)]

#[cfg(all(feature = "small", not(target_feature = "crt-static")))]
compile_error!("the feature `small` is for the static binary: see `cargo static`");

mod cli;

fn main() -> std::process::ExitCode {
    if imgbase::host::first::is_first() {
        imgbase::host::first::main()
    }
    cli::main()
}
