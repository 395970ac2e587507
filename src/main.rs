//! The `imgbase` command.
#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    if imgbase::host::first::is_first() {
        imgbase::host::first::main()
    }
    cli::main()
}
