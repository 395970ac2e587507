//! Messages to a thin pool, one for each of a row of device ids: a process for each would take
//! longer than all of them.

use std::fs::OpenOptions;
use std::io;
use std::process::ExitCode;

use imgbase_sys::dm::Control;

/// Sends `VERB ID` for so many ids from `first` on until one is refused, and prints how many were
/// taken.
pub(super) fn send(pool: &str, verb: &str, [first, count]: [&str; 2]) -> ExitCode {
    match (first.parse(), count.parse()) {
        (Ok(first), Ok(count)) => match send_all(pool, verb, (first, count)) {
            Ok(taken) => {
                println!("{taken}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("guest: {error}");
                ExitCode::FAILURE
            }
        },
        _ => ExitCode::from(2),
    }
}

fn send_all(pool: &str, verb: &str, (first, count): (u32, u32)) -> io::Result<u32> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/mapper/control")?;
    let control = Control::new(file);
    let refused = |n: &u32| control.message(pool, &format!("{verb} {}", first + n)).is_err();
    Ok((0..count).find(refused).unwrap_or(count))
}
