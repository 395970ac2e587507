//! Firmware for machines that start as real ones do: OVMF, unpacked and not installed. The BIOS comes
//! with QEMU.

use std::path::PathBuf;

use crate::error::Result;
use crate::setup::shell::script;
use crate::setup::{apt, once};

const UNPACK: &str = r#"
apt-get -qq -o APT::Sandbox::User=root download ovmf
dpkg -x ./*.deb unpacked
mv unpacked/usr/share/OVMF/OVMF_CODE_4M.fd code.fd
mv unpacked/usr/share/OVMF/OVMF_VARS_4M.fd vars.fd
rm -r unpacked ./*.deb
"#;

/// The folder of its code and its variables.
pub(super) fn ovmf() -> Result<PathBuf> {
    once("ovmf", &[UNPACK], |folder| {
        apt::update_lists()?;
        script(folder, UNPACK, &[]).map(drop)
    })
}
