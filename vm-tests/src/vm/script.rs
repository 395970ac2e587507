//! What cases say: short calls that check what they run.

use crate::error::{Fail, Result};
use crate::vm::Vm;
use crate::wire::Done;

/// What any verb may hold at its peak.
const MOST_MEMORY_KIB: u64 = 32 << 10;

impl Vm {
    /// Runs a shell script, whatever comes of it.
    ///
    /// # Errors
    /// Only those of the harness.
    pub fn sh(&mut self, script: &str) -> Result<Done> {
        self.run(&["sh", "-c", script], b"")
    }

    /// Runs a script that must exit 0, and returns its standard output without the last newline.
    ///
    /// # Errors
    /// Another exit status, with all that was written.
    pub fn ok(&mut self, script: &str) -> Result<String> {
        let done = self.sh(script)?;
        expect_status(script, &done, 0)?;
        Ok(done.stdout.trim_end().to_owned())
    }

    /// As [`Vm::ok`], and standard error must stay empty.
    ///
    /// # Errors
    /// Another exit status, or anything on standard error.
    pub fn quiet(&mut self, script: &str) -> Result<String> {
        let done = self.sh(script)?;
        expect_status(script, &done, 0)?;
        if done.stderr.is_empty() {
            return Ok(done.stdout.trim_end().to_owned());
        }
        Err(Fail::new(format!("`{script}` is not quiet:\n{}", done.stderr)))
    }

    /// Runs a script that must exit with `code`, and returns its standard error.
    ///
    /// # Errors
    /// Another exit status.
    pub fn fails(&mut self, code: i32, script: &str) -> Result<String> {
        let done = self.sh(script)?;
        expect_status(script, &done, code)?;
        Ok(done.stderr)
    }

    /// Runs `imgbase` with arguments as a shell splits them; it must exit 0 and stay small.
    ///
    /// # Errors
    /// Another exit status, or more memory than any verb may take.
    pub fn imgbase(&mut self, args: &str) -> Result<String> {
        let script = format!("imgbase {args}");
        let done = self.sh(&script)?;
        expect_status(&script, &done, 0)?;
        if done.max_rss_kib > MOST_MEMORY_KIB {
            return Err(Fail::new(format!("`{script}` takes {} KiB", done.max_rss_kib)));
        }
        Ok(done.stdout.trim_end().to_owned())
    }

    /// Runs a script that must print exactly `wanted`.
    ///
    /// # Errors
    /// Another output or exit status.
    pub fn says(&mut self, script: &str, wanted: &str) -> Result<()> {
        let said = self.ok(script)?;
        if said == wanted {
            return Ok(());
        }
        Err(Fail::new(format!("`{script}` says\n{said}\nand not\n{wanted}")))
    }
}

fn expect_status(script: &str, done: &Done, code: i32) -> Result<()> {
    if done.status == code {
        return Ok(());
    }
    let Done { status, stdout, stderr, .. } = done;
    Err(Fail::new(format!("`{script}` exits {status}, not {code}:\n{stdout}{stderr}")))
}
