//! QEMU as the release's backports have it, unpacked and not installed: it emulates a processor in three
//! quarters of the time that the release's own takes, and most of what a run takes is that.

use std::path::PathBuf;

use crate::error::Result;
use crate::setup::shell::{self, output, script};
use crate::setup::{apt, once};

/// What is installed.
pub const OWN: &str = "qemu-system-x86_64";

/// The lists that this needs are kept apart: apt of the machine knows nothing of backports afterwards.
const UNPACK: &str = r#"
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
archive=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
    sed -n "s/^$suite //p" | head -n 1)
signed=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p apt/lists/partial apt/archives/partial
echo "deb [signed-by=$signed] $archive $suite-backports main" >apt/sources.list
apart="-qq -o APT::Sandbox::User=root -o Dir::Etc::SourceList=$PWD/apt/sources.list -o Dir::Etc::SourceParts=-
    -o Dir::State::Lists=$PWD/apt/lists -o Dir::Cache=$PWD/apt -o Acquire::Languages=none"
apt-get $apart update
apt-get $apart download qemu-system-x86 qemu-system-common qemu-system-data seabios
for package in *.deb; do dpkg -x "$package" .; done
rm -r apt ./*.deb usr/share/doc usr/share/man
usr/bin/qemu-system-x86_64 --version
"#;

/// The program; the installed one where there are no backports.
pub(super) fn emulator() -> PathBuf {
    newer().unwrap_or_else(|fail| {
        eprintln!("set-up: {fail}\nset-up: the installed QEMU will do, and take longer");
        OWN.into()
    })
}

fn newer() -> Result<PathBuf> {
    let folder = once("emulator", &[UNPACK], |folder| {
        apt::update_lists()?;
        script(folder, UNPACK, &[]).map(drop)
    })?;
    let program = folder.join("usr/bin").join(OWN);
    output(shell::path(&program), &["--version"])?;
    Ok(program)
}
