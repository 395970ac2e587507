//! Answers the host, one message after the other.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{WaitOptions, wait};

use crate::error::{Doing, Fail, Result};
use crate::guest::others;
use crate::wire::{self, Done, Hello, Run, text};

/// Where commands of the guest are found: what the host handed in first.
pub(super) const PATH: &str = "/tools:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a command writes beyond this is dropped.
const MOST_OUTPUT: u64 = 8 << 20;

pub(super) const FOLDER: &str = "/run/harness";

/// What the host wants in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Off,
    Reboot,
}

/// Says hello, then serves until the host says what is to come, or the channel ends.
pub(super) fn serve(mut port: File, flavour: &str) -> Result<Stop> {
    hello(flavour).send(&mut port)?;
    loop {
        let message = wire::receive(&mut port).doing("reading the channel")?;
        let Some((verb, fields)) = message.split_first() else { continue };
        match verb.as_slice() {
            b"off" => return Ok(Stop::Off),
            b"reboot" => return Ok(Stop::Reboot),
            b"run" => answer_run(&mut port, fields)?,
            b"put" => answer(&mut port, put(fields))?,
            b"get" => answer(&mut port, get(fields))?,
            b"end" => answer(&mut port, others::end().map(String::into_bytes))?,
            _ => answer(&mut port, Err(Fail::new("unknown message")))?,
        }
    }
}

fn hello(flavour: &str) -> Hello {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let uptime = read("/proc/uptime").split(' ').next().and_then(|word| word.parse().ok());
    Hello {
        flavour: flavour.to_owned(),
        cmdline: read("/proc/cmdline").trim_end().to_owned(),
        uptime: Duration::from_secs_f64(uptime.unwrap_or_default()),
    }
}

fn answer(port: &mut File, result: Result<Vec<u8>>) -> Result<()> {
    match result {
        Ok(bytes) => wire::send(port, &[b"ok", &bytes])?,
        Err(fail) => wire::send(port, &[b"error", fail.to_string().as_bytes()])?,
    }
    Ok(())
}

fn put(fields: &[Vec<u8>]) -> Result<Vec<u8>> {
    let [path, mode, data] = fields else { return Err(Fail::new("put: three fields")) };
    let path = text(path);
    let mode = u32::from_str_radix(&text(mode), 8).doing("put: mode")?;
    fs::write(&path, data).doing(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).doing(&path)?;
    Ok(Vec::new())
}

fn get(fields: &[Vec<u8>]) -> Result<Vec<u8>> {
    let path = fields.first().map(|path| text(path)).unwrap_or_default();
    fs::read(&path).doing(&path)
}

fn answer_run(port: &mut File, fields: &[Vec<u8>]) -> Result<()> {
    let Some(run) = Run::parse(fields) else {
        return answer(port, Err(Fail::new("run: malformed")));
    };
    match execute(&run) {
        Ok(done) => done.send(port)?,
        Err(fail) => answer(port, Err(fail))?,
    }
    reap();
    Ok(())
}

/// Output goes to files, so that a daemon left behind by a command holds nothing up.
fn execute(run: &Run) -> Result<Done> {
    let [stdin, out, err, result] = ["stdin", "stdout", "stderr", "result"].map(in_folder);
    fs::write(&stdin, &run.stdin)?;
    let status = Command::new("/proc/self/exe")
        .args(["run", &run.limit.as_millis().to_string(), &result])
        .args(&run.argv)
        .env_clear()
        .envs(environment())
        .stdin(File::open(&stdin)?)
        .stdout(fresh(&out)?)
        .stderr(fresh(&err)?)
        .status()?;
    let figures = fs::read_to_string(&result).doing(format!("runner: {status}"))?;
    fs::remove_file(&result)?;
    let done = Done::parse_figures(&figures).ok_or_else(|| Fail::new("runner: no figures"))?;
    Ok(Done { stdout: bounded(&out)?, stderr: bounded(&err)?, ..done })
}

fn in_folder(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

fn environment() -> [(&'static str, &'static str); 4] {
    [("PATH", PATH), ("HOME", "/root"), ("LC_ALL", "C"), ("LVM_SUPPRESS_FD_WARNINGS", "1")]
}

/// A new file each time: an earlier command may still write to the old one.
fn fresh(path: &str) -> io::Result<Stdio> {
    if Path::new(path).exists() {
        fs::remove_file(path)?;
    }
    File::create(path).map(Stdio::from)
}

fn bounded(path: &str) -> Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_OUTPUT).read_to_end(&mut bytes)?;
    Ok(text(&bytes))
}

/// The first process inherits orphans.
pub(super) fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}
