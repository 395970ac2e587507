//! From the kernel to a layer's first program: by the initramfs that Debian's tools make with lvm2, and
//! by imgbase's own, on the same machine, kernel and layer.

use super::figures::Figures;
use crate::error::{Fail, Result};
use crate::vm::{Bus, Direct, Vm};

const LAYER: &str = "Small-1-1+1";
const DEVICE: &str = "/dev/mapper/HostVG-Small--1--1+1";

/// A layer whose first program says when it began; its kernel, and both initramfs, in `/tmp`.
const PREPARE: &str = "
imgbase base --add Small-1-1 /systems/small.ext4
imgbase layer --add Small-1-1
mkdir -p /mnt/layer
imgbase mount Small-1-1+1 /mnt/layer
cp --remove-destination /tools/guest /mnt/layer/usr/sbin/init
cp /mnt/layer/boot/vmlinuz-* /tmp/kernel
cp /mnt/layer/boot/initrd.img-* /tmp/debian
imgbase initrd --root /mnt/layer --output /tmp/imgbase
imgbase umount /mnt/layer
";

/// What the kernel and the layer's first program say when it is their turn.
const BEGIN: &str = "Run /init as init process";
const END: &str = "harness: the layer's init starts";

/// Starts the layer in each way so many times, in turn.
pub(super) fn measure(vm: &mut Vm, disks: usize, rounds: u32, figures: &mut Figures) -> Result<()> {
    vm.ok(&format!("set -e\n{PREPARE}"))?;
    let kernel = vm.get("/tmp/kernel")?;
    let mut ways = Vec::new();
    for name in ["debian", "imgbase"] {
        let initrd = vm.get(&format!("/tmp/{name}"))?;
        figures.initramfs.insert(name.to_owned(), initrd.len() as u64);
        ways.push((name, machine(vm, disks).kernel(&kernel).initrd(&initrd)));
    }
    for _ in 0..rounds {
        for (name, direct) in &ways {
            let took = time(vm, direct)?;
            figures.samples.entry(format!("start.{name}")).or_default().push(took);
        }
    }
    Ok(())
}

fn machine(vm: &Vm, disks: usize) -> Direct {
    let arguments = format!("root={DEVICE} img.bootid={LAYER} ro");
    let names = vm.spec.disk_names().take(disks);
    names.fold(Direct::default().with(&arguments), |direct, name| direct.and(&name, Bus::Virtio))
}

/// Microseconds, by the kernel's own log.
fn time(vm: &mut Vm, direct: &Direct) -> Result<u64> {
    let mut started = vm.direct(direct)?;
    started.up()?;
    let log = started.ok("dmesg")?;
    started.ends_quietly()?;
    between(&log).ok_or_else(|| Fail::new(format!("no '{BEGIN}' and '{END}' in the log:\n{log}")))
}

fn between(log: &str) -> Option<u64> {
    let stamp = |words| stamp(log.lines().find(|line| line.ends_with(words))?);
    stamp(END)?.checked_sub(stamp(BEGIN)?)
}

/// Microseconds, of a line `[   12.345678] WORDS`.
fn stamp(line: &str) -> Option<u64> {
    let (seconds, micros) = line.strip_prefix('[')?.split_once(']')?.0.trim().split_once('.')?;
    Some(seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_the_time_between_two_lines() {
        let log = "[    0.900000] Run /init as init process\n[    0.900001]   with arguments:\n\
            [   12.000003] harness: the layer's init starts\n";
        assert_eq!(between(log), Some(11_100_003));
        assert_eq!(between("[    0.900000] Run /init as init process"), None);
        assert_eq!(between(&log.replace("12.", "0.")), None);
    }
}
