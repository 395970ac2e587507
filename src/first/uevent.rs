//! The kernel's events of devices, as its netlink socket gives them (lib/kobject_uevent.c): a line
//! `ACTION@DEVPATH`, then `KEY=VALUE`, each ended by a NUL.

/// What is of interest in an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uevent<'a> {
    /// `add`, `change`, `remove`.
    pub action: &'a str,
    /// `block`.
    pub subsystem: &'a str,
    /// The node's name below `/dev`: `sda1`. Empty where it has none.
    pub name: &'a str,
}

impl<'a> Uevent<'a> {
    /// Reads a message; `None` for one that is none of the kernel's, such as those that udev sends.
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(message).ok()?;
        let mut fields = text.split('\0');
        fields.next().filter(|first| first.contains('@'))?;
        let mut event = Self::default();
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            match key {
                "ACTION" => event.action = value,
                "SUBSYSTEM" => event.subsystem = value,
                "DEVNAME" => event.name = value,
                _ => {}
            }
        }
        (!event.action.is_empty() && !event.subsystem.is_empty()).then_some(event)
    }

    /// True where a disk or a partition may be there that was not there before.
    pub fn may_bring_a_disk(&self) -> bool {
        self.subsystem == "block" && matches!(self.action, "add" | "change" | "online")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_told_from_other_things() {
        let message = b"add@/devices/pci0000:00/virtio2/block/vda\0ACTION=add\0\
            DEVPATH=/devices/pci0000:00/virtio2/block/vda\0SUBSYSTEM=block\0MAJOR=254\0MINOR=0\0\
            DEVNAME=vda\0DEVTYPE=disk\0SEQNUM=1042\0";
        let event = Uevent::parse(message).expect("an event");
        assert_eq!(event, Uevent { action: "add", subsystem: "block", name: "vda" });
        assert!(event.may_bring_a_disk());
        for (from, to) in [("block\0M", "net\0M"), ("ION=add", "ION=remove")] {
            let other = String::from_utf8_lossy(message).replace(from, to);
            let event = Uevent::parse(other.as_bytes()).expect("an event");
            assert!(!event.may_bring_a_disk(), "{event:?}");
        }
    }

    #[test]
    fn what_is_no_event_is_left_out() {
        for message in [
            &b""[..],
            b"libudev\0\xfe\xed\xca\xfe\0ACTION=add\0SUBSYSTEM=block\0",
            b"add@/devices/x\0",
            b"add@/devices/x\0SUBSYSTEM=block\0",
            b"no event\0ACTION=add\0SUBSYSTEM=block\0",
        ] {
            assert_eq!(Uevent::parse(message), None);
        }
    }
}
