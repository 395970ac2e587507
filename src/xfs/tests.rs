use proptest::prelude::*;

use super::*;
use crate::ext4::testing::FileDev;

const SUPERBLOCK: &[u8] = include_bytes!("../../tests/data/xfs/superblock.bin");
const LOG_HEAD: &[u8] = include_bytes!("../../tests/data/xfs/log-head.bin");
const LOG: Bytes = Bytes::new(307_248 * 512);
const LOG_LEN: u64 = 16384 * 4096;

fn sample(superblock: &[u8], log: &[(u64, &[u8])]) -> (tempfile::TempDir, FileDev) {
    let dir = crate::ext4::testing::temp_dir();
    let dev = FileDev::create(&dir.path().join("xfs.img"), Bytes::mib(300));
    dev.write_at(superblock, Bytes::ZERO).expect("inside");
    for (at, bytes) in log {
        dev.write_at(bytes, LOG.saturating_add(Bytes::new(*at))).expect("inside");
    }
    (dir, dev)
}

fn state(log: &[(u64, &[u8])]) -> LogState {
    let (_dir, dev) = sample(SUPERBLOCK, log);
    let sb = Superblock::read(&dev).expect("it is one");
    sb.log_state(&dev).expect("readable")
}

#[test]
fn the_superblock_says_what_xfs_db_says() {
    let sb = Superblock::parse(SUPERBLOCK).expect("it is one");
    assert_eq!((sb.size(), sb.block_size()), (Bytes::mib(300), Bytes::kib(4)));
    assert_eq!(sb.uuid().to_string(), "603ab546-b44d-4173-9fc7-045d7a97f6dc");
    assert_eq!(sb.label(), "lab");
    assert_eq!(sb.log, LOG..Bytes::new(LOG.get() + LOG_LEN));
    assert!(sb.free() > Bytes::mib(200) && sb.free() < Bytes::mib(300));
}

#[test]
fn a_changed_bit_breaks_the_checksum() {
    for at in [5, 32, 100, 227, 300, 511] {
        let mut raw = SUPERBLOCK.to_vec();
        raw[at] ^= 0x40;
        assert!(Superblock::parse(&raw).is_err(), "byte {at}");
    }
    assert!(Superblock::parse(&SUPERBLOCK[..300]).is_err());
    assert!(Superblock::parse(b"XFSB").is_err());
}

#[test]
fn only_a_log_that_ends_with_an_unmount_is_clean() {
    assert_eq!(state(&[(0, LOG_HEAD)]), LogState::Clean);
    assert_eq!(state(&[]), LogState::Dirty, "no record at all");

    let mut transaction = LOG_HEAD.to_vec();
    transaction[512 + 9] = 0x01;
    assert_eq!(state(&[(0, &transaction)]), LogState::Dirty, "its operation is no unmount");

    let mut two = LOG_HEAD.to_vec();
    two[43] = 2;
    assert_eq!(state(&[(0, &two)]), LogState::Dirty, "it holds more than one operation");

    // Another block of the same cycle after it: the head is one further.
    let more = [0, 0, 0, 1].repeat(128);
    assert_eq!(state(&[(0, LOG_HEAD), (1024, &more)]), LogState::Dirty, "something follows");
}

#[test]
fn a_log_that_went_round_is_clean_up_to_its_head() {
    // Cycle 2 up to block 6, cycle 1 after it, the unmount in blocks 4 and 5.
    let (_dir, dev) = sample(SUPERBLOCK, &[]);
    for block in 0..LOG_LEN / 512 {
        let cycle = if block < 6 { 2u32 } else { 1 };
        let at = Bytes::new(LOG.get() + block * 512);
        dev.write_at(&cycle.to_be_bytes(), at).expect("inside");
    }
    let mut unmount = LOG_HEAD[..1024].to_vec();
    unmount[4..8].copy_from_slice(&2u32.to_be_bytes());
    unmount[16..24].copy_from_slice(&((2u64 << 32) | 4).to_be_bytes());
    unmount[512..516].copy_from_slice(&2u32.to_be_bytes());
    dev.write_at(&unmount, Bytes::new(LOG.get() + 4 * 512)).expect("inside");
    let sb = Superblock::read(&dev).expect("it is one");
    assert_eq!(sb.log_state(&dev).expect("readable"), LogState::Clean);
    dev.write_at(&1u32.to_be_bytes(), Bytes::new(LOG.get() + 5 * 512)).expect("inside");
    assert_eq!(sb.log_state(&dev).expect("readable"), LogState::Dirty, "its data was not written");
}

proptest! {
    #[test]
    fn no_superblock_makes_it_panic(changes in proptest::collection::vec((0usize..264, any::<u8>()), 1..8)) {
        let mut raw = SUPERBLOCK.to_vec();
        changes.iter().for_each(|&(at, byte)| raw[at] = byte);
        raw[224..228].fill(0);
        let sum = CRC32C.checksum(&raw).to_le_bytes();
        raw[224..228].copy_from_slice(&sum);
        if let Ok(sb) = Superblock::parse(&raw) {
            prop_assert!(sb.log.end <= sb.size());
            let dev = crate::dev::MemDev::new("hostile", raw);
            let _ = sb.log_state(&dev);
        }
    }
}
